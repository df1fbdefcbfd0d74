package workload

import (
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
)

// H2 is the step of taking a halt back, durably. The writer has no part in it.
const H2 committed.Step = "H2"

// resolve takes back all halts.
func (s Script) resolve(led *ledger.Ledger, kill *trigger) error {
	parts, err := led.Partitions()
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.Halt == nil {
			continue
		}
		var word *ledger.Resolution
		if rows, said := s.Words[p.Key.Name]; said {
			word = &ledger.Resolution{Landed: rows}
		}
		kill.step(committed.StepEvent{Key: p.Key, Step: H2})
		done := make(chan error, 1)
		led.Resolve(p.ID, p.Epoch, word, func(err error) { done <- err })
		if err := <-done; err != nil {
			return err
		}
		kill.step(committed.StepEvent{Key: p.Key, Step: H2, Done: true})
	}
	return nil
}
