package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

var (
	killFor  = flag.Duration("producers.for", 0, "how long TestProducersKilled kills; 0: 3s, or 60s with EOWRITER_TEST_PRODUCERS")
	killSeed = flag.Uint64("producers.seed", 0, "its seed; 0: a new one")
)

// languages are the producers of docs/producers.
func languages(t *testing.T) map[string][]string {
	t.Helper()
	folder, err := filepath.Abs("../../docs/producers")
	require.NoError(t, err)
	program := filepath.Join(t.TempDir(), "producer")
	out, err := exec.Command("go", "build", "-o", program, folder).CombinedOutput()
	require.NoError(t, err, "%s", out)
	all := map[string][]string{"go": {program}}
	if os.Getenv("EOWRITER_TEST_PRODUCERS") != "" {
		all["python"] = []string{"python3", filepath.Join(folder, "producer.py")}
		all["node"] = []string{"node", filepath.Join(folder, "producer.mjs")}
	}
	return all
}

// TestProducersKilled has producers, sidecar and service killed with SIGKILL at random, while the service has faults of its
// own. In the end each row of each source must be in the table once and in order, and nobody may have been told of a row
// that wasn't safe. If it fails, exactly-once doesn't hold from end to end, or the examples that people copy are wrong.
func TestProducersKilled(t *testing.T) {
	programs := languages(t)
	s := newSiege(t)
	all, ctx := errgroup.WithContext(t.Context())
	all.Go(func() error { return s.emulator.keep(ctx, s, s.afterEmulator) })
	all.Go(func() error { return s.sidecar.keep(ctx, s, nil) })
	all.Go(func() error {
		defer close(s.filled)
		producers, ctx := errgroup.WithContext(ctx)
		for language, program := range programs {
			for n, ack := range []string{"landed", "stored"} {
				producers.Go(func() error { return s.produce(ctx, fmt.Sprintf("%s-%d", language, n), program, ack) })
			}
		}
		return producers.Wait()
	})
	require.NoError(t, all.Wait(), "seed %d", s.seed)
	s.gone(programs["go"])
	require.NoError(t, s.sidecar.end(), "seed %d", s.seed)
	require.NoError(t, s.emulator.end())
	s.judge()
}

const (
	sourceRows = 3000 // of each partition
	rowWidth   = 200  // bytes of a line
)

// row is line n of a partition's source.
func row(partition string, n int64) []byte {
	line := fmt.Appendf(nil, `{"n": %d, "s": %q}`, n, partition)
	return append(append(line, strings.Repeat(" ", rowWidth-1-len(line))...), '\n')
}

// rowsAt is a position in a source as the number of rows before it.
func rowsAt(position string) (int64, error) {
	if position == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(position, 10, 64)
	if err == nil && n%rowWidth != 0 {
		err = fmt.Errorf("position %q is in the middle of a row", position)
	}
	return n / rowWidth, err
}

// siege is one run of TestProducersKilled.
type siege struct {
	t                 *testing.T
	dir               string
	seed              uint64
	over              <-chan struct{} // nothing is killed any more
	filled            chan struct{}   // all producers have come to their ends
	sidecar, emulator *victim

	mu      sync.Mutex // guards what follows
	history chaos.History
	counts  map[string]int
}

func newSiege(t *testing.T) *siege {
	s := &siege{t: t, dir: t.TempDir(), seed: *killSeed, filled: make(chan struct{}), counts: map[string]int{}}
	if s.seed == 0 {
		s.seed = rand.Uint64()
	}
	length := *killFor
	switch {
	case length > 0:
	case os.Getenv("EOWRITER_TEST_PRODUCERS") != "":
		length = time.Minute
	default:
		length = 3 * time.Second
	}
	t.Logf("seed %d, for %v", s.seed, length)
	over := make(chan struct{})
	s.over = over
	timer := time.AfterFunc(length, func() { close(over) })
	t.Cleanup(func() { timer.Stop() })
	s.history.Input = map[string]int64{}

	schema := filepath.Join(s.dir, "schema.json")
	require.NoError(t, os.WriteFile(schema, []byte(serveTable), 0o600))
	address := freePort(t)
	starts := uint64(0)
	s.emulator = newVictim(t, "emulator", func() *exec.Cmd {
		starts++
		args := []string{"emulator", "--listen", address, "--data", "data", "--table", "p.d.t=" + schema, "--seed", fmt.Sprint(s.seed + starts)}
		for _, fault := range siegeFaults {
			if !s.isOver() {
				args = append(args, "--fault", fault)
			}
		}
		return command(s.dir, args...)
	}, 3*time.Second, s.seed)
	s.sidecar = newVictim(t, "sidecar", func() *exec.Cmd {
		return command(s.dir, "serve", "--ledger", "l", "--socket", "run/s", "--endpoint", address, "--insecure",
			"--contact-timeout", "0", "--drain-timeout", "2m", "--append-bytes", "150KiB", "--partition-memory", "300KiB", "--memory", "600KiB")
	}, 1500*time.Millisecond, s.seed)
	return s
}

// siegeFaults are the service's own.
var siegeFaults = []string{
	"reset-before:p=0.01", "reset-after:p=0.02", "close-before:p=0.01", "close-after:p=0.02", "goaway:p=0.005", "goaway-after:p=0.005",
	"error:p=0.01,code=INTERNAL", "error-after:p=0.01", "stale-end:p=0.3,lag=2,checks=2", "drop-connect:p=0.05",
	"refuse-create:p=0.1", "create-lost:p=0.1", "stall:p=0.1,delay=300ms",
}

func (s *siege) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

func (s *siege) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

// produce has partitions filled, one after another, by a producer that is killed, until nothing is killed any more.
func (s *siege) produce(ctx context.Context, name string, program []string, ack string) error {
	for n := 0; !s.isOver(); n++ {
		partition := fmt.Sprintf("%s-%d", name, n)
		if err := s.source(partition, 0, sourceRows); err != nil {
			return err
		}
		twins, ctx := errgroup.WithContext(ctx) // an old one may live on when a new one is started
		for range 1 + n%2 {
			twins.Go(func() error { return s.fill(ctx, partition, program, ack) })
		}
		if err := twins.Wait(); err != nil {
			return fmt.Errorf("%s: %w", partition, err)
		}
	}
	return nil
}

// source gives a partition's source the rows [from, to).
func (s *siege) source(partition string, from, to int64) error {
	s.mu.Lock()
	s.history.Input[partition] = to
	s.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(s.dir, partition), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	for n := from; n < to && err == nil; n++ {
		_, err = f.Write(row(partition, n))
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// fill runs producers until one has come to the end of the source.
func (s *siege) fill(ctx context.Context, partition string, program []string, ack string) error {
	args := append(slices.Clone(program[1:]), "run/s", "p.d.t", partition, filepath.Join(s.dir, partition), ack)
	v := newVictim(s.t, "producer", func() *exec.Cmd {
		cmd := exec.Command(program[0], args...)
		cmd.Dir = s.dir
		return cmd
	}, time.Second, s.seed, partition)
	stored := new(int64)
	v.heard = func(line []byte) error { return s.heard(partition, stored, line) }
	return v.finish(ctx, s)
}

// told is what a producer prints: the state of its partition, the answer to an append, or why it was refused.
type told struct {
	State, Position, Reason, Acknowledged string
	Current                               string `json:"current_position"`
	Duplicate                             bool
}

// heard notes what a producer says that it was told. stored is how many rows it knows to be safe.
func (s *siege) heard(partition string, stored *int64, line []byte) error {
	var a told
	if err := json.Unmarshal(line, &a); err != nil {
		return fmt.Errorf("it says %q: %w", line, err)
	}
	var inside struct{ Partition told } // as GetPartition answers
	if json.Unmarshal(line, &inside) == nil && inside.Partition.State != "" {
		a = inside.Partition
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.Reason == "REASON_POSITION" {
		a.State, a.Position = "elsewhere", a.Current
	}
	at, err := rowsAt(a.Position)
	switch {
	case err != nil:
		return err
	case a.State != "":
		s.counts["resumed"]++
		s.history.Resumed = append(s.history.Resumed, chaos.Resumed{Partition: partition, At: at, Stored: *stored})
	case a.Acknowledged == "ACKNOWLEDGE_LANDED":
		s.history.Told = append(s.history.Told, chaos.Told{Partition: partition, From: 0, To: at})
	}
	if a.Reason != "" {
		s.counts[a.Reason]++
		return nil
	}
	*stored = max(*stored, at)
	if a.Duplicate {
		s.counts["duplicates"]++
	}
	return nil
}

// afterEmulator holds what had been told to have landed against what the killed service has.
func (s *siege) afterEmulator() error {
	s.mu.Lock()
	h := chaos.History{Input: maps.Clone(s.history.Input), Told: s.history.Told[:len(s.history.Told):len(s.history.Told)]}
	s.mu.Unlock()
	return s.look(h)
}

// look judges a history with the table as it is; the emulator doesn't run.
func (s *siege) look(h chaos.History) error {
	srv, err := emulator.Start(emulator.Options{Data: filepath.Join(s.dir, "data"), Tables: serveSchema(s.t)})
	if err != nil {
		return err
	}
	for _, r := range srv.Rows(testTable) {
		v, err := r.Values()
		if err != nil {
			return err
		}
		h.Table = append(h.Table, chaos.Row{Stream: r.Stream, Offset: r.Offset, Partition: v["s"].(string), Index: v["n"].(int64)})
	}
	if err := srv.Close(); err != nil {
		return err
	}
	if found := h.Judge(); len(found) > 0 {
		return fmt.Errorf("%d violations: %v", len(found), found[:min(len(found), 10)])
	}
	return nil
}

// gone has a producer that asks for no more than stored end for good while the service is down, and the sidecar die before
// it is back.
func (s *siege) gone(program []string) {
	const partition, early, all = "gone", 10, 2000
	require.NoError(s.t, s.source(partition, 0, early))
	require.NoError(s.t, s.fill(s.t.Context(), partition, program, "landed"))
	s.emulator.kill()
	require.NoError(s.t, s.source(partition, early, all))
	require.NoError(s.t, s.fill(s.t.Context(), partition, program, "stored"))
	s.sidecar.kill()
	require.NoError(s.t, s.emulator.start())
	require.NoError(s.t, s.sidecar.start())
}

// judge looks at the end: all must be there.
func (s *siege) judge() {
	state, err := workload.ReadLedger(filepath.Join(s.dir, "l"))
	require.NoError(s.t, err)
	h := s.history
	h.Final, h.Positions, h.Epochs = true, map[string]int64{}, map[string]uint64{}
	for _, p := range state.Partitions {
		h.Positions[p.Key.Name], err = rowsAt(string(p.Position))
		require.NoError(s.t, err)
		require.Equal(s.t, h.Input[p.Key.Name], h.Positions[p.Key.Name], p.Key.Name)
		h.Epochs[p.Stream] = p.Epoch
	}
	for _, r := range state.Retired {
		h.Epochs[r.Stream] = r.Epoch
	}
	for _, v := range state.Violations {
		h.Unsound = append(h.Unsound, fmt.Sprint(v))
	}
	require.NoError(s.t, s.look(h), "seed %d", s.seed)
	rows := int64(0)
	for _, n := range h.Input {
		rows += n
	}
	s.t.Logf("%d rows in %d partitions: %v", rows, len(h.Input), s.counts)
	require.Positive(s.t, s.counts["producer killed"])
	require.Positive(s.t, s.counts["sidecar killed"])
	require.Positive(s.t, s.counts["emulator killed"])
}
