package chaos

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	module        = "github.com/eowriter/eowriter"
	managedwriter = "cloud.google.com/go/bigquery/storage/managedwriter"
)

// mayImport is the layout of ARCHITECTURE.md: which packages of ours each may import.
// The command, below cmd, may import all of them.
var mayImport = map[string][]string{
	"ledger":          {},
	"retry":           {},
	"recovery":        {"ledger", "retry"},
	"committed":       {"ledger", "retry", "recovery", "committed/rows"},
	"committed/rows":  {},
	"chaos":           {},
	"chaos/emulator":  {},
	"chaos/mutants":   {},
	"chaos/netfault":  {},
	"chaos/powerloss": {},
	"chaos/workload":  {"chaos", "chaos/emulator", "committed", "ledger", "retry"},
	"chaos/scenario":  {"chaos", "chaos/emulator", "chaos/netfault", "chaos/workload", "committed", "ledger"},
	"chaos/seeds":     {"chaos", "chaos/emulator", "chaos/workload", "committed", "ledger", "retry"},
	"docs/producers":  {"cmd/eowriter/api/eowriter/v1", "cmd/eowriter/api/eowriter/v1/eowriterv1connect"},
	"testdata":        {},
}

// misplaced says why a file, named from the root of the module, must not import a
// package, or nothing. Tests may import what they like.
func misplaced(file, imported string) string {
	if strings.HasSuffix(file, "_test.go") {
		return ""
	}
	folder := path.Dir(file)
	command := strings.HasPrefix(folder, "cmd/")
	client := imported == managedwriter || strings.HasPrefix(imported, managedwriter+"/")
	if client && file != "committed/stream.go" && folder != "cmd/eowriter/internal/bench" {
		return "only committed/stream.go knows managedwriter"
	}
	ours, is := strings.CutPrefix(imported, module+"/")
	allowed, known := mayImport[folder]
	switch {
	case command || !is && known:
		return ""
	case !known:
		return "the layout does not know this folder: say in mayImport what it may import"
	case !slices.Contains(allowed, ours):
		return "imports go only downwards"
	}
	return ""
}

// TestLayout checks every import of the module. If it failed, the parts of the writer
// could no longer be understood, tested and trusted one by one.
func TestLayout(t *testing.T) {
	files := 0
	seen := map[string]bool{}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") {
			return err
		}
		file, err := filepath.Rel("..", name)
		require.NoError(t, err)
		file = filepath.ToSlash(file)
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		require.NoError(t, err)
		files++
		seen[path.Dir(file)] = true
		for _, i := range parsed.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			require.NoError(t, err)
			if why := misplaced(file, imported); why != "" {
				t.Errorf("%s imports %s: %s", file, imported, why)
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, files, 100)
	for _, folder := range []string{"ledger", "retry", "recovery", "committed", "committed/rows", "chaos/emulator"} {
		require.True(t, seen[folder], "%s was not looked at", folder)
	}
}

// TestMisplaced gives the rule imports that it must refuse. If it failed, TestLayout
// could let everything pass.
func TestMisplaced(t *testing.T) {
	for _, c := range []struct {
		file, imported string
		ok             bool
	}{
		{"ledger/open.go", "os", true},
		{"ledger/open.go", module + "/retry", false},
		{"ledger/open_test.go", module + "/retry", true},
		{"retry/answer.go", module + "/ledger", false},
		{"recovery/machine.go", module + "/ledger", true},
		{"recovery/machine.go", module + "/committed", false},
		{"recovery/machine.go", module + "/chaos/emulator", false},
		{"committed/writer.go", module + "/recovery", true},
		{"committed/schema.go", module + "/committed/rows", true},
		{"committed/writer.go", module + "/chaos/emulator", false},
		{"committed/writer.go", managedwriter, false},
		{"committed/stream.go", managedwriter, true},
		{"committed/schema.go", managedwriter + "/adapt", false},
		{"ledger/schema.go", managedwriter + "/adapt", false},
		{"committed/rows/encoder.go", module + "/committed", false},
		{"chaos/emulator/emulator.go", module + "/ledger", false},
		{"chaos/oracle.go", module + "/committed", false},
		{"chaos/oracle.go", module + "/chaos/workload", false},
		{"chaos/workload/script.go", module + "/committed", true},
		{"cmd/eowriter/main.go", module + "/chaos/emulator", true},
		{"cmd/eowriter/main.go", managedwriter, false},
		{"cmd/eowriter/internal/bench/contenders.go", managedwriter, true},
		{"somewhere/new.go", "os", false},
	} {
		require.Equal(t, c.ok, misplaced(c.file, c.imported) == "", "%s imports %s", c.file, c.imported)
	}
}
