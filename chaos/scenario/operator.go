package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/ledger"
)

func operators() []Scenario {
	return []Scenario{
		{"operator/move", "the ledger is moved to another place after a crash: its streams are taken over", moved},
		{"operator/restore", "an older copy of the ledger is restored in its place: a stop, until the newer one is back", restored},
		{"operator/copy", "the ledger is copied, and both run, one after the other: the original is fenced", copied},
		{"operator/both", "the ledger is copied after a crash, and both run at the same time: one of them stops", both},
		{"operator/delete", "the ledger is deleted: a stop, until it is back", deleted},
		{"operator/edit", "the source is edited while batches are open: a stop, until it is as it was", edited},
		{"operator/drop", "the table is dropped, and made again: a stop, until a person has looked", dropped},
	}
}

// half writes the first half of each source and lets it land.
func (r *round) half() error {
	end := r.script.Upto
	r.script.Upto = r.script.Rows / 2 / r.script.BatchRows * r.script.BatchRows
	err := r.mustFinish(turn{})
	r.script.Upto = end
	return err
}

// all expects each partition to stop for the same cause.
func (r *round) all(cause string) map[string]string {
	want := map[string]string{}
	for _, p := range r.script.Names() {
		want[p] = cause
	}
	return want
}

// twice expects a run to stop, and the next one too.
func (r *round) twice(want map[string]string) error {
	if err := r.mustStop(turn{}, want); err != nil {
		return err
	}
	return r.mustStop(turn{}, want)
}

func moved(r *round) error {
	if err := r.plain(false); err != nil {
		return err
	}
	for n := range 2 {
		if o, err := r.run(turn{KillAt: 1 + r.draw("turn", n).Int64N(r.batches()/3)}); err != nil || o.done() {
			return orComplete(r, err)
		}
		if err := r.move(n); err != nil {
			return err
		}
	}
	if err := r.complete(); err != nil {
		return err
	}
	for _, p := range r.script.Names() {
		if !slices.Contains(r.log.Reasons[p], ledger.TakeOver) {
			return violated("partition %s was not taken over from its old place", p)
		}
	}
	return nil
}

// move puts the ledger into another place, if there is one already.
func (r *round) move(n int) error {
	if _, err := os.Stat(r.script.Ledger); err != nil {
		return nil
	}
	to := filepath.Join(r.dir, "moved", string(rune('a'+n)))
	r.diary.did("the ledger is moved to %s", to)
	r.count("ledger moved", 1)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	from := r.script.Ledger
	r.script.Ledger = to
	return errors.Join(workload.CopyLedger(from, to, r.draw("companion", n).IntN(2) == 1), workload.RemoveLedger(from))
}

// deleted deletes the ledger, but not the file beside it that tells of it.
func deleted(r *round) error {
	if err := r.plain(false); err != nil {
		return err
	}
	if err := r.half(); err != nil {
		return err
	}
	aside := filepath.Join(r.dir, "aside")
	r.diary.did("the ledger is deleted")
	r.count("ledger deleted", 1)
	if err := os.Rename(r.script.Ledger, aside); err != nil {
		return err
	}
	if err := r.twice(map[string]string{"": "deleted"}); err != nil {
		return err
	}
	r.diary.did("the ledger is back")
	if err := os.Rename(aside, r.script.Ledger); err != nil {
		return err
	}
	return r.complete()
}

// edited changes the source under batches that are bound and have not landed.
func edited(r *round) error {
	if err := r.prepare(setting{}); err != nil { // replayable: else the ledger has the rows
		return err
	}
	if err := r.half(); err != nil {
		return err
	}
	for _, s := range r.streams() {
		r.srv.Inject(emulator.Fault{Kind: emulator.CloseBefore, Stream: s, After: 1}) // after its probe
	}
	r.diary.did("the service applies nothing more")
	if _, err := r.run(turn{Kill: workload.Point{Step: "B2", Done: true, Nth: 6}}); err != nil {
		return err
	}
	r.srv.ResetConnections() // what is still on its way isn't applied either
	r.srv.ClearFaults()
	state, err := workload.ReadLedger(r.script.Ledger)
	if err != nil {
		return err
	}
	want := map[string]string{}
	r.script.Edited = make([]int64, r.script.Partitions)
	for _, p := range state.Partitions {
		if open := state.Open[p.Key.Name]; len(open) > 0 {
			want[p.Key.Name] = "changed"
			bound, err := workload.BoundOf(p, open)
			if err != nil {
				return err
			}
			// No row that isn't bound: it would be bound as it is now.
			r.script.Edited[slices.Index(r.script.Names(), p.Key.Name)] = bound
		}
	}
	r.diary.did("the source is edited below rows %d", r.script.Edited)
	r.count("source edited", 1)
	if err := r.twice(want); err != nil {
		return err
	}
	r.script.Edited = nil
	r.diary.did("the source is as it was")
	return r.complete()
}

// dropped drops the table. Its rows are gone, and the streams with it: the partitions stop,
// also when there is a table of that name again, until a person begins anew.
func dropped(r *round) error {
	if err := r.plain(false); err != nil {
		return err
	}
	if err := r.half(); err != nil {
		return err
	}
	r.diary.did("the table is dropped")
	r.count("table dropped", 1)
	if err := r.srv.DropTable(workload.Table); err != nil {
		return err
	}
	if err := r.twice(r.all("blocked")); err != nil {
		return err
	}
	r.diary.did("the table is made again")
	if err := r.srv.CreateTable(workload.Table, workload.TableSchema()); err != nil {
		return err
	}
	if err := r.twice(r.all("blocked")); err != nil {
		return err
	}
	if rows := r.srv.Rows(workload.Table); len(rows) > 0 {
		return violated("%d rows were written to a table that was made again", len(rows))
	}
	r.diary.did("the ledger is removed: all lands again")
	if err := workload.RemoveLedger(r.script.Ledger); err != nil {
		return err
	}
	r.log = workload.NewLog()
	return r.complete()
}
