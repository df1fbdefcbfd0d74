package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
)

// rotator is a program that logs numbered rows, and what rotates its log.
type rotator struct {
	t       *testing.T
	path    string
	rng     *rand.Rand
	out     *os.File
	written int
	copies  bool // by copying, not by renaming
}

func (r *rotator) no(err error) { require.NoError(r.t, err) }

// write writes some rows, now and then in two pieces.
func (r *rotator) write() {
	if r.out == nil {
		f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		r.no(err)
		r.out = f
	}
	var b bytes.Buffer
	for range r.rng.IntN(40) + 1 {
		fmt.Fprintf(&b, "{\"n\": %d, \"s\": \"%s\"}\n", r.written, strings.Repeat("x", r.rng.IntN(200)))
		r.written++
	}
	at := r.rng.IntN(b.Len())
	_, err := r.out.Write(b.Next(at))
	r.no(err)
	_, err = r.out.Write(b.Bytes())
	r.no(err)
}

// rotate keeps nine rotated files, of which all but the newest are compressed.
func (r *rotator) rotate() {
	name := func(n int) string {
		gz := ""
		if n > 1 {
			gz = ".gz"
		}
		return fmt.Sprintf("%s.%d%s", r.path, n, gz)
	}
	for n := 8; n >= 2; n-- {
		if err := os.Rename(name(n), name(n+1)); err != nil {
			require.ErrorIs(r.t, err, os.ErrNotExist)
		}
	}
	if b, err := os.ReadFile(name(1)); err == nil {
		info, err := os.Stat(name(1))
		r.no(err)
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, err = w.Write(b)
		r.no(err)
		r.no(w.Close())
		r.no(os.WriteFile(name(2)+".tmp", z.Bytes(), 0o600))
		r.no(os.Chtimes(name(2)+".tmp", info.ModTime(), info.ModTime()))
		r.no(os.Rename(name(2)+".tmp", name(2)))
		r.no(os.Remove(name(1)))
	}
	if !r.copies {
		r.no(os.Rename(r.path, name(1)))
		r.no(r.out.Close())
		r.out = nil
		return
	}
	b, err := os.ReadFile(r.path)
	r.no(err)
	r.no(os.WriteFile(name(1), b, 0o600))
	r.no(os.Truncate(r.path, 0))
}

// A sidecar that follows a log and is killed at any time, while the log is written to and rotated, must bring each line to
// the table once and in order.
func TestTailKill(t *testing.T) {
	for _, copies := range []bool{false, true} {
		t.Run(fmt.Sprintf("copies %v", copies), func(t *testing.T) {
			t.Parallel()
			schema, err := rows.ParseSchema([]byte(`[{"name": "n", "type": "INTEGER"}, {"name": "s", "type": "STRING"}]`))
			require.NoError(t, err)
			const table = "projects/p/datasets/d/tables/logs"
			srv, err := emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{table: schema}})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, srv.Close()) })
			s := newSidecar(t, srv.Addr(), "--tail", "logs/*.log=p.d.logs", "--batch-rows", "50")
			require.NoError(t, os.Mkdir(filepath.Join(s.dir, "logs"), 0o700))
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := &rotator{t: t, path: filepath.Join(s.dir, "logs", "app.log"), rng: rand.New(rand.NewPCG(seed, 0)), copies: copies}
			r.write()
			s.start()
			require.Eventually(t, func() bool { return len(srv.Rows(table)) > 0 }, time.Minute, 5*time.Millisecond)
			for kills := 0; kills < 12; {
				for range r.rng.IntN(30) {
					r.write()
					time.Sleep(time.Duration(r.rng.IntN(10)) * time.Millisecond) // some of it while the sidecar reads
				}
				switch r.rng.IntN(4) {
				case 0, 1:
					s.kill()
					kills++
					if r.rng.IntN(2) == 0 && !copies {
						r.write()
						r.rotate()
						r.write()
					}
					s.start()
				case 2:
					r.rotate()
					r.write()
				}
			}
			r.write()
			require.Eventually(t, func() bool { return len(srv.Rows(table)) >= r.written }, 3*time.Minute, 20*time.Millisecond,
				"%v", &s.errs)
			s.end()
			require.NotContains(t, s.errs.String(), "are lost")
			for n, row := range srv.Rows(table) {
				v, err := row.Values()
				require.NoError(t, err)
				require.Equal(t, int64(n), v["n"])
			}
			require.Len(t, srv.Rows(table), r.written)
		})
	}
}

// Lines that are no rows become dead letters and stop nobody, nor do lines that are too long; what is lost is told, and the partition
// is shown and takes no appends.
func TestTailTrouble(t *testing.T) {
	schema, err := rows.ParseSchema([]byte(`[{"name": "n", "type": "INTEGER"}]`))
	require.NoError(t, err)
	const table = "projects/p/datasets/d/tables/logs"
	srv, err := emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{table: schema}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	s := newSidecar(t, srv.Addr(), "--tail", "*.log=p.d.logs")
	path := filepath.Join(s.dir, "a.log")
	put := func(text string) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	landed := func(n int) {
		t.Helper()
		require.Eventually(t, func() bool { return len(srv.Rows(table)) == n }, time.Minute, 5*time.Millisecond, "%v", &s.errs)
	}
	put("{\"n\": 1}\nnot JSON\n{\"n\": \"" + strings.Repeat("x", 5<<20) + "\"}\n{\"n\": 2}\n{\"n\": 3")
	s.start()
	landed(2)
	put("}\n")
	landed(3)
	require.NoError(t, os.Truncate(path, 0)) // nobody has a copy
	put("{\"n\": 4}\n")
	landed(4)

	list := func() (p struct {
		Partition, State, Position string
		DeadRows                   string
		Tail                       struct{ Losses string }
	}) {
		res, err := s.client.Post("http://s/eowriter.v1.Writer/ListPartitions", "application/json", strings.NewReader("{}"))
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		var all struct{ Partitions []json.RawMessage }
		require.NoError(t, json.Unmarshal(body, &all))
		require.Len(t, all.Partitions, 1, "%s", body)
		require.NoError(t, json.Unmarshal(all.Partitions[0], &p))
		return p
	}
	require.Eventually(t, func() bool { return list().DeadRows == "2" }, time.Minute, 5*time.Millisecond)
	p := list()
	require.Equal(t, path, p.Partition)
	require.Equal(t, "STATE_FILE", p.State)
	require.Equal(t, "1", p.Tail.Losses)
	require.Equal(t, "file 2, byte 9", p.Position)
	res, err := s.client.Post("http://s/v1/tables/p.d.logs/partitions/"+strings.ReplaceAll(path, "/", "%2F")+"/rows", "", strings.NewReader("{\"n\": 9}"))
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	s.end()
	require.Contains(t, s.errs.String(), "rows of a log are lost")
}
