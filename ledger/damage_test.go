package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// state is all that a ledger says of itself.
type state struct {
	partitions []Partition
	open       [][]Intent
	retired    []Retired
}

func stateOf(l *Ledger) (s state, err error) {
	if s.partitions, err = l.Partitions(); err != nil {
		return s, err
	}
	for _, p := range s.partitions {
		_, open, err := l.Partition(p.Key)
		if err != nil {
			return s, err
		}
		s.open = append(s.open, open)
	}
	s.retired, err = l.Retired()
	return s, err
}

// bigLedger makes a closed ledger of many pages, and returns it without the unused
// end of the file.
func bigLedger(t *testing.T) (path string, content []byte, want state) {
	path = newPath(t)
	l := mustOpen(t, path, small)
	for i := range 40 {
		p := mustOpenEpoch(t, l, fmt.Sprint("p", i), Replayable)
		for n := range int64(8) {
			require.NoError(t, bind(l, p.ID, 1, batch(n, n, 1)))
		}
		require.NoError(t, acknowledge(l, p.ID, 1, 3))
		if i%2 == 0 {
			require.NoError(t, seal(l, p.ID, 1, Seal{Successor: fmt.Sprint("s", i), Reason: Aging}))
		}
		if i%4 == 0 {
			_, err := settle(l, p.ID, 1, Settlement{Rows: 7, Rest: []Intent{func() Intent { in := batch(7, 7, 1); in.Start = 0; return in }()}})
			require.NoError(t, err)
		}
	}
	want, err := stateOf(l)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	content, err = os.ReadFile(path)
	require.NoError(t, err)
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	m, err := newestMeta(f, int64(len(content)))
	require.NoError(t, err)
	require.Greater(t, m.high, uint64(12))
	return path, content[:m.high*m.pageSize], want
}

// look opens the file in both ways and reads everything. Nothing may panic; damage
// is ErrCorrupt, a violation, or makes no difference. It says whether it was found.
func look(t *testing.T, path string, want state, what string) (found bool) {
	r, err := OpenReadOnly(path)
	if err == nil {
		violations, err := r.Check()
		require.True(t, err == nil || errors.Is(err, ErrCorrupt), "%s: %v", what, err)
		got, gotErr := stateOf(r)
		require.NoError(t, r.Close())
		found = len(violations) > 0 || err != nil
		if gotErr == nil && !found {
			require.Equal(t, want, got, what)
		}
		require.True(t, gotErr == nil || errors.Is(gotErr, ErrCorrupt), "%s: %v", what, gotErr)
	} else {
		require.ErrorIs(t, err, ErrCorrupt, what)
		found = true
	}
	l, err := Open(path, small)
	if err != nil {
		require.ErrorIs(t, err, ErrCorrupt, what)
		require.True(t, found, "%s: only Open found it: %v", what, err)
		return true
	}
	require.False(t, found, "%s: Open did not find it", what)
	got, err := stateOf(l)
	require.NoError(t, err, what)
	require.Equal(t, want, got, what)
	require.NoError(t, l.Close())
	return false
}

// A truncated file faults when bbolt maps it: without the check of the pages the
// process would die here.
func TestTruncated(t *testing.T) {
	path, content, want := bigLedger(t)
	const page = 4096
	for n := 0; n < len(content); n += page / 4 {
		for _, size := range []int{n, n + 1, n + page/4 - 1} {
			require.NoError(t, os.WriteFile(path, content[:size], 0o600))
			require.True(t, look(t, path, want, fmt.Sprintf("%d of %d bytes", size, len(content))))
		}
	}
	require.NoError(t, os.WriteFile(path, content, 0o600))
	require.False(t, look(t, path, want, "whole"))
}

// Nearly all flipped bits are silent to bbolt. One that were silent to us would
// bind an offset to the wrong batch, or move the position.
func TestFlippedBits(t *testing.T) {
	path, content, want := bigLedger(t)
	random := rand.New(rand.NewPCG(1, 2))
	tries := 500
	if testing.Short() {
		tries = 100
	}
	found := 0
	for range tries {
		at, bit := random.IntN(len(content)), random.IntN(8)
		if random.IntN(4) == 0 { // more in the headers, which bbolt believes
			at = at/4096*4096 + random.IntN(200)
		}
		damaged := append([]byte(nil), content...)
		damaged[at] ^= 1 << bit
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		if look(t, path, want, fmt.Sprintf("bit %d of byte %d", bit, at)) {
			found++
		}
	}
	require.Greater(t, found, tries/20)
	t.Logf("%d of %d flips met something that counts", found, tries)
}

// Whole pages of garbage or zeros are what a lost write leaves.
func TestGarbagePages(t *testing.T) {
	path, content, want := bigLedger(t)
	random := rand.NewChaCha8([32]byte{1})
	for at := 0; at < len(content); at += 4096 {
		for _, fill := range []func([]byte){
			func(b []byte) { clear(b) },
			func(b []byte) { random.Read(b) },
			func(b []byte) { copy(b, content[2*4096:]) },
		} {
			damaged := append([]byte(nil), content...)
			fill(damaged[at : at+4096])
			require.NoError(t, os.WriteFile(path, damaged, 0o600))
			look(t, path, want, fmt.Sprintf("page %d", at/4096))
		}
	}
}

// A file that is truncated under an open ledger faults in mapped memory; that must
// be an error of this ledger, and not the end of the process.
func TestTruncatedWhileOpen(t *testing.T) {
	path, content, _ := bigLedger(t)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	l, err := Open(path, small)
	require.NoError(t, err)
	all, err := l.Partitions()
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, 2*4096))
	_, err = l.Partitions()
	require.ErrorIs(t, err, ErrCorrupt)
	p := all[1]
	err = bind(l, p.ID, p.Epoch, batch(p.Next, p.Next, 1))
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, err, ErrCorrupt)
	<-l.Failed()
	require.ErrorIs(t, l.Close(), ErrFailed)
}

// Check must see what the checksums can't: records that are whole and contradict
// one another.
func TestCheckFindsContradictions(t *testing.T) {
	cases := map[string]struct {
		edit func(t *testing.T, c *contradiction)
		text string
	}{
		"gap":             {func(t *testing.T, c *contradiction) { c.p.Acked-- }, "leave or share"},
		"next":            {func(t *testing.T, c *contradiction) { c.p.Next++ }, "the record says"},
		"position":        {func(t *testing.T, c *contradiction) { c.p.Position = pos(1) }, "position before"},
		"epoch":           {func(t *testing.T, c *contradiction) { c.p.Epoch = 0 }, "epoch 0"},
		"successor":       {func(t *testing.T, c *contradiction) { c.p.Seal = &Seal{Successor: c.p.Stream, Reason: Aging} }, "own successor"},
		"id":              {func(t *testing.T, c *contradiction) { c.p.ID = 9 }, "can't be found"},
		"mode":            {func(t *testing.T, c *contradiction) { c.p.Mode = Frozen }, "payload"},
		"schema":          {func(t *testing.T, c *contradiction) { c.p.Schema[0]++ }, "schema"},
		"rows":            {func(t *testing.T, c *contradiction) { c.p.Rows = 1 }, "over all epochs"},
		"intent's batch":  {func(t *testing.T, c *contradiction) { c.in.Of = 7 }, "whole"},
		"intent's schema": {func(t *testing.T, c *contradiction) { c.in.Schema[0]++ }, "schema"},
	}
	for name, cs := range cases {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			l := mustOpen(t, path, nil)
			p := mustOpenEpoch(t, l, "a", Replayable)
			require.NoError(t, bind(l, p.ID, 1, batch(0, 0, 5)))
			require.NoError(t, bind(l, p.ID, 1, batch(5, 5, 5)))
			require.NoError(t, acknowledge(l, p.ID, 1, 5))
			p, open, err := l.Partition(p.Key)
			require.NoError(t, err)
			require.NoError(t, l.Close())
			c := &contradiction{p: p, in: open[0]}
			cs.edit(t, c)
			c.write(t, path)

			r, err := OpenReadOnly(path)
			require.NoError(t, err)
			defer r.Close()
			violations, err := r.Check()
			require.NoError(t, err)
			require.Contains(t, fmt.Sprint(violations), cs.text)
			require.NoError(t, r.Close())
			_, err = Open(path, nil)
			require.ErrorIs(t, err, ErrCorrupt)
		})
	}
}
