package chaos_test

import (
	"errors"

	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

// expect says how the next run must end for each partition: with nil, so that all
// lands, or with the error it must stop with. It follows the invariants of
// ARCHITECTURE.md from what the closed ledger and the service hold, not the code of
// the writer. moved: the ledger will find that it is not where it was.
//
// A partition that the ledger does not know yet is written from its start. If the
// ledger is a copy of the time before the partition's first stream was recorded, what
// was written since is there twice, and nothing could tell: such a ledger knows no
// stream to probe. These partitions are noted as forgotten.
func (a *arena) expect(moved bool) map[string]error {
	led := openToRead(a.t, a.script.Ledger)
	require.Empty(a.t, led.Violations)
	want, known := map[string]error{}, map[string]bool{}
	for _, p := range led.Partitions {
		name := p.Key.Name
		known[name] = true
		want[name] = a.expectPartition(p, led.Open[name], func(owner ledger.Identity) bool {
			return moved || owner != led.Identity
		})
	}
	for _, r := range tableRows(a.t, a.srv) {
		if !known[r.Partition] {
			a.forgotten[r.Partition] = true
		}
	}
	return want
}

func (a *arena) expectPartition(p ledger.Partition, open []ledger.Intent, suspicious func(ledger.Identity) bool) error {
	stream, known := a.srv.Stream(p.Stream)
	require.True(a.t, known)
	if p.Halt != nil { // by an earlier run: so it stays, whatever the service holds by now
		return halts[p.Halt.Cause]
	}
	if p.Seal == nil {
		return probed(stream.End, stream.Finalized, stream.Expired, p.Acked, ends(open), suspicious(p.Owner), len(open) > 0)
	}
	// R3: it is finalized, by us or before.
	count := stream.End
	switch {
	case stream.Expired && (len(open) > 0 || suspicious(p.Owner)):
		return committed.ErrInDoubt
	case stream.Expired:
		count = p.Acked
	case count != p.Acked && !ends(open)[count]:
		return committed.ErrConflict
	}
	// R4: what is above the count is bound anew. R5: the successor must be as R1 made
	// it, unless somebody else may have finished this very rotation before us.
	var rest []ledger.Intent
	for _, in := range open {
		if in.Start < count {
			continue
		}
		in.Start -= count
		if len(rest) == 0 && p.Seal.Reason == ledger.TooLarge { // split
			half := in
			half.Rows, in.Start = in.Rows/2, in.Start+in.Rows/2
			in.Rows -= half.Rows
			rest = append(rest, half)
		}
		rest = append(rest, in)
	}
	copied := suspicious(p.Seal.Owner)
	fitting := map[int64]bool{}
	if copied {
		fitting = ends(rest)
	}
	successor, known := a.srv.Stream(p.Seal.Successor)
	require.True(a.t, known)
	return probed(successor.End, successor.Finalized, successor.Expired, 0, fitting, copied, len(rest) > 0)
}

// halts are what a partition that was halted stops with.
var halts = map[ledger.HaltCause]error{
	ledger.Conflict: committed.ErrConflict,
	ledger.Fenced:   committed.ErrFenced,
	ledger.InDoubt:  committed.ErrInDoubt,
}

// probed is what the probe of an unsealed stream leads to.
func probed(end int64, finalized, expired bool, acked int64, fitting map[int64]bool, suspicious, open bool) error {
	switch {
	case expired && (open || suspicious):
		return committed.ErrInDoubt
	case expired:
		return nil // a new epoch
	case finalized:
		return committed.ErrFenced
	case end == acked || fitting[end]:
		return nil
	}
	return committed.ErrConflict
}

// ends are the boundaries that open intents may have reached.
func ends(open []ledger.Intent) map[int64]bool {
	all := map[int64]bool{}
	for _, in := range open {
		all[in.End()] = true
	}
	return all
}

// runAs runs the writer, which must end as expected: partitions that stop have sent
// nothing, and nothing is wrong. It says whether every partition was to complete.
func (a *arena) runAs(want map[string]error) (complete bool) {
	a.t.Helper()
	before := rowsOf(tableRows(a.t, a.srv))
	failed := a.run()
	after := rowsOf(tableRows(a.t, a.srv))
	complete = true
	for _, p := range partitions {
		if want[p] == nil {
			require.NoError(a.t, failed[p], "partition %s", p)
			continue
		}
		complete = false
		require.ErrorIs(a.t, failed[p], want[p], "partition %s", p)
		var stopped *committed.Error
		require.True(a.t, errors.As(failed[p], &stopped))
		require.Equal(a.t, before[p], after[p], "rows of partition %s, which has stopped", p)
	}
	a.requireSound()
	return complete
}

// rowsOf counts the rows of each partition.
func rowsOf(rows []chaos.Row) map[string]int {
	n := map[string]int{}
	for _, r := range rows {
		n[r.Partition]++
	}
	return n
}
