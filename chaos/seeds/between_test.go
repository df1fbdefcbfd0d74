package seeds

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
)

// then is what happens between two runs.
func (p *player) then(t Then) error {
	p.journal.note("%s %v", t.What, time.Duration(t.For))
	switch t.What {
	case Silence:
		if !p.probed && time.Duration(t.For) > p.ttl()/4 {
			return nil // a stream might expire before the copy has asked for its end
		}
		p.covered.count("silence between runs")
		time.Sleep(time.Duration(t.For))
	case Alter:
		for i := range p.s.Partitions {
			if err := p.alter(i); err != nil {
				return err
			}
		}
	case Resolve:
		if p.restored {
			return nil // what has landed is not what this ledger knows of
		}
		_, err := p.resolve()
		return err
	case Skip:
		return p.skip()
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
		if p.kept == nil || time.Since(p.keptAt) > p.ttl()/4 || t.Whole && (p.expiresOnDemand() || slices.ContainsFunc(p.keptStreams, p.expired)) {
			return nil // see keep
		}
		return p.restore(t.Whole)
	default:
		return fmt.Errorf("nobody knows what %q is", t.What)
	}
	return nil
}

func (p *player) expiresOnDemand() bool {
	return strings.Contains(text(p.s), string(emulator.Expire)+":")
}

// fits says that ledger and service must agree about a stream after a run: not before a copy was probed, and when a lagging
// view makes one fit that nobody noticed, not before the last run, which binds the rest.
func (p *player) fits(run int) bool {
	lags := strings.Contains(text(p.s), string(emulator.StaleEnd)+":")
	return p.probed && (!p.whole || !lags || run >= len(p.s.Runs))
}

// keep puts a copy of the ledger aside, if one may go back to it without running into what ARCHITECTURE.md
// says is not excluded: one that does not know each partition, or knows a stream that has expired when it is restored.
func (p *player) keep() error {
	led, err := workload.ReadLedger(p.path)
	if err != nil || len(led.Partitions) < len(p.s.Partitions) {
		return err
	}
	i, err := readImage(p.path)
	if err != nil {
		return err
	}
	p.kept, p.keptAt, p.keptStreams = &i, time.Now(), nil
	for _, part := range led.Partitions {
		p.keptStreams = append(p.keptStreams, part.Stream)
	}
	p.keptCompanion, err = readSparse(companion(p.path))
	return err
}

// restore puts the copy back. The dead letters of the ledger that was there are gone with it.
func (p *player) restore(whole bool) error {
	led, err := workload.ReadLedger(p.path)
	if err != nil {
		return err
	}
	h := chaos.History{Positions: map[string]int64{}, Epochs: map[string]uint64{}}
	if err := led.AddTo(&h); err != nil {
		return err
	}
	p.covered.count("ledger restored")
	p.settle()
	p.restored, p.whole, p.moved, p.probed = true, p.whole || whole, true, false
	p.mu.Lock()
	for _, d := range h.Dead {
		p.buried[d] = true
	}
	clear(p.stored)
	p.history.Resumed = nil
	p.mu.Unlock()
	if whole {
		if err := p.keptCompanion.writeTo(companion(p.path)); err != nil {
			return err
		}
	}
	return p.kept.writeTo(p.path)
}

func (p *player) ttl() time.Duration {
	if p.s.Service.StreamTTL > 0 {
		return time.Duration(p.s.Service.StreamTTL)
	}
	return 3 * 24 * time.Hour
}
