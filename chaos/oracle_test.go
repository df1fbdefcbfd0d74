package chaos

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// sound is a history of one partition with six rows over two streams.
func sound() History {
	h := History{
		Input:     map[string]int64{"p": 6},
		Positions: map[string]int64{"p": 4},
		Epochs:    map[string]uint64{"s1": 1, "s2": 2},
		Told:      []Told{{"p", 0, 2, "s1", 0}, {"p", 2, 4, "s1", 2}, {"p", 0, 0, "s2", 0}},
		Resumed:   []Resumed{{"p", 0, 0}, {"p", 4, 4}},
		Bound:     []Bound{{"p", "s1", 0, 2, 0, 2, "a"}, {"p", "s1", 2, 2, 2, 4, "b"}, {"p", "s1", 4, 2, 4, 6, "c"}, {"p", "s2", 0, 2, 4, 6, "c"}},
		Requests:  []Request{{"s1", 0, 2, 1}, {"s1", 2, 2, 2}, {"s1", 4, 2, 3}, {"s2", 0, 2, 4}},
		Claims:    []Claim{{"p", "s2", 2, 2, 2}},
		Final:     true,
	}
	for i := range int64(4) {
		h.Table = append(h.Table, Row{"s1", i, "p", i})
	}
	h.Table = append(h.Table, Row{"s2", 0, "p", 4}, Row{"s2", 1, "p", 5})
	return h
}

// TestOracle breaks a sound history in every way that the oracle has a word for. An
// oracle that missed one would let that bug of the writer through every other test.
func TestOracle(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*History)
		want []Kind
	}{
		{"sound", func(*History) {}, nil},
		{"unfinished", func(h *History) { h.Final, h.Table, h.Told = false, h.Table[:5], h.Told[:2] }, nil},
		{"nothing yet", func(h *History) { *h = History{Input: h.Input} }, nil},
		{"lost at the end", func(h *History) { h.Table = h.Table[:5] }, []Kind{Lost}},
		{"lost, told landed", func(h *History) { h.Table, h.Final, h.Positions = h.Table[:3], false, nil; h.Told = h.Told[:2] }, []Kind{Lost}},
		{"gap before the end", func(h *History) {
			h.Final, h.Positions, h.Told = false, nil, nil
			h.Table = append(h.Table[:2:2], h.Table[3:]...)
		}, []Kind{Lost}},
		{"duplicated", func(h *History) { h.Table = append(h.Table, Row{"s2", 2, "p", 3}) }, []Kind{Duplicated, Unbound}},
		{"dead", func(h *History) { h.Table, h.Dead = h.Table[:5], []Dead{{"p", 5}} }, nil},
		{"dead in the middle", func(h *History) {
			h.Table, h.Dead = append(h.Table[:3:3], h.Table[4:]...), []Dead{{"p", 3}}
			h.Told = append(h.Told, Told{"p", 3, 4, "", 0})
		}, nil},
		{"dead and landed", func(h *History) { h.Dead = []Dead{{"p", 3}} }, []Kind{Duplicated}},
		{"dead twice", func(h *History) { h.Table, h.Dead = h.Table[:5], []Dead{{"p", 5}, {"p", 5}} }, []Kind{Duplicated}},
		{"dead phantom", func(h *History) { h.Dead = []Dead{{"p", 6}} }, []Kind{Phantom}},
		{"reordered", func(h *History) { h.Table[4].Index, h.Table[5].Index = 5, 4 }, []Kind{Reordered, Reordered}},
		{"in an earlier stream", func(h *History) { h.Epochs["s1"] = 3 }, []Kind{Reordered}},
		{"two streams of one epoch", func(h *History) { h.Epochs["s2"] = 1 }, []Kind{Reordered}},
		{"phantom row", func(h *History) { h.Table = append(h.Table, Row{"s2", 2, "p", 6}) }, []Kind{Phantom, Unbound}},
		{"phantom partition", func(h *History) { h.Table = append(h.Table, Row{"s2", 2, "q", 0}) }, []Kind{Phantom, Unbound}},
		{"early position", func(h *History) { h.Final, h.Positions["p"] = false, 6; h.Table = h.Table[:5] }, []Kind{Early}},
		{"position beyond the source", func(h *History) { h.Positions["p"] = 7 }, []Kind{Early}},
		{"refused", func(h *History) {
			h.Input["p"], h.Stopped = 7, map[string]bool{"p": true}
			h.Refused = append(h.Refused, Refused{"p", 6, 7})
		}, nil},
		{"refused, and there", func(h *History) { h.Refused = append(h.Refused, Refused{"p", 5, 6}) }, []Kind{Unwanted}},
		{"resumed too early", func(h *History) { h.Resumed[1].Stored = 5 }, []Kind{Forgotten}},
		{"stopped", func(h *History) {
			h.Table, h.Stopped, h.Claims = h.Table[:5], map[string]bool{"p": true}, []Claim{{"p", "s2", 0, 2, 1}}
		}, nil},
		{"another stopped", func(h *History) { h.Table, h.Stopped = h.Table[:5], map[string]bool{"q": true} }, []Kind{Lost}},
		{"sent before it was durable", func(h *History) { h.Requests[2].Durable = 2 }, []Kind{Unbound}},
		{"sent and never bound", func(h *History) { h.Requests = append(h.Requests, Request{"s2", 2, 2, 4}) }, []Kind{Unbound}},
		{"more sent than bound", func(h *History) { h.Requests[0].Rows = 3 }, []Kind{Unbound}},
		{"another batch's rows at a bound place", func(h *History) { h.Bound[3].From, h.Bound[3].To = 6, 8 }, []Kind{Unbound, Unbound}},
		{"bound again when a ledger is opened", func(h *History) { h.Bound = append(h.Bound, h.Bound[2]) }, nil},
		{"bound to two batches", func(h *History) { h.Bound = append(h.Bound, Bound{"p", "s1", 4, 2, 4, 6, "d"}) }, []Kind{Rebound}},
		{"bound over another batch", func(h *History) { h.Bound = append(h.Bound, Bound{"p", "s1", 5, 2, 6, 8, "d"}) }, []Kind{Rebound}},
		{"only dead letters bound", func(h *History) { h.Bound = append(h.Bound, Bound{"p", "s2", 0, 0, 6, 8, "d"}) }, nil},
		{"nothing bound", func(h *History) { h.Bound = nil }, append(slices.Repeat([]Kind{Unbound}, 4), slices.Repeat([]Kind{Unbound}, 6)...)},
		{"more acknowledged than there is", func(h *History) { h.Claims[0] = Claim{"p", "s2", 3, 3, 2} }, []Kind{Apart}},
		{"more there than was bound", func(h *History) { h.Claims[0].End = 3 }, []Kind{Apart}},
		{"not all acknowledged", func(h *History) { h.Claims[0].Acked = 1 }, []Kind{Apart}},
		{"open, before the end", func(h *History) { h.Claims[0], h.Final = Claim{"p", "s2", 0, 2, 1}, false }, nil},
		{"a ledger that breaks its rules", func(h *History) { h.Unsound = []string{"gap"} }, []Kind{Unsound}},
		{"told of an empty place", func(h *History) { h.Told[0].Offset = 9 }, []Kind{Misplaced}},
		{"told of another batch's place", func(h *History) { h.Told[0].Offset = 2 }, []Kind{Misplaced}},
		{"told of another partition's place", func(h *History) { h.Told[2].Partition = "q" }, []Kind{Misplaced}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := sound()
			c.do(&h)
			var got []Kind
			for _, f := range h.Judge() {
				got = append(got, f.Kind)
			}
			require.Equal(t, c.want, got, "%v", h.Judge())
		})
	}
}
