package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"cloud.google.com/go/bigquery"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
)

// With --http, BigQuery's own client must be able to make a table, and to read what load wrote to it: that is how
// somebody else's program is tested. The emulator is told of no table before.
func TestEmulatorREST(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rows.ndjson"), []byte(`{"n": 1, "s": "one"}`+"\n"+`{"n": 2}`+"\n"), 0o600))
	cmd := command(dir, "emulator", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--propagation", "300ms", "--json")
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }() // if the test fails
	lines := bufio.NewReader(pipe)
	line, err := lines.ReadBytes('\n')
	require.NoError(t, err)
	var start emulatorStart
	require.NoError(t, json.Unmarshal(line, &start))

	ctx := context.Background()
	client, err := bigquery.NewClient(ctx, "p", option.WithEndpoint(start.HTTP), option.WithoutAuthentication())
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.Dataset("d").Create(ctx, nil))
	table := client.Dataset("d").Table("t")
	require.NoError(t, table.Create(ctx, &bigquery.TableMetadata{Schema: bigquery.Schema{
		{Name: "n", Type: bigquery.IntegerFieldType, Required: true}, {Name: "s", Type: bigquery.StringFieldType},
	}}))

	out, err := command(dir, "load", "--table", "p.d.t", "--ledger", "t.ledger", "--endpoint", start.Address, "--insecure",
		"--json", "rows.ndjson").Output()
	require.NoError(t, err)
	require.Equal(t, int64(2), readReport(t, out).RowsAppended)

	require.Equal(t, [][]bigquery.Value{{int64(1), "one"}, {int64(2), nil}}, readTable(t, table))

	// A column is added, which the backends know a little later: load waits for it.
	before, err := table.Metadata(ctx)
	require.NoError(t, err)
	_, err = table.Update(ctx, bigquery.TableMetadataToUpdate{
		Schema: append(before.Schema, &bigquery.FieldSchema{Name: "c", Type: bigquery.StringFieldType}),
	}, before.ETag)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "more.ndjson"), []byte(`{"n": 3, "c": "red"}`+"\n"), 0o600))
	out, err = command(dir, "load", "--table", "p.d.t", "--ledger", "t.ledger", "--endpoint", start.Address, "--insecure",
		"--json", "more.ndjson").Output()
	require.NoError(t, err)
	require.Equal(t, int64(1), readReport(t, out).RowsAppended)
	require.Equal(t, [][]bigquery.Value{{int64(1), "one", nil}, {int64(2), nil, nil}, {int64(3), nil, "red"}}, readTable(t, table))

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	line, err = lines.ReadBytes('\n')
	require.NoError(t, err)
	var end emulatorEnd
	require.NoError(t, json.Unmarshal(line, &end))
	require.Equal(t, int64(3), end.Rows)
	require.NoError(t, cmd.Wait())
}

func readTable(t *testing.T, table *bigquery.Table) (rows [][]bigquery.Value) {
	for it := table.Read(context.Background()); ; {
		var row []bigquery.Value
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return rows
		}
		require.NoError(t, err)
		rows = append(rows, row)
	}
}
