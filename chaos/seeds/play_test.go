package seeds

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/grpc/test/bufconn"
)

// Outcome is what came of a schedule.
type Outcome struct {
	Failure *Failure          // nil: the promise was kept
	Events  []string          // the last ones, or all
	Streams map[string]string // what the service saw of each stream, by partition and ordinal
	Covered *coverage
}

// Failure is what went wrong first.
type Failure struct {
	Kind   chaos.Kind
	Run    int
	Detail string
}

// The failures that no history shows, beside those of the oracle.
const (
	stopped    chaos.Kind = "stopped"      // a partition stopped for a reason that nothing in the schedule explains
	wentOn     chaos.Kind = "went on"      // a partition did not stop that had to
	stuck      chaos.Kind = "stuck"        // nothing got further for a week, or the service was asked again and again
	incomplete chaos.Kind = "incomplete"   // in the end the ledger does not say that all has landed
	broken     chaos.Kind = "not playable" // the test itself could not go on
)

// How long a run may take without being stuck, in virtual time; the last one, without faults, is done as soon as
// the tables' changes have reached the backends.
const (
	patience     = 7 * 24 * time.Hour
	lastPatience = 10 * time.Minute
)

// askedAtMost bounds the requests of a whole schedule, for what goes on without time passing.
const askedAtMost = 20_000

// Options are for Play.
type Options struct {
	AllEvents bool // are kept, not only the last ones
	Amnesia   bool // killed processes leave the ledger as they found it: a bug to be found
}

// player plays one schedule.
type player struct {
	s             Schedule
	opt           Options
	path          string
	service       *bufconn.Listener
	srv           *emulator.Server
	journal       *journal
	covered       *coverage
	seen          histories
	lines         []*line
	columns       []int     // added to each table
	moved         bool      // the ledger was, or a copy was put back
	restored      bool      // a copy was put back
	whole         bool      // with its companion, so that nobody notices
	probed        bool      // and since then a run went to its end
	kept          *image    // that copy
	keptAt        time.Time // when it was taken
	keptCompanion sparse
	keptStreams   []string
	retiring      bool     // all has landed
	foreign       []string // of each partition: the stream that somebody else has written to, or ""

	mu      sync.Mutex // guards what follows; a leaf
	process *process   // the present one, or the last
	history chaos.History
	buried  map[chaos.Dead]bool // dead rows that were delivered, or of ledgers that a copy has replaced
	stored  []int64             // rows of each partition that results said are durable
	asked   map[string]int64    // requests of each stream
	total   int
	short   map[string]string // names of streams for people
	failure *Failure          // noticed while a run goes on
}

// Play plays a schedule and says what came of it. It does not fail t.
func Play(t *testing.T, s Schedule, opt Options) (o Outcome) {
	dir, err := folder()
	if err == nil {
		defer os.RemoveAll(dir)
		err = s.check()
	}
	if err != nil {
		return Outcome{Failure: &Failure{Kind: broken, Detail: err.Error()}, Covered: newCoverage()}
	}
	synctest.Test(t, func(*testing.T) {
		p := &player{
			s: s, path: filepath.Join(dir, "ledger"), service: bufconn.Listen(64 << 10), opt: opt,
			journal: newJournal(opt.AllEvents), covered: newCoverage(), seen: histories{of: map[string]*strings.Builder{}},
			columns: make([]int, len(s.Partitions)), stored: make([]int64, len(s.Partitions)), probed: true,
			foreign: make([]string, len(s.Partitions)), buried: map[chaos.Dead]bool{}, asked: map[string]int64{}, short: map[string]string{},
		}
		failure := p.play()
		// managedwriter keeps a goroutine asleep for 20 s after each connection.
		time.Sleep(time.Minute)
		o = Outcome{Failure: failure, Events: p.journal.lines(), Streams: map[string]string{}, Covered: p.covered}
		for stream, h := range p.seen.of {
			o.Streams[stream] = h.String()
		}
	})
	return o
}

func (p *player) play() *Failure {
	if err := p.start(); err != nil {
		return &Failure{Kind: broken, Detail: err.Error()}
	}
	failure := p.playRuns()
	for kind, n := range p.srv.FaultCounts() {
		p.covered.add("fault "+kind, int(n))
	}
	if err := p.srv.Close(); err != nil && failure == nil {
		failure = &Failure{Kind: broken, Detail: err.Error()}
	}
	for _, l := range p.lines {
		l.cut(0)
		l.ended.Wait()
	}
	return failure
}

// start starts the service.
func (p *player) start() error {
	v := p.s.Service
	opt := emulator.Options{
		Listener: p.service, Tables: map[string]*storagepb.TableSchema{}, Seed: p.s.Seed,
		AbortFollowers: v.AbortFollowers, RowsFirst: v.RowsFirst, MaxConnections: v.MaxConnections,
		IdleTimeout: time.Duration(v.IdleTimeout), StreamTTL: time.Duration(v.StreamTTL),
		Propagation: emulator.Propagation{Delay: time.Duration(v.Delay), Jitter: time.Duration(v.Jitter)},
		OnAppend:    p.asks, OnAnswer: p.answers,
	}
	if v.SoftLimit {
		opt.SoftLimit = workload.SoftLimit
	}
	for i := range p.s.Partitions {
		opt.Tables[tableOf(i)] = p.schema(i)
	}
	var err error
	if p.srv, err = emulator.Start(opt); err == nil {
		err = p.inject(p.s.Faults)
	}
	return err
}

func (p *player) inject(specs []string) error {
	for _, spec := range specs {
		f, err := emulator.ParseFault(spec)
		if err != nil {
			return err
		}
		p.srv.Inject(f)
	}
	return nil
}

func (p *player) playRuns() *Failure {
	for n, r := range p.s.Runs {
		if err := p.inject(r.Faults); err != nil {
			return &Failure{broken, n, err.Error()}
		}
		if f := p.playRun(n, r); f != nil {
			return f
		}
		for _, t := range r.Then {
			if err := p.then(t); err != nil {
				return &Failure{broken, n, err.Error()}
			}
		}
	}
	p.srv.ClearFaults()
	last := len(p.s.Runs)
	p.journal.note("the last run")
	if f := p.playRun(last, Run{Upto: p.s.Rows, Batch: p.s.BatchRows, Follow: true}); f != nil {
		return f
	}
	// What is in doubt lands, too, when a person has said what of it is there: of a stream, and perhaps of its successor.
	for range 2 {
		if p.restored {
			break
		}
		n, err := p.resolve()
		if err != nil {
			return &Failure{broken, last, err.Error()}
		}
		if n == 0 {
			break
		}
		if f := p.playRun(last, Run{Upto: p.s.Rows, Batch: p.s.BatchRows}); f != nil {
			return f
		}
	}
	p.settle()
	if f := p.verify(last, true); f != nil {
		return f
	}
	return p.retire(last + 1)
}

// settle waits until all that was written in earlier runs has arrived.
func (p *player) settle() {
	for _, l := range p.lines {
		for l.late() > 0 {
			time.Sleep(time.Minute)
		}
	}
	synctest.Wait()
}

// playRun plays a run and looks at what it has left.
func (p *player) playRun(n int, r Run) *Failure {
	want, err := p.expect(n)
	if err != nil {
		return &Failure{broken, n, err.Error()}
	}
	failed, how, err := p.runWriter(n, r)
	p.mu.Lock()
	failure := p.failure
	p.mu.Unlock()
	switch {
	case failure != nil:
		return failure
	case err != nil:
		return &Failure{broken, n, err.Error()}
	}
	p.probed = p.probed || how == drained
	if f := want.compare(n, failed, how); f != nil {
		return f
	}
	return p.verify(n, false)
}

// fail notes what went wrong first.
func (p *player) fail(kind chaos.Kind, format string, args ...any) {
	f := &Failure{Kind: kind, Detail: fmt.Sprintf(format, args...)}
	p.journal.note("%s: %s", f.Kind, f.Detail)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil {
		p.failure = f
	}
}

// bind notes what is bound. p.mu is held, or nothing runs.
func (p *player) bind(key ledger.Key, stream string, in ledger.Intent) {
	from, _ := workload.RowsAt(in.Before)
	to, _ := workload.RowsAt(in.After)
	p.history.Bound = append(p.history.Bound, chaos.Bound{
		Partition: key.Name, Stream: stream, Start: in.Start, Rows: in.Rows, From: from, To: to, Digest: fmt.Sprintf("%x", in.Digest),
	})
}

// partitionOf is the number of a partition.
func partitionOf(key ledger.Key) (i int) {
	_, _ = fmt.Sscanf(key.Name, "p%d", &i)
	return i
}
