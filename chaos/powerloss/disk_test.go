package powerloss

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// play is a disk after events; a call that has no Ended ends at once, unless it is in open.
func play(t *testing.T, open map[int]bool, events ...Event) *Disk {
	d := &Disk{}
	for i, e := range events {
		if e.Kind != Ended {
			e.Call = i + 1
		}
		require.NoError(t, d.Apply(e))
		if e.Kind != Ended && !open[e.Call] {
			require.NoError(t, d.Apply(Event{Kind: Ended, Call: e.Call, N: int64(len(e.Data))}))
		}
	}
	return d
}

// images are all that a power loss can leave of whole atoms: the content of file "a".
func images(d *Disk) map[string]bool {
	all := map[string]bool{}
	atoms := d.Atoms()
	for mask := range 1 << len(atoms) {
		choices := make([]Choice, len(atoms))
		for i := range atoms {
			if mask&(1<<i) != 0 {
				choices[i] = whole
			}
		}
		im := d.Image(atoms, choices, 0)
		if number := im.Names["a"]; number == 0 {
			all["none"] = true
		} else {
			f := im.flatten(number)
			f.content = append(f.content, make([]byte, f.size-int64(len(f.content)))...)
			all[string(f.content)] = true
		}
	}
	return all
}

func anyOf(keys ...string) map[string]bool {
	all := map[string]bool{}
	for _, k := range keys {
		all[k] = true
	}
	return all
}

// If it fails, images are made that no power loss leaves, or those are missing that one
// could.
func TestDisk(t *testing.T) {
	create := Event{Kind: Create, Name: "a"}
	write := func(text string) Event { return Event{Kind: Write, Name: "a", Data: []byte(text)} }
	file, dir := Event{Kind: Sync, Name: "a"}, Event{Kind: Sync}
	for name, c := range map[string]struct {
		events []Event
		open   map[int]bool // calls that end later
		want   map[string]bool
	}{
		"nothing":                          {want: anyOf("none")},
		"a file whose folder isn't synced": {events: []Event{create, write("x"), file}, want: anyOf("none", "x")},
		"a file that isn't synced":         {events: []Event{create, write("x"), dir}, want: anyOf("", "x")},
		"both":                             {events: []Event{create, write("x"), file, dir}, want: anyOf("x")},
		"the later write alone":            {events: []Event{create, write("xx"), file, dir, write("y"), write("zz")}, want: anyOf("xx", "yx", "zz")},
		"a sync that began too early": {
			events: []Event{create, dir, write("x"), file, {Kind: Ended, Call: 3, N: 1}}, open: map[int]bool{3: true}, want: anyOf("", "x"),
		},
		"a sync that has not ended": {events: []Event{create, dir, write("x"), file}, open: map[int]bool{4: true}, want: anyOf("", "x")},
		"a write that failed":       {events: []Event{create, dir, write("x"), {Kind: Ended, Call: 3, N: -1}}, open: map[int]bool{3: true}, want: anyOf("")},
		"a write cut short":         {events: []Event{create, dir, write("xyz"), {Kind: Ended, Call: 3, N: 1}, file}, open: map[int]bool{3: true}, want: anyOf("x")},
		"size and data":             {events: []Event{create, dir, {Kind: Resize, Name: "a", Offset: 2}, write("x")}, want: anyOf("", "\x00\x00", "x", "x\x00")},
		"a rename as a whole": {
			events: []Event{create, write("x"), file, dir, {Kind: Create, Name: "b"}, {Kind: Write, Name: "b", Data: []byte("y")}, {Kind: Sync, Name: "b"},
				{Kind: Rename, Name: "b", To: "a"}},
			want: anyOf("x", "y"),
		},
		"a rename without a sync of the file": {
			events: []Event{create, write("x"), file, dir, {Kind: Create, Name: "b"}, {Kind: Write, Name: "b", Data: []byte("y")}, {Kind: Rename, Name: "b", To: "a"}, dir},
			want:   anyOf("", "y"),
		},
		"removed":   {events: []Event{create, write("x"), file, dir, {Kind: Remove, Name: "a"}}, want: anyOf("x", "none")},
		"lost":      {events: []Event{create, dir, write("x"), {Kind: Loss, Choices: []Choice{{}}}}, want: anyOf("")},
		"not lost":  {events: []Event{create, dir, write("x"), {Kind: Loss, Choices: []Choice{whole}}}, want: anyOf("x")},
		"link":      {events: []Event{{Kind: Create, Name: "b"}, {Kind: Write, Name: "b", Data: []byte("y")}, {Kind: Sync, Name: "b"}, dir, {Kind: Link, Name: "b", To: "a"}}, want: anyOf("none", "y")},
		"two pages": {events: []Event{create, dir, {Kind: Write, Name: "a", Offset: 4095, Data: []byte("xy")}}, want: anyOf("", zeros(4095)+"x", zeros(4096)+"y", zeros(4095)+"xy")},
	} {
		t.Run(name, func(t *testing.T) {
			if n := len(c.events); n > 0 && c.events[n-1].Kind == Loss {
				c.open = map[int]bool{n: true} // it is no call
			}
			require.Equal(t, c.want, images(play(t, c.open, c.events...)))
		})
	}
}

func zeros(n int) string { return string(make([]byte, n)) }

// A page is torn between sectors, and what is spoilt is neither old nor new.
func TestTorn(t *testing.T) {
	old, young := bytes.Repeat([]byte("o"), 4096), bytes.Repeat([]byte("n"), 4096)
	d := play(t, nil, Event{Kind: Create, Name: "a"}, Event{Kind: Sync}, Event{Kind: Write, Name: "a", Data: old}, Event{Kind: Sync, Name: "a"},
		Event{Kind: Write, Name: "a", Data: young})
	content := d.Image(d.Atoms(), []Choice{{There: 0b0000_0101, Spoil: 0b1000_0000}}, 1).flatten(1).content
	for sector, want := range "nonooooo"[:7] {
		require.Equal(t, bytes.Repeat([]byte{byte(want)}, 512), content[sector*512:][:512], sector)
	}
	require.NotContains(t, string(content[7*512:]), "ooo")
	require.NotContains(t, string(content[7*512:]), "nnn")
}

// Every systematic choice differs from the others where it can, and is made of what it
// says.
func TestPick(t *testing.T) {
	random := keyed(1, 1)
	const n = 5
	whole, none, partial := 0, 0, 0
	for i := range systematic(n) {
		c := pick(n, i, random)
		require.Len(t, c, n)
		damaged := 0
		for _, choice := range c {
			if choice.There != 0 && choice.There != 0xff || choice.Spoil != 0 {
				damaged++
			}
		}
		require.LessOrEqual(t, damaged, 1)
		switch {
		case damaged == 1:
			partial++
		case c[0] == Choice{} && c[n-1] == Choice{}:
			none++
		case c[0].There == 0xff && c[n-1].There == 0xff:
			whole++
		}
	}
	require.Equal(t, 4*n, partial)
	require.Positive(t, none)
	require.Positive(t, whole)
	require.Len(t, pick(0, 0, random), 0)
	require.Len(t, pick(n, systematic(n), random), n)
}
