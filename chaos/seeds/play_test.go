package seeds

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
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
	"google.golang.org/grpc/status"
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

// patience is how long a run may take without getting stuck, in virtual time.
const patience = 7 * 24 * time.Hour

// askedAtMost bounds the requests of a whole schedule, for what goes on without time passing.
const askedAtMost = 20_000

// player plays one schedule.
type player struct {
	s        Schedule
	all      bool // events
	path     string
	service  *bufconn.Listener
	srv      *emulator.Server
	journal  *journal
	covered  *coverage
	seen     histories
	lines    []*line
	columns  []int               // added to each table
	moved    bool                // the ledger was, or a copy was put back
	restored bool                // a copy was put back
	probed   bool                // and since then a run went to its end
	kept     *image              // that copy
	keptAt   time.Time           //
	buried   map[chaos.Dead]bool // dead rows of ledgers that a copy has replaced

	mu      sync.Mutex // guards what follows; a leaf
	process *process   // the present one, or the last
	history chaos.History
	stored  []int64          // rows of each partition that results said are durable
	asked   map[string]int64 // requests of each stream
	total   int
	short   map[string]string // names of streams for people
	failure *Failure          // noticed while a run goes on
}

// Play plays a schedule and says what came of it. It does not fail t. all keeps all events.
func Play(t *testing.T, s Schedule, all bool) (o Outcome) {
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
			s: s, path: filepath.Join(dir, "ledger"), service: bufconn.Listen(64 << 10), all: all,
			journal: newJournal(all), covered: newCoverage(), seen: histories{of: map[string]*strings.Builder{}},
			columns: make([]int, len(s.Partitions)), stored: make([]int64, len(s.Partitions)), probed: true,
			buried: map[chaos.Dead]bool{}, asked: map[string]int64{}, short: map[string]string{},
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
	for _, spec := range p.s.Faults {
		f, err := emulator.ParseFault(spec)
		if err != nil {
			return err
		}
		opt.Faults = append(opt.Faults, f)
	}
	var err error
	p.srv, err = emulator.Start(opt)
	return err
}

// schema is the present one of a partition's table.
func (p *player) schema(partition int) *storagepb.TableSchema {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := workload.TableSchema()
	for i := range p.columns[partition] {
		s.Fields = append(s.Fields, &storagepb.TableFieldSchema{
			Name: fmt.Sprint("more", i), Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_NULLABLE,
		})
	}
	return s
}

// alter gives a partition's table one more column.
func (p *player) alter(partition int) error {
	p.mu.Lock()
	p.columns[partition]++
	p.mu.Unlock()
	p.journal.note("table %d gets a column", partition)
	p.covered.count("table altered")
	return p.srv.AlterTable(tableOf(partition), p.schema(partition))
}

func (p *player) playRuns() *Failure {
	for n, r := range p.s.Runs {
		for _, spec := range r.Faults {
			f, err := emulator.ParseFault(spec)
			if err != nil {
				return &Failure{broken, n, err.Error()}
			}
			p.srv.Inject(f)
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
	p.settle()
	return p.verify(last, true)
}

// settle waits until all that dead processes wrote has arrived.
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

// then is what happens between two runs.
func (p *player) then(t Then) error {
	p.journal.note("%s %v", t.What, time.Duration(t.For))
	switch t.What {
	case Silence:
		if !p.probed && time.Duration(t.For) > p.ttl()/4 {
			return nil // see keepable
		}
		p.covered.count("silence between runs")
		time.Sleep(time.Duration(t.For))
	case Alter:
		for i := range p.s.Partitions {
			if err := p.alter(i); err != nil {
				return err
			}
		}
	case Move:
		to := p.path + "+"
		p.moved = true
		p.covered.count("ledger moved")
		if err := move(p.path, to); err != nil {
			return err
		}
		p.path = to
	case Keep:
		return p.keep()
	case Restore:
		if p.kept == nil || time.Since(p.keptAt) > p.ttl()/4 {
			return nil
		}
		return p.restore()
	default:
		return fmt.Errorf("nobody knows what %q is", t.What)
	}
	return nil
}

// keep puts a copy of the ledger aside, if one may go back to it without running into what ARCHITECTURE.md
// says is not excluded: one that does not know each partition, or, when it is restored, is older than a
// stream that has expired.
func (p *player) keep() error {
	led, err := workload.ReadLedger(p.path)
	if err != nil || len(led.Partitions) < len(p.s.Partitions) {
		return err
	}
	i, err := readImage(p.path)
	p.kept, p.keptAt = &i, time.Now()
	return err
}

// restore puts the copy back. The dead letters of the ledger that was there are gone with it.
func (p *player) restore() error {
	led, err := workload.ReadLedger(p.path)
	if err != nil {
		return err
	}
	h := chaos.History{Positions: map[string]int64{}, Epochs: map[string]uint64{}}
	if err := led.AddTo(&h); err != nil {
		return err
	}
	for _, d := range h.Dead {
		p.buried[d] = true
	}
	p.covered.count("ledger restored")
	p.settle()
	p.restored, p.moved, p.probed = true, true, false
	p.mu.Lock()
	clear(p.stored)
	p.history.Resumed = nil
	p.mu.Unlock()
	return p.kept.writeTo(p.path)
}

func (p *player) ttl() time.Duration {
	if p.s.Service.StreamTTL > 0 {
		return time.Duration(p.s.Service.StreamTTL)
	}
	return 3 * 24 * time.Hour
}

// draw returns random numbers for one purpose, the same in each run.
func draw(seed uint64, purpose string, ordinal int64) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %d", purpose, ordinal)
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// probeOffset is where probes are, and no rows.
const probeOffset = 1 << 62

// asks is called by the service for each request, and takes the time that the service needs for it.
func (p *player) asks(r emulator.Request) {
	name := p.nameOf(r.Stream)
	p.mu.Lock()
	ordinal := p.asked[r.Stream]
	p.asked[r.Stream]++
	if r.Offset < probeOffset {
		p.history.Requests = append(p.history.Requests, chaos.Request{Stream: r.Stream, Offset: r.Offset, Rows: r.Rows, Durable: len(p.history.Bound)})
	}
	p.total++
	total, x := p.total, p.process
	p.mu.Unlock()
	if total == askedAtMost {
		p.fail(stuck, "the service was asked %d times", total)
		x.die()
	}
	p.journal.note("service: %s is asked for %d rows at %s", name, r.Rows, offsetText(r.Offset))
	if pace := int64(p.s.Service.Pace); pace > 0 {
		time.Sleep(time.Duration(1 + draw(p.s.Seed, name, ordinal).Int64N(pace)))
	}
	x.applies(r, false)
}

// answers is called by the service with each answer.
func (p *player) answers(r emulator.Request, resp *storagepb.AppendRowsResponse, err error) {
	name := p.nameOf(r.Stream)
	answer := "landed"
	switch {
	case err != nil:
		answer = "ends with " + status.Code(err).String()
	case resp.GetError() != nil:
		answer = status.FromProto(resp.GetError()).Code().String()
	case resp.GetUpdatedSchema() != nil:
		answer = "landed, with a schema"
	}
	p.journal.note("service: %s at %s: %s", name, offsetText(r.Offset), answer)
	p.seen.note(name, "%d rows at %s: %s", r.Rows, offsetText(r.Offset), answer)
	p.mu.Lock()
	x := p.process
	p.mu.Unlock()
	if err == nil && resp.GetError() == nil {
		x.applies(r, true)
	}
}

func offsetText(offset int64) string {
	if offset >= probeOffset {
		return "the probe's offset"
	}
	return fmt.Sprint(offset)
}

// nameOf is a short name for a stream, the same in each play: its table and its ordinal there.
func (p *player) nameOf(stream string) string {
	p.mu.Lock()
	name := p.short[stream]
	p.mu.Unlock()
	if name != "" {
		return name
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.s.Partitions {
		for n, st := range p.srv.Streams(tableOf(i)) {
			p.short[st.Name] = fmt.Sprintf("%s/%d", workload.Name(i), n-1) // the first is the default stream
		}
	}
	return p.short[stream]
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
