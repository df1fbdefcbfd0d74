package chaos

import (
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
		{"duplicated", func(h *History) { h.Table = append(h.Table, Row{"s2", 2, "p", 3}) }, []Kind{Duplicated}},
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
		{"phantom row", func(h *History) { h.Table = append(h.Table, Row{"s2", 2, "p", 6}) }, []Kind{Phantom}},
		{"phantom partition", func(h *History) { h.Table = append(h.Table, Row{"s2", 2, "q", 0}) }, []Kind{Phantom}},
		{"early position", func(h *History) { h.Final, h.Positions["p"] = false, 6; h.Table = h.Table[:5] }, []Kind{Early}},
		{"position beyond the source", func(h *History) { h.Positions["p"] = 7 }, []Kind{Early}},
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
