package seeds

import (
	"errors"
	"fmt"

	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/ledger"
)

// retire plays the runs that retire the partitions, all of whose rows have landed, and then one without faults. What
// is halted stays.
func (p *player) retire(run int) *Failure {
	if len(p.s.Retire) == 0 {
		return nil
	}
	p.retiring = true
	p.mu.Lock()
	clear(p.stored) // a partition that is opened after it was retired is a new one
	p.mu.Unlock()
	err := p.inject(p.s.Faults)
	for n, end := range append(p.s.Retire[:len(p.s.Retire):len(p.s.Retire)], End{}) {
		if n == len(p.s.Retire) {
			p.srv.ClearFaults()
		}
		if err != nil {
			return &Failure{broken, run, err.Error()}
		}
		if f := p.playRun(run, Run{End: end}); f != nil {
			return f
		}
	}
	led, err := workload.ReadLedger(p.path)
	if err != nil {
		return &Failure{broken, run, err.Error()}
	}
	for _, part := range led.Partitions {
		if part.Halt == nil {
			return &Failure{incomplete, run, fmt.Sprintf("partition %s is not retired", part.Key.Name)}
		}
	}
	return nil
}

// retire retires a partition, if the ledger knows it.
func (x *process) retire(i int) error {
	key := ledger.Key{Table: tableOf(i), Name: workload.Name(i)}
	if _, _, err := x.led.Partition(key); errors.Is(err, ledger.ErrNoPartition) {
		return nil
	}
	part, _, err := x.open(i, x.p.s.source(i, 1))
	if err != nil {
		return err
	}
	if err := x.deliver(key); err != nil {
		return err
	}
	if err := part.Retire(x.ctx); err != nil {
		return err
	}
	x.p.covered.count("partition retired")
	return nil
}

// deliver takes a partition's dead letters out of the ledger.
func (x *process) deliver(key ledger.Key) error {
	part, _, err := x.led.Partition(key)
	if err != nil || part.Delivered == part.Dead {
		return err
	}
	letters, err := x.led.Letters(part.ID, part.Delivered, 1<<30)
	if err != nil {
		return err
	}
	state := workload.State{}
	for _, l := range letters {
		state.Dead = append(state.Dead, l.Dead)
	}
	var h chaos.History
	if err := state.AddTo(&h); err != nil {
		return err
	}
	x.p.mu.Lock()
	for _, d := range h.Dead {
		x.p.buried[d] = true
	}
	x.p.mu.Unlock()
	x.p.covered.count("letters delivered")
	x.p.journal.note("%s: %d letters are delivered", key.Name, len(letters))
	done := make(chan error, 1)
	x.led.Deliver(part.ID, part.Delivered+int64(len(letters)), func(err error) { done <- err })
	return <-done
}
