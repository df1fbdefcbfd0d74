package tail

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
)

// Glob says which logs are followed into a table.
type Glob struct {
	Pattern string // of absolute paths, as filepath.Match has it; the live names
	Table   string // projects/P/datasets/D/tables/T
}

// Options say what to follow, and how.
type Options struct {
	Globs  []Glob
	Settle time.Duration // a rotated log that nobody writes to for so long is complete
	Poll   time.Duration // how often logs are looked at, also if nobody says that they have changed
	Notify bool          // be told by the system when logs change, as far as it can

	Ingest ingest.Options // how rows are made, and batches of them
	Log    *slog.Logger   // never contents of rows
}

// Defaults are what logrotate and its kind need.
func Defaults() Options { return Options{Settle: 5 * time.Second, Poll: time.Second, Notify: true} }

// parallel is how many batches are read and encoded at the same time.
const parallel = 4

// Tail follows logs. Safe for concurrent use.
type Tail struct {
	opt Options
	led *ledger.Ledger
	w   *committed.Writer
	in  *ingest.Ingest

	ctx      context.Context // of everything; ends in Close
	end      context.CancelFunc
	stopping chan struct{} // closed by Close: nothing is read any more
	watching sync.WaitGroup
	running  sync.WaitGroup // followers
	benches  chan *bench

	mu        sync.Mutex // guards what follows
	followers map[ledger.Key]*follower
	tables    map[string]*table
	complete  map[ledger.Key]string // the positions of logs that were read to their end and are no more
	counts    Counts
	full      bool // a log was not followed for want of room
}

// bench is the memory that a batch is made in.
type bench struct {
	memory []byte
	batch  lines.Batch
}

// Counts are totals since the start.
type Counts struct {
	Rows, Bytes       int64 // that were read, of batches that the writer has taken
	Losses, LostBytes int64 // how often something was lost, and how much at least
}

// New returns a Tail that follows nothing before Start.
func New(opt Options) *Tail {
	t := &Tail{
		opt: opt, stopping: make(chan struct{}), benches: make(chan *bench, parallel),
		followers: map[ledger.Key]*follower{}, tables: map[string]*table{}, complete: map[ledger.Key]string{},
	}
	for range parallel {
		t.benches <- &bench{batch: lines.Batch{MaxRow: maxRow}}
	}
	t.ctx, t.end = context.WithCancel(context.Background())
	return t
}

// Start begins to follow. Ledger, writer and in stay the caller's to close, after Close.
func (t *Tail) Start(led *ledger.Ledger, w *committed.Writer, in *ingest.Ingest) {
	t.led, t.w, t.in = led, w, in
	for _, g := range t.opt.Globs {
		watch := newWatcher(t, g.Pattern, g.Table)
		t.watching.Go(watch.run)
	}
}

// Close reads nothing any more, and lets land what is bound. When ctx ends first, that stays for the next start.
func (t *Tail) Close(ctx context.Context) {
	close(t.stopping)
	t.watching.Wait()
	stop := context.AfterFunc(ctx, t.end)
	defer stop()
	t.running.Wait()
	t.end()
}

// follow has a log followed, if it isn't yet, and returns who does; nil: there are too many.
func (t *Tail) follow(path, tableName string) *follower {
	key := ledger.Key{Table: tableName, Name: source.PartitionName("", path)}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.followers[key]
	if f != nil {
		return f
	}
	if len(t.followers) >= t.opt.Ingest.MaxPartitions {
		if !t.full {
			t.opt.Log.Error("too many logs: not all are followed, see --max-partitions", "path", path, "followed", len(t.followers))
		}
		t.full = true
		return nil
	}
	f = newFollower(t, key, path, t.table(tableName))
	t.followers[key] = f
	t.running.Go(f.run)
	return f
}

// ended notes that a log is no more, and was read up to a position.
func (t *Tail) ended(f *follower, at []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.followers, f.key)
	t.full = false
	if len(at) == 0 {
		return
	}
	if len(t.complete) >= maxComplete {
		clear(t.complete) // such logs are said to have lost something unknown if they come back
	}
	t.complete[f.key] = string(at)
}

// maxComplete bounds what is remembered of logs that are no more.
const maxComplete = 50_000

// isComplete says that a log was read to its end, which is the position, before it was removed.
func (t *Tail) isComplete(key ledger.Key, at []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.complete[key] == string(at)
}

func (t *Tail) count(add func(*Counts)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	add(&t.counts)
}

// Counts returns what was counted, and how many bytes are known not to be read yet.
func (t *Tail) Counts() (c Counts, behind int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.followers {
		behind += f.behind()
	}
	return t.counts, behind
}

// Keys is ingest's Files.
func (t *Tail) Keys(table string) (keys []ledger.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.followers {
		if table == "" || key.Table == table {
			keys = append(keys, key)
		}
	}
	return keys
}

// Has is ingest's Files.
func (t *Tail) Has(key ledger.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.followers[key] != nil
}

// Describe is ingest's Files.
func (t *Tail) Describe(key ledger.Key, s *eowriterv1.Partition) {
	t.mu.Lock()
	f := t.followers[key]
	t.mu.Unlock()
	if f != nil { // else it has ended just now
		f.describe(s)
	}
}
