package interop

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/stretchr/testify/require"
)

// TestNPM is all that needs Node.js: the packages are downloaded once.
func TestNPM(t *testing.T) {
	dir := npm(t)
	t.Run("spellings", func(t *testing.T) { testSpellings(t, dir) })
	t.Run("interval", func(t *testing.T) { testInterval(t, dir) })
	t.Run("rest", func(t *testing.T) { testREST(t, dir) })
}

// npm makes the folder with the script and what it needs. Node.js isn't everywhere: the test is asked for by a
// variable, and then it must be there.
func npm(t *testing.T) string {
	t.Helper()
	if os.Getenv("EOWRITER_TEST_NPM") == "" {
		t.Skip("set EOWRITER_TEST_NPM=1 to run it: it needs node and npm, and downloads packages")
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "write.mjs", "rest.mjs"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	run(t, dir, "", "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	return dir
}

// run runs a program to its end and returns what it wrote to standard output.
func run(t *testing.T, dir, input, program string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // for a test that fails
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err, "%s\n%s", errs.String(), out)
	return out
}

// A program that uses BigQuery's two libraries for Node.js must work against the emulator as it is: make a table and
// alter it, write to it, read what was written, drop it. If this failed, the REST API would suit the Go client only.
func testREST(t *testing.T, dir string) {
	srv, err := emulator.Start(emulator.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Close()) }()
	api := httptest.NewServer(emulator.NewREST(srv))
	defer api.Close()
	t.Setenv("BIGQUERY_EMULATOR_HOST", api.URL)
	rest := func(command string) string {
		return string(run(t, dir, "", "node", "rest.mjs", command, "p", "d", "t"))
	}

	require.JSONEq(t, `{"description": "altered", "expirationTime": "4102444800000",
		"columns": ["n INTEGER NULLABLE undefined", "s STRING NULLABLE 10", "ts TIMESTAMP NULLABLE undefined"]}`, rest("make"))
	out := run(t, dir, `{"n": 1, "s": "one", "ts": {"$precise": "2024-02-29T12:34:56.789123Z"}}`+"\n"+`{"n": 2}`+"\n",
		"node", "write.mjs", srv.Addr(), "projects/p/datasets/d/tables/t")
	require.Equal(t, "{\"offset\":0}\n{\"offset\":1}\n", string(out))
	require.JSONEq(t, `[{"n": 1, "s": "one", "ts": "2024-02-29T12:34:56.789123000Z"}, {"n": 2, "s": null}]`, rest("read"))
	require.JSONEq(t, `{"code": 409, "message": "Already Exists: Dataset p:d", "exists": false}`, rest("drop"))
}
