package committed_test

import (
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

var makeOlder = flag.Bool("make-older", false, "make testdata/older anew: never after a change of what ledgers look like")

// olderRows is how many lines the ledger in testdata/older has bound. Of these three
// batches have landed with the ledger knowing, and a fourth without.
const olderRows = 90

// olderBench is a bench on a service and a ledger that were left in a folder.
func olderBench(t *testing.T, dir string, opt committed.Options, faults ...emulator.Fault) *bench {
	return newBenchAt(t, filepath.Join(dir, "test.ledger"), opt, emulator.Options{
		Tables: map[string]*storagepb.TableSchema{table: wideSchema()},
		Data:   filepath.Join(dir, "service"), StreamTTL: -1, Faults: faults,
	})
}

// olderFiles are what is left in testdata/older, compressed: a ledger is mostly room.
var olderFiles = []string{"test.ledger", "test.ledger.incarnation", "service/emulator.log"}

func pack(t *testing.T, dir string) {
	require.NoError(t, os.MkdirAll("testdata/older", 0o755))
	for _, name := range olderFiles {
		content, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		f, err := os.Create(filepath.Join("testdata/older", filepath.Base(name)+".gz"))
		require.NoError(t, err)
		w := gzip.NewWriter(f)
		_, err = w.Write(content)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.NoError(t, f.Close())
	}
}

func unpack(t *testing.T, dir string) {
	require.NoError(t, os.Mkdir(filepath.Join(dir, "service"), 0o700))
	for _, name := range olderFiles {
		f, err := os.Open(filepath.Join("testdata/older", filepath.Base(name)+".gz"))
		require.NoError(t, err)
		r, err := gzip.NewReader(f)
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
}

// If it fails, whoever upgrades with batches open loses or repeats rows: the ledger in
// testdata was left by an older encoder, and it was moved besides.
func TestLedgerOfAnOlderEncoder(t *testing.T) {
	old, upgraded := dirty{version: 1, valid: true}, dirty{version: 2, valid: true}
	if *makeOlder {
		dir := t.TempDir()
		b := olderBench(t, dir, committed.Options{Backoff: slow()}, emulator.Fault{Kind: emulator.CloseAfter, After: 4})
		p, err := b.w.Partition(b.ctx(), old.config(b, false, 1000))
		require.NoError(t, err)
		results := old.append(b, p, 0, olderRows)
		require.NoError(t, results[8].Stored(b.ctx()))
		b.requireLanded(results[:3])
		b.close()
		require.NoError(t, b.srv.Close())
		pack(t, dir)
		b.open()
	}
	dir := t.TempDir()
	unpack(t, dir)
	b := olderBench(t, dir, committed.Options{})
	landed := len(b.ids())
	require.NotZero(t, landed)
	require.Less(t, landed, 60)
	p, err := b.w.Partition(b.ctx(), upgraded.config(b, false, 1000))
	require.NoError(t, err)
	require.NotEmpty(t, p.Found())
	b.requireLanded(p.Recovered())
	require.NoError(t, p.Drain(b.ctx()))
	upgraded.requireAll(b, p, olderRows)
	for i, r := range b.srv.Rows(table) {
		version := "version 2"
		if i < landed {
			version = "version 1"
		}
		require.Contains(t, string(r.Data), version, "row %d of %d", i, landed)
	}
	var reasons []ledger.Reason
	for _, seal := range b.take().seals {
		reasons = append(reasons, seal.Reason)
	}
	require.Equal(t, []ledger.Reason{ledger.TakeOver, ledger.Encoding}, reasons)
	b.requireLanded(upgraded.append(b, p, olderRows, olderRows+20))
	upgraded.requireAll(b, p, olderRows+20)
}
