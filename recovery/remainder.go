package recovery

import (
	"slices"
	"strings"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
)

// remainder is what a rotation has left of a batch: the parts of it above the count.
type remainder struct {
	items   []item    // in order; the last one ends the batch
	refused []Refusal // rows among them that the service refused, or all if it is to be skipped, in order
	anew    bool      // to be encoded anew
}

// skips says whether a batch that has not landed is to be skipped.
func (m *Machine) skips() bool {
	for n := m.window.landed; n < m.window.end(); n++ {
		if m.window.at(n).Skip != "" {
			return true
		}
	}
	return false
}

// refused handles row errors: the stream is replaced, the rows become dead letters
// with R4 if the count does not cover them, the others are bound anew. The service
// may have cut its list short; what it left out is refused again.
func (m *Machine) refused(offset int64, a *retry.Answer) {
	bad := m.rejected(offset, a)
	few := len(bad) > 0 && len(bad) <= ledger.MaxRejected && m.Dead()+int64(len(bad)) <= m.opt.MaxDead
	switch {
	case m.holding != 0: // it is sent again anyway
	case m.phase == phaseDraining:
		// One rotation serves all that were in flight; the others' turn comes again.
		if seal := &m.rotation.seal; few && seal.Reason == ledger.RowErrors && len(seal.Rejected)+len(bad) <= ledger.MaxRejected {
			seal.Rejected = append(seal.Rejected, bad...)
		}
	case m.phase == phaseLive && few:
		m.rotate(ledger.RowErrors, m.describe(offset, a))
		m.rotation.seal.Rejected = bad
	default:
		m.stop(Refused, offset, m.describe(offset, a), a)
	}
}

// rejected returns the refused rows of the append at an offset, in order; nil if they
// are not to be told from the answer.
func (m *Machine) rejected(offset int64, a *retry.Answer) (bad []ledger.Rejected) {
	it := m.itemAt(offset)
	for _, row := range a.Rows {
		if it == nil || row.Index < 0 || row.Index >= it.Rows {
			return nil
		}
		message := strings.ToValidUTF8(row.Message[:min(len(row.Message), ledger.MaxReason)], "")
		bad = append(bad, ledger.Rejected{Offset: offset + row.Index, Message: message})
	}
	slices.SortFunc(bad, func(a, b ledger.Rejected) int { return int(a.Offset - b.Offset) })
	return slices.CompactFunc(bad, func(a, b ledger.Rejected) bool { return a.Offset == b.Offset })
}

// itemAt returns the item with rows that starts at an offset and has not landed, or nil.
func (m *Machine) itemAt(offset int64) *item {
	for n := m.window.landed; n < m.window.end(); n++ {
		if it := m.window.at(n); it.Start == offset && it.Rows > 0 {
			return it
		}
	}
	return nil
}

// outdated says whether a batch of an earlier incarnation, which has not landed, would
// be encoded to other bytes now.
func (m *Machine) outdated() bool {
	for n := m.window.landed; n < m.window.end(); n++ {
		if it := m.window.at(n); it.old && m.stale(it) {
			return true
		}
	}
	return false
}

// stale says whether an item's source would give other bytes for it: it was encoded by
// another encoder or for another writer schema than what is used now.
func (m *Machine) stale(it *item) bool {
	return m.opt.Mode == ledger.Replayable && it.Rows > 0 && (it.Encoder != m.opt.Encoder || it.Schema != m.opt.Schema)
}

// remainders returns what is left of the batches above the count.
func (m *Machine) remainders(count int64) (left []*remainder) {
	ended := true
	for n := m.window.first; n < m.window.end(); n++ {
		it := *m.window.at(n)
		if it.End() <= count {
			continue
		}
		if ended {
			left = append(left, &remainder{anew: m.rotation.seal.Reason == ledger.Encoding && m.stale(&it) && it.Skip == ""})
		}
		r := left[len(left)-1]
		for _, bad := range m.rotation.seal.Rejected {
			if bad.Offset >= it.Start && bad.Offset < it.End() {
				r.refused = append(r.refused, Refusal{Row: first(&it.Intent, it.From+bad.Offset-it.Start), Reason: bad.Message})
			}
		}
		it.sent, it.flying, it.landed, it.duplicate, it.maySent = false, false, false, false, false
		r.items = append(r.items, it)
		if ended = it.Ends(); ended && it.Skip != "" {
			r.skip()
		}
	}
	return left
}

// skip has all rows of the batch refused that have not landed or died before.
func (r *remainder) skip() {
	last := &r.items[len(r.items)-1].Intent
	without, bound := last.Without, int64(0)
	r.refused = nil
	for row := range last.Whole() {
		if len(without) > 0 && without[0] == row {
			without = without[1:]
			continue
		}
		if bound >= r.items[0].From {
			r.refused = append(r.refused, Refusal{Row: row, Reason: last.Skip})
		}
		bound++
	}
}

// first returns the index that a row had when its batch was bound first.
func first(in *ledger.Intent, row int64) int64 {
	for _, without := range in.Without {
		if without <= row {
			row++
		}
	}
	return row
}

// input returns the index among the batch's input rows of a row that was bound.
func input(in *ledger.Intent, row int64) int64 {
	for i := range in.Dead {
		if d := &in.Dead[i]; !d.Service && d.Row <= row {
			row++
		}
	}
	return row
}

// examineNext goes on to the next batch that has to be looked at, or to R4.
func (m *Machine) examineNext() {
	r := m.rotation
	for r.next < len(r.left) && len(r.left[r.next].refused) == 0 && !r.left[r.next].anew {
		r.next++
	}
	if r.next == len(r.left) {
		m.settle()
	}
}

// examine asks for the rows of a batch.
func (m *Machine) examine() Action {
	left := m.rotation.left[m.rotation.next]
	last := left.items[len(left.items)-1]
	for i := range left.refused {
		left.refused[i].Input = input(&last.Intent, left.refused[i].Row)
	}
	last.From, last.Rows = left.items[0].From, last.Of-left.items[0].From
	return Action{Kind: Examine, Batch: last.batch, Intent: last.Intent, Refused: left.refused}
}

// examined takes the rows of a batch.
func (m *Machine) examined(e Event) {
	left := m.rotation.left[m.rotation.next]
	m.rotation.next++
	if left.anew {
		left.encoded(e.Intent)
	} else {
		left.bury(e)
	}
	m.examineNext()
}

// bury makes dead letters of the refused rows: they leave their parts, and a part that
// has none left leaves the batch.
func (r *remainder) bury(e Event) {
	last := r.items[len(r.items)-1]
	dead, without := slices.Clone(last.Dead), slices.Clone(last.Without)
	for i, bad := range r.refused {
		without = append(without, bad.Row)
		dead = append(dead, ledger.Dead{Row: bad.Input, Service: true, Reason: bad.Reason, Content: e.Contents[i], Schema: e.Schema})
	}
	slices.Sort(without)
	slices.SortFunc(dead, func(a, b ledger.Dead) int { return int(a.Row - b.Row) })
	last.Of -= int64(len(r.refused))
	last.Without = without

	var items []item
	from := r.items[0].From
	for _, it := range r.items {
		low, high := first(&it.Intent, it.From), first(&it.Intent, it.From+it.Rows-1)
		rows := it.Rows
		for _, bad := range r.refused {
			if low <= bad.Row && bad.Row <= high {
				rows--
			}
		}
		if rows == 0 {
			continue
		}
		it.Bytes = it.Bytes * rows / it.Rows // an estimate
		it.From, it.Rows, it.Of, it.Without, it.Dead = from, rows, last.Of, without, nil
		from += rows
		items = append(items, it)
	}
	if len(items) == 0 { // nothing is left of it but the letters
		last.Skip = ""
		last.From, last.Rows, last.Bytes, last.Payload = last.Of, 0, 0, ledger.Payload{}
		items = append(items, last)
	}
	items[len(items)-1].Dead = dead
	r.items = items
}

// encoded takes the batch as it was encoded anew. Parts of one that has landed in part
// stay as they are: the rows are the same that they were.
func (r *remainder) encoded(in ledger.Intent) {
	if r.items[0].From > 0 {
		for i := range r.items {
			r.items[i].Schema, r.items[i].Encoder, r.items[i].old = in.Schema, in.Encoder, false
		}
		return
	}
	it := r.items[0]
	it.From, it.Rows, it.Of, it.Bytes = 0, in.Of, in.Of, in.Bytes
	it.Schema, it.Encoder, it.Dead, it.Without, it.old = in.Schema, in.Encoder, in.Dead, in.Without, false
	r.items = append(r.items[:0], it)
}

// parts returns what is bound anew. Split: the service refused the first of them for
// its size, so it is divided in two.
func (r *remainder) parts(split bool) []item {
	one := r.items[0]
	if !split || one.Rows < 2 {
		return r.items
	}
	two := one
	half := one.Rows / 2
	two.From, two.Rows = one.From+half, one.Rows-half
	two.Bytes = one.Bytes * two.Rows / one.Rows // an estimate
	one.Rows, one.Bytes = half, one.Bytes-two.Bytes
	one.Dead = nil
	return append([]item{one, two}, r.items[1:]...)
}
