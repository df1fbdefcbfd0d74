package seeds

import (
	"errors"

	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/ledger"
)

// resolve is a person who has looked at the table, and says of each partition that is in doubt what of its stream has
// landed. It says how many there were.
func (p *player) resolve() (n int, err error) {
	return p.order(func(led *ledger.Ledger, part ledger.Partition, _ []ledger.Intent, done func(error)) bool {
		st, known := p.srv.Stream(part.Stream)
		sealedElsewhere := part.Seal != nil && !led.Owns(part.Seal.Owner) // then nobody can say, and no command takes a word
		if part.Halt == nil || part.Halt.Cause != ledger.InDoubt || !known || sealedElsewhere {
			return false
		}
		ours := st.End
		if p.foreign[partitionOf(part.Key)] == part.Stream {
			ours -= foreignRows
		}
		p.journal.note("%s is resolved: %d rows of %s have landed", part.Key.Name, ours, p.nameOf(st.Name))
		p.covered.count("doubt resolved")
		led.Resolve(part.ID, part.Epoch, &ledger.Resolution{Landed: ours}, done)
		return true
	})
}

// skip is a person who gives up the oldest open batch of each partition whose source can be read again: only its dead
// letters are in the source's own words. The ledger refuses it for a sealed stream.
func (p *player) skip() error {
	_, err := p.order(func(led *ledger.Ledger, part ledger.Partition, open []ledger.Intent, done func(error)) bool {
		sealed := part.Seal != nil && part.Seal.Reason != ledger.Encoding
		if sealed || p.s.Partitions[partitionOf(part.Key)].Frozen || part.Halt != nil || len(open) == 0 || open[0].Rows == 0 {
			return false
		}
		p.journal.note("%s: the batch at %d is skipped", part.Key.Name, open[0].Start)
		p.covered.count("batch skipped")
		led.Skip(part.ID, part.Epoch, open[0].Number, "skipped by a person", done)
		return true
	})
	return err
}

// order opens the ledger as a command does, and has give ask for one write for each partition, or not.
func (p *player) order(give func(*ledger.Ledger, ledger.Partition, []ledger.Intent, func(error)) bool) (n int, err error) {
	held, err := workload.ReadLedger(p.path)
	if err != nil {
		return 0, err
	}
	led, err := ledger.Open(p.path, nil)
	if err != nil {
		return 0, err
	}
	answers := make(chan error, len(held.Partitions))
	for _, part := range held.Partitions {
		if give(led, part, held.Open[part.Key.Name], func(err error) { answers <- err }) {
			n++
		}
	}
	for range n {
		err = errors.Join(err, <-answers)
	}
	return n, errors.Join(err, led.Close())
}
