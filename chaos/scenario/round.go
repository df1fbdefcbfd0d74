package scenario

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/netfault"
	"github.com/eowriter/eowriter/chaos/workload"
)

const (
	patience  = 2 * time.Minute        // with one run of a writer; far more than any needs
	overdue   = 400 * time.Millisecond // without an answer, a connection counts as broken
	batchRows = 5                      // where nothing else is said: big batches are refused then, see workload.SoftLimit
)

// round is one play of a scenario.
type round struct {
	ctx     context.Context
	program []string
	name    string // of the scenario
	seed    uint64
	rows    int64 // to write, of all partitions together; 0: as many as the scenario finds right
	asked   int64 // rows that the user asked for
	dir     string
	until   time.Time // when to come to an end; zero: whenever it is done

	script workload.Script // of the next run
	srv    *emulator.Server
	wire   *netfault.Proxy
	seen   *workload.Witness
	log    *workload.Log
	diary  *diary

	mu    sync.Mutex             // guards what follows
	hook  func(emulator.Request) // told of each append, not of probes; nil between runs
	deeds map[string]int64       // what was done, by kind, apart from what service and wire count themselves
}

// draw returns the random numbers for the n-th decision about something: always the same
// ones for a seed, whatever else is decided.
func (r *round) draw(about string, n int) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(about + "/" + strconv.Itoa(n)))
	return rand.New(rand.NewPCG(r.seed, h.Sum64()))
}

// late says that it is time to come to an end.
func (r *round) late() bool { return !r.until.IsZero() && time.Now().After(r.until) }

// setting is what a scenario needs of the world.
type setting struct {
	script  workload.Script
	service emulator.Options
	faults  []string // of the service
	wire    []string // faults
}

// prepare sets the world up. The scenario's shape is filled up with what it leaves out.
func (r *round) prepare(s setting) (err error) {
	r.script = s.script
	if r.script.Partitions == 0 {
		r.script.Partitions = 2
	}
	if r.script.BatchRows == 0 {
		r.script.BatchRows = batchRows
	}
	r.script.Rows = max(r.rows/int64(r.script.Partitions), 40*r.script.BatchRows)
	r.script.Upto = r.script.Rows
	r.script.Ledger = filepath.Join(r.dir, "chaos.ledger")
	r.script.Record = filepath.Join(r.dir, "record")
	r.script.Limit, r.script.Timeout = patience, overdue
	if r.seen, err = workload.NewWitness(r.script.Record); err != nil {
		return err
	}
	s.service.Seed = r.seed
	s.service.Tables = map[string]*storagepb.TableSchema{workload.Table: workload.TableSchema()}
	s.service.OnAppend = r.onAppend
	for _, spec := range s.faults {
		f, err := emulator.ParseFault(spec)
		if err != nil {
			return err
		}
		s.service.Faults = append(s.service.Faults, f)
		r.diary.did("service: %s", spec)
	}
	if r.srv, err = emulator.Start(s.service); err != nil {
		return err
	}
	wire := netfault.Options{Seed: r.seed, OnFault: func(e netfault.Event) {
		r.diary.saw("wire: connection %d: %s, %s, after %d bytes", e.Connection, e.Fault.Kind, e.Direction, e.Bytes)
	}}
	for _, spec := range s.wire {
		f, err := netfault.ParseFault(spec)
		if err != nil {
			return err
		}
		wire.Faults = append(wire.Faults, f)
		r.diary.did("wire: %s", spec)
	}
	if r.wire, err = netfault.Start(r.srv.Addr(), wire); err != nil {
		return err
	}
	r.script.Endpoint = r.wire.Addr()
	return nil
}

// close takes the world down; the folder stays.
func (r *round) close() error {
	var errs []error
	if r.wire != nil {
		errs = append(errs, r.wire.Close())
	}
	if r.srv != nil {
		errs = append(errs, r.srv.Close())
	}
	if r.seen != nil {
		errs = append(errs, r.seen.Close())
	}
	return errors.Join(errs...)
}

// onAppend is told of every request, before the service judges it.
func (r *round) onAppend(req emulator.Request) {
	r.seen.Append(req)
	if req.Offset >= workload.ProbeOffset {
		return
	}
	r.mu.Lock()
	hook := r.hook
	r.mu.Unlock()
	if hook != nil {
		hook(req)
	}
}

func (r *round) onRequest(hook func(emulator.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hook = hook
}

// calm ends all faults, and the connections that have some.
func (r *round) calm() {
	r.diary.did("calm")
	r.srv.ClearFaults()
	r.wire.ClearFaults()
	r.wire.Reset()
	r.release()
}

// complete lets a writer finish without further trouble: all must land, and a further
// run must append nothing.
func (r *round) complete() error {
	r.calm()
	if err := r.mustFinish(turn{}); err != nil {
		return err
	}
	before := r.srv.Stats().Rows
	if err := r.mustFinish(turn{}); err != nil {
		return err
	}
	if after := r.srv.Stats().Rows; after != before {
		return violated("a run after the end appended %d rows", after-before)
	}
	return r.judge(true, nil)
}

// judge holds everything that is known against each other. final: all must have landed,
// but for partitions that have stopped.
func (r *round) judge(final bool, stopped map[string]bool) error {
	h := chaos.History{
		Input: map[string]int64{}, Positions: map[string]int64{}, Epochs: map[string]uint64{},
		Final: final, Stopped: stopped,
	}
	for _, p := range r.script.Names() {
		h.Input[p] = r.script.Rows
	}
	var err error
	state := workload.State{}
	if _, missing := os.Stat(r.script.Ledger); missing == nil {
		state, err = workload.ReadLedger(r.script.Ledger) // first: positions may be behind the table, never ahead
	}
	if err != nil {
		return violated("read the ledger: %v", err)
	}
	if h.Table, err = r.script.Table(r.srv.Rows(workload.Table)); err != nil {
		return violated("read the table: %v", err)
	}
	r.log.AddTo(&h)
	if err := errors.Join(state.AddTo(&h), r.seen.AddTo(&h)); err != nil {
		return err
	}
	for _, p := range state.Partitions {
		if s, known := r.srv.Stream(p.Stream); known && p.Halt == nil {
			h.Claims = append(h.Claims, chaos.Claim{Partition: p.Key.Name, Stream: p.Stream, Acked: p.Acked, Next: p.Next, End: s.End})
		}
	}
	for _, v := range state.Violations {
		h.Unsound = append(h.Unsound, v.String())
	}
	if final && (len(h.Requests) == 0 || len(h.Bound) == 0) {
		return violated("nothing was written: %d batches were bound, %d requests came", len(h.Bound), len(h.Requests))
	}
	var wrong violation
	for _, f := range h.Judge() {
		wrong = append(wrong, f.String())
	}
	if len(wrong) > 0 {
		return wrong
	}
	return nil
}

// violation is an error that says that a promise was broken: what a scenario is there to find.
type violation []string

// Error has the first few findings.
func (v violation) Error() string {
	const most = 20
	s := strings.Join(v[:min(len(v), most)], "\n")
	if len(v) > most {
		s += fmt.Sprintf("\nand %d more", len(v)-most)
	}
	return s
}

func violated(format string, args ...any) error { return violation{fmt.Sprintf(format, args...)} }
