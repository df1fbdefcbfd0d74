package chaos

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// script writes a sound history batch by batch, as a writer would have made it.
type script struct {
	t *rapid.T
	h History
}

// soundHistory draws a history of up to three partitions, each over up to three
// streams: some batches are refused first, some have dead rows, some are bound and
// sent more than once, and runs end and resume between them.
func soundHistory(t *rapid.T) History {
	s := script{t: t, h: History{
		Input: map[string]int64{}, Positions: map[string]int64{}, Epochs: map[string]uint64{}, Final: true,
	}}
	for p := range rapid.IntRange(1, 3).Draw(t, "partitions") {
		s.partition(fmt.Sprintf("p%d", p))
	}
	return s.h
}

func (s *script) partition(name string) {
	var at, end int64
	epoch := uint64(0)
	stream := ""
	next := func() {
		epoch++
		stream, end = fmt.Sprintf("%s/s%d", name, epoch), 0
		s.h.Epochs[stream] = epoch
	}
	next()
	for range rapid.IntRange(3, 8).Draw(s.t, "batches") {
		rows := rapid.Int64Range(2, 5).Draw(s.t, "rows")
		if epoch < 3 && rapid.IntRange(0, 3).Draw(s.t, "rotate") == 0 {
			if rapid.Bool().Draw(s.t, "open") { // bound and sent to the old stream, and not applied
				s.send(Bound{name, stream, end, rows, at, at + rows, fmt.Sprint(at)})
			}
			next()
		}
		dead := rapid.IntRange(0, 4).Draw(s.t, "dead") == 0 // its first row
		b := Bound{name, stream, end, rows, at, at + rows, fmt.Sprint(at)}
		if dead {
			s.h.Dead = append(s.h.Dead, Dead{name, at})
			b.Rows--
		}
		for range rapid.IntRange(1, 2).Draw(s.t, "sends") {
			s.send(b)
		}
		for i := at; i < at+rows; i++ {
			if i > at || !dead {
				s.h.Table = append(s.h.Table, Row{stream, end, name, i})
				end++
			}
		}
		s.h.Told = append(s.h.Told, Told{name, b.From, b.To, stream, b.Start})
		at += rows
		if rapid.IntRange(0, 2).Draw(s.t, "resume") == 0 {
			s.h.Resumed = append(s.h.Resumed, Resumed{name, at, at})
		}
	}
	s.h.Input[name], s.h.Positions[name] = at, at
	s.h.Claims = append(s.h.Claims, Claim{name, stream, end, end, end})
}

// send binds a batch, perhaps not for the first time, and sends it.
func (s *script) send(b Bound) {
	s.h.Bound = append(s.h.Bound, b)
	s.h.Requests = append(s.h.Requests, Request{b.Stream, b.Start, b.Rows, len(s.h.Bound)})
}

// breaches break a sound history, each in one way; what it is must be among the findings.
var breaches = []struct {
	name string
	kind Kind
	do   func(t *rapid.T, h *History)
}{
	{"a row is missing", Lost, func(t *rapid.T, h *History) {
		i := index(t, len(h.Table))
		h.Table = slices.Delete(h.Table, i, i+1)
	}},
	{"a row that was told landed is missing, before the end", Lost, func(t *rapid.T, h *History) {
		h.Final = false
		i := index(t, len(h.Table))
		h.Table = slices.Delete(h.Table, i, i+1)
	}},
	{"a row is there again, in another stream", Duplicated, func(t *rapid.T, h *History) {
		r := h.Table[index(t, len(h.Table))]
		r.Stream = "other"
		h.Table = append(h.Table, r)
	}},
	{"a batch is there again, behind itself", Duplicated, func(t *rapid.T, h *History) {
		r := h.Table[index(t, len(h.Table))]
		r.Offset += 1000
		h.Table = append(h.Table, r)
	}},
	{"a dead row landed", Duplicated, func(t *rapid.T, h *History) {
		r := h.Table[index(t, len(h.Table))]
		h.Dead = append(h.Dead, Dead{r.Partition, r.Index})
	}},
	{"two rows changed places", Reordered, func(t *rapid.T, h *History) {
		i := index(t, len(h.Table)-1)
		if h.Table[i].Partition != h.Table[i+1].Partition {
			t.Skip("of two partitions")
		}
		h.Table[i].Index, h.Table[i+1].Index = h.Table[i+1].Index, h.Table[i].Index
	}},
	{"the streams are read the other way round", Reordered, func(t *rapid.T, h *History) {
		last := h.Table[len(h.Table)-1]
		first := slices.IndexFunc(h.Table, func(r Row) bool { return r.Partition == last.Partition })
		if h.Table[first].Stream == last.Stream {
			t.Skip("it has one stream")
		}
		h.Epochs[h.Table[first].Stream], h.Epochs[last.Stream] = h.Epochs[last.Stream], h.Epochs[h.Table[first].Stream]
	}},
	{"a row of nobody", Phantom, func(t *rapid.T, h *History) {
		r := h.Table[index(t, len(h.Table))]
		h.Table = append(h.Table, Row{r.Stream, r.Offset + 1000, r.Partition, h.Input[r.Partition]})
	}},
	{"told of another place", Misplaced, func(t *rapid.T, h *History) {
		h.Told[index(t, len(h.Told))].Offset += 5
	}},
	{"the position is ahead", Early, func(t *rapid.T, h *History) {
		h.Final, h.Told = false, nil
		h.Table = slices.Delete(h.Table, len(h.Table)-1, len(h.Table))
	}},
	{"a refused batch is there", Unwanted, func(t *rapid.T, h *History) {
		told := h.Told[index(t, len(h.Told))]
		h.Refused = append(h.Refused, Refused{told.Partition, told.From, told.To})
	}},
	{"what was stored is offered again", Forgotten, func(t *rapid.T, h *History) {
		told := h.Told[index(t, len(h.Told))]
		h.Resumed = append(h.Resumed, Resumed{told.Partition, told.From, told.To})
	}},
	{"a request is ahead of its intent", Unbound, func(t *rapid.T, h *History) {
		// The first of its place: what is sent again was bound long ago.
		i := index(t, len(h.Requests))
		i = slices.IndexFunc(h.Requests, func(r Request) bool {
			return r.Stream == h.Requests[i].Stream && r.Offset == h.Requests[i].Offset
		})
		h.Requests[i].Durable = i
	}},
	{"a request of which no ledger knows", Unbound, func(t *rapid.T, h *History) {
		r := h.Requests[index(t, len(h.Requests))]
		r.Offset += 1000
		h.Requests = append(h.Requests, r)
	}},
	{"another batch's row at a bound offset", Unbound, func(t *rapid.T, h *History) {
		i := index(t, len(h.Bound))
		where := place{h.Bound[i].Stream, h.Bound[i].Start}
		landed := slices.ContainsFunc(h.Table, func(r Row) bool { return r.Stream == where.stream && r.Offset == where.offset })
		if !landed || h.Bound[i].Rows == 0 {
			t.Skip("nothing landed there")
		}
		for i, b := range h.Bound {
			if b.Stream == where.stream && b.Start == where.offset {
				h.Bound[i].From, h.Bound[i].To = b.To, b.To+b.Rows
			}
		}
	}},
	{"an offset is bound again", Rebound, func(t *rapid.T, h *History) {
		b := h.Bound[index(t, len(h.Bound))]
		b.Digest += "'"
		h.Bound = append(h.Bound, b)
	}},
	{"bound batches overlap", Rebound, func(t *rapid.T, h *History) {
		b := h.Bound[index(t, len(h.Bound))]
		if b.Rows < 2 {
			t.Skip("it has one row")
		}
		b.Start++
		h.Bound = append(h.Bound, b)
	}},
	{"the ledger acknowledged more than there is", Apart, func(t *rapid.T, h *History) {
		c := &h.Claims[index(t, len(h.Claims))]
		c.Acked, c.Next = c.Acked+1, c.Next+1
	}},
	{"a batch stays open", Apart, func(t *rapid.T, h *History) {
		h.Claims[index(t, len(h.Claims))].Next++
	}},
	{"the ledger breaks its rules", Unsound, func(_ *rapid.T, h *History) {
		h.Unsound = append(h.Unsound, "a gap")
	}},
}

func index(t *rapid.T, n int) int { return rapid.IntRange(0, n-1).Draw(t, "which") }

// TestPropertySound judges random sound histories. If it failed, the oracle would cry
// wolf, and people would stop listening.
func TestPropertySound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		require.Empty(t, soundHistory(t).Judge())
	})
}

// TestPropertyBroken breaks a random sound history in each way that there is a word
// for. If it failed, the oracle would be blind to that.
func TestPropertyBroken(t *testing.T) {
	broken := map[Kind]bool{}
	for _, b := range breaches {
		broken[b.kind] = true
		t.Run(b.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				h := soundHistory(t)
				b.do(t, &h)
				require.Condition(t, func() bool {
					return slices.ContainsFunc(h.Judge(), func(f Finding) bool { return f.Kind == b.kind })
				}, "found only %v", h.Judge())
			})
		})
	}
	for _, k := range Kinds {
		require.True(t, broken[k], "no history is %s", k)
	}
}
