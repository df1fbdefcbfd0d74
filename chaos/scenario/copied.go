package scenario

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/eowriter/eowriter/chaos/workload"
)

func restored(r *round) error {
	if err := r.plain(false); err != nil {
		return err
	}
	return r.restore("conflict")
}

// restore restores a copy of the ledger that has seen only half, and then the newer one.
// Where streams may have been replaced since, the older one may find them finalized.
func (r *round) restore(cause string) error {
	if err := r.half(); err != nil {
		return err
	}
	older, newer := filepath.Join(r.dir, "older"), filepath.Join(r.dir, "newer")
	if err := workload.CopyLedger(r.script.Ledger, older, true); err != nil {
		return err
	}
	if err := r.mustFinish(turn{}); err != nil {
		return err
	}
	if err := workload.CopyLedger(r.script.Ledger, newer, true); err != nil {
		return err
	}
	companion := r.draw("companion", 0).IntN(2) == 1
	r.diary.did("an older copy of the ledger is restored, its companion file too: %v", companion)
	r.count("ledger restored", 1)
	if err := workload.CopyLedger(older, r.script.Ledger, companion); err != nil {
		return err
	}
	r.log.Restored()
	if err := r.twice(r.all(cause)); err != nil {
		return err
	}
	if err := r.judge(true, r.stopped()); err != nil {
		return err
	}
	r.diary.did("the newer ledger is back")
	if err := workload.CopyLedger(newer, r.script.Ledger, true); err != nil {
		return err
	}
	return r.complete()
}

// stopped says that all partitions have stopped.
func (r *round) stopped() map[string]bool {
	all := map[string]bool{}
	for _, p := range r.script.Names() {
		all[p] = true
	}
	return all
}

func copied(r *round) error {
	if err := r.plain(false); err != nil {
		return err
	}
	return r.copies()
}

// copies has a copy of the ledger go on, and then the original.
func (r *round) copies() error {
	if err := r.half(); err != nil {
		return err
	}
	original, other := r.script.Ledger, filepath.Join(r.dir, "copy")
	r.diary.did("the ledger is copied, and the copy goes on")
	r.count("ledger copied", 1)
	if err := workload.CopyLedger(original, other, true); err != nil {
		return err
	}
	r.script.Ledger = other
	if err := r.mustFinish(turn{}); err != nil {
		return err
	}
	r.diary.did("the original goes on")
	r.script.Ledger = original
	if err := r.twice(r.all("fenced")); err != nil {
		return err
	}
	r.script.Ledger = other
	return r.complete()
}

// both has two copies of a ledger run at the same time, from the middle of the work. The
// one in the old place can't know; the other one takes the streams over.
func both(r *round) error {
	if err := r.plain(false); err != nil {
		return err
	}
	if o, err := r.run(turn{KillAt: r.batches() / 3}); err != nil || o.done() {
		return orComplete(r, err)
	}
	original, other := r.script.Ledger, filepath.Join(r.dir, "copy")
	if err := workload.CopyLedger(original, other, true); err != nil {
		return err
	}
	r.diary.did("the ledger is copied, and both go on")
	r.count("ledger copied", 1)
	stops, err := r.together(original, other)
	if err != nil {
		return err
	}
	for _, p := range r.script.Names() {
		n := 0
		for _, s := range stops {
			if s.Partition != p {
				continue
			}
			n++
			if s.Cause != "fenced" && s.Cause != "conflict" {
				return violated("partition %s stopped (%s): %s", p, s.Cause, s.Text)
			}
		}
		if n == 0 {
			return violated("both owners of partition %s came to their end", p)
		}
	}
	r.calm()
	if err := r.judge(false, nil); err != nil {
		return err
	}
	r.script.Ledger = other
	return r.judge(false, nil)
}

// together runs a writer for each ledger at the same time and returns which partitions
// stopped. Of what they are told only what landed is kept: each was refused what the
// other one wrote.
func (r *round) together(ledgers ...string) ([]workload.Note, error) {
	type end struct {
		notes []workload.Note
		err   error
	}
	ends := make(chan end)
	for _, path := range ledgers {
		s := r.script
		s.Ledger = path
		go func() {
			var e end
			_, e.err = s.Child(r.program, func(p *os.Process, exited <-chan struct{}) {
				go func() {
					select {
					case <-r.ctx.Done():
						_ = p.Kill()
					case <-exited:
					}
				}()
			}, func(n workload.Note) {
				r.diary.note(n)
				e.notes = append(e.notes, n)
			})
			ends <- e
		}()
	}
	var stops []workload.Note
	var failed error
	for range ledgers {
		e := <-ends
		stopped := 0
		for _, n := range e.notes {
			switch n.Kind {
			case workload.Landed, workload.Found:
				r.log.Add(n)
			case workload.Stopped:
				stops = append(stops, n)
				stopped++
			}
		}
		if stopped == 0 && e.err != nil {
			failed = violated("a writer ended: %v", e.err)
		}
	}
	return stops, errors.Join(r.ctx.Err(), failed)
}
