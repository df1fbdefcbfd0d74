package committed_test

import (
	"sync"
	"time"

	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
)

// seen collects what a writer's events tell.
type seen struct {
	mu sync.Mutex // guards what follows; a leaf
	sights
}

type sights struct {
	sent    []int64 // offsets, also of replays
	again   []int64 // offsets of replays
	landed  []committed.Ack
	waits   []recovery.WaitKind
	delays  []time.Duration
	seals   []ledger.Seal
	created int // O1 and R1, done
	probes  int // O3 and R5, begun
	schemas []*committed.Schema
}

// listen returns events that note everything, and then call next.
func (s *seen) listen(next committed.Events) committed.Events {
	return committed.Events{
		Connected: next.Connected, Answered: next.Answered,
		Step: func(e committed.StepEvent) {
			s.mu.Lock()
			switch {
			case e.Done && (e.Step == committed.O1 || e.Step == committed.R1):
				s.created++
			case !e.Done && (e.Step == committed.O3 || e.Step == committed.R5):
				s.probes++
			}
			s.mu.Unlock()
			if next.Step != nil {
				next.Step(e)
			}
		},
		Sent: func(key ledger.Key, in ledger.Intent, again bool) {
			s.mu.Lock()
			s.sent = append(s.sent, in.Start)
			if again {
				s.again = append(s.again, in.Start)
			}
			s.mu.Unlock()
			if next.Sent != nil {
				next.Sent(key, in, again)
			}
		},
		Landed: func(key ledger.Key, ack committed.Ack) {
			s.mu.Lock()
			s.landed = append(s.landed, ack)
			s.mu.Unlock()
			if next.Landed != nil {
				next.Landed(key, ack)
			}
		},
		Waiting: func(key ledger.Key, kind recovery.WaitKind, attempt int, delay time.Duration) {
			s.mu.Lock()
			s.waits, s.delays = append(s.waits, kind), append(s.delays, delay)
			s.mu.Unlock()
			if next.Waiting != nil {
				next.Waiting(key, kind, attempt, delay)
			}
		},
		Sealed: func(key ledger.Key, epoch uint64, seal ledger.Seal) {
			s.mu.Lock()
			s.seals = append(s.seals, seal)
			s.mu.Unlock()
			if next.Sealed != nil {
				next.Sealed(key, epoch, seal)
			}
		},
		SchemaChanged: func(key ledger.Key, schema *committed.Schema) {
			s.mu.Lock()
			s.schemas = append(s.schemas, schema)
			s.mu.Unlock()
			if next.SchemaChanged != nil {
				next.SchemaChanged(key, schema)
			}
		},
		SchemaUnusable: next.SchemaUnusable,
	}
}

// take returns what was seen since the last take.
func (s *seen) take() sights {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.sights
	s.sights = sights{}
	return got
}
