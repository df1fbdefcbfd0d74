package demo

import (
	"math/rand/v2"
	"testing"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/stretchr/testify/require"
)

func split(s string) (rows [][]byte) {
	for _, c := range []byte(s) {
		rows = append(rows, []byte{c})
	}
	return rows
}

// A proof that can't fail proves nothing: every way of going wrong must be counted as what it is.
func TestDiffer(t *testing.T) {
	for _, c := range []struct {
		want, got string
		d         difference
	}{
		{"abc", "abc", difference{}},
		{"", "", difference{}},
		{"abc", "abbc", difference{surplus: 1}},
		{"abc", "abcabc", difference{surplus: 3}},
		{"abc", "ac", difference{missing: 1}},
		{"abc", "", difference{missing: 3}},
		{"abc", "acb", difference{disorder: 1}},
		{"abcd", "dabc", difference{disorder: 3}},
		{"abc", "axc", difference{surplus: 1, missing: 1}},
		{"aaba", "aaba", difference{}},
		{"aaba", "abaa", difference{disorder: 1}},
		{"aab", "aabb", difference{surplus: 1}},
		{"aab", "ab", difference{missing: 1}},
	} {
		require.Equal(t, c.d, differ(split(c.want), split(c.got)), "%s against %s", c.got, c.want)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		want := make([][]byte, 1+random.IntN(20))
		for i := range want {
			want[i] = []byte{byte(random.IntN(5))}
		}
		got := append([][]byte{}, want...)
		random.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		d := differ(want, got)
		require.Zero(t, d.surplus+d.missing, "a shuffle neither adds nor takes")
	}
}

// The counts must be right when the writer dies again and again: each batch once, and only if nobody had an answer.
func TestWatch(t *testing.T) {
	emu, err := emulator.Start(emulator.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, emu.Close()) }()
	w := newWatch()
	w.observe(emu)
	request := func(offset int64) { w.append(emulator.Request{Stream: "s", Offset: offset, Rows: 10}) }
	killed := 0
	w.arm(20, func() { killed++ })
	request(0)
	request(1 << 62) // a probe
	require.Equal(t, 0, killed)
	request(10)
	request(20)
	require.Equal(t, 1, killed, "once, and at 20 rows")
	w.ended(map[place]bool{{"s", 0}: true, {"s", 10}: true, {"s", 20}: true})
	request(20) // again; the probe told of the others
	w.ended(map[place]bool{{"s", 10}: true})
	ambiguous, replays := w.result()
	require.Equal(t, int64(1), ambiguous, "at 0: 10 is open still, 20 was sent again to a stream that didn't have it")
	require.Equal(t, int64(1), replays)
	w.ended(nil)
	ambiguous, _ = w.result()
	require.Equal(t, int64(2), ambiguous)
}

// What the writer said when it failed is all there is to go by; what it says otherwise must not fill the memory.
func TestTail(t *testing.T) {
	var said tail
	for range 10_000 {
		n, err := said.Write([]byte("another line\n"))
		require.NoError(t, err)
		require.Equal(t, 13, n)
	}
	_, err := said.Write([]byte("the reason\n"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(said.String()), tailSize)
	require.Contains(t, said.String(), "the reason")
}
