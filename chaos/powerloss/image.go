package powerloss

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// Atom is a part of a change that a power loss leaves or takes as one: a page of a
// write, a new size, a change of names.
type Atom struct {
	change *change
	data   []byte
	offset int64
}

// sectors is a mask of the sectors that the atom has.
func (a Atom) sectors() byte {
	if a.data == nil {
		return 1
	}
	from := a.offset % pageSize / sectorSize
	to := (a.offset%pageSize + int64(len(a.data)) + sectorSize - 1) / sectorSize
	return byte(1<<to - 1<<from)
}

// Atoms returns what may be there after a power loss now or not, in the order of writing.
func (d *Disk) Atoms() (atoms []Atom) {
	for _, c := range d.pending {
		if c.to != nil || c.resize {
			atoms = append(atoms, Atom{change: c})
			continue
		}
		for at := int64(0); at < int64(len(c.data)); {
			offset := c.offset + at
			n := min(pageSize-offset%pageSize, int64(len(c.data))-at)
			atoms = append(atoms, Atom{change: c, data: c.data[at : at+n], offset: offset})
			at += n
		}
	}
	return atoms
}

// Choice says what a power loss leaves of an atom.
type Choice struct {
	There byte // the sectors that are there; none: the atom is not
	Spoil byte // the sectors that hold garbage instead
}

// whole is an atom that is there.
var whole = Choice{There: 0xff}

// Image is one state that a power loss could leave.
type Image struct {
	Names map[string]int // a file's number, or -1 for a folder
	disk  *Disk
	sizes map[int]int64  // of those that are not the durable ones
	laid  map[int][]laid // over the durable content, in order
}

type laid struct {
	data   []byte
	offset int64
}

// Image returns the state with what was chosen of each atom; garbage is drawn by seed.
// It shares memory with the disk and is of use until the next event.
func (d *Disk) Image(atoms []Atom, choices []Choice, seed uint64) *Image {
	im := &Image{Names: maps.Clone(d.names), disk: d, sizes: map[int]int64{}, laid: map[int][]laid{}}
	if im.Names == nil {
		im.Names = map[string]int{}
	}
	for i, a := range atoms {
		choice := choices[i]
		switch {
		case choice == Choice{}:
		case a.change.to != nil:
			for _, n := range a.change.to {
				set(im.Names, n)
			}
		case a.change.resize:
			im.grow(a.change.file, a.change.offset)
		default:
			im.lay(a, choice, seed+uint64(i))
		}
	}
	for path := range im.Names { // what is in a folder that is not there is not there
		if in := parent(path); in != "" && im.Names[in] != folder {
			delete(im.Names, path)
		}
	}
	return im
}

func (im *Image) grow(number int, size int64) { im.sizes[number] = max(im.size(number), size) }

func (im *Image) size(number int) int64 {
	return max(im.sizes[number], im.disk.files[number-1].size)
}

// lay puts the chosen sectors of an atom over the file.
func (im *Image) lay(a Atom, choice Choice, seed uint64) {
	number := a.change.file
	all := a.sectors()
	if choice.There&all == all && choice.Spoil&all == 0 {
		im.grow(number, a.offset+int64(len(a.data)))
		im.laid[number] = append(im.laid[number], laid{a.data, a.offset})
		return
	}
	page := a.offset / pageSize * pageSize
	for s := range int64(pageSize / sectorSize) {
		from := max(page+s*sectorSize, a.offset)
		to := min(page+(s+1)*sectorSize, a.offset+int64(len(a.data)))
		if from >= to || (choice.There|choice.Spoil)&(1<<s) == 0 {
			continue
		}
		data := a.data[from-a.offset : to-a.offset]
		if choice.Spoil&(1<<s) != 0 {
			data = garbage(len(data), seed+uint64(s)<<32)
		}
		im.grow(number, to)
		im.laid[number] = append(im.laid[number], laid{data, from})
	}
}

func garbage(n int, seed uint64) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// flatten returns a file as it is in the image.
func (im *Image) flatten(number int) *file {
	f := &file{content: slices.Clone(im.disk.files[number-1].content), size: im.size(number)}
	for _, l := range im.laid[number] {
		f.write(l.data, l.offset)
	}
	return f
}

// Put makes the empty folder what the image says. A file of which kept has another
// name is not made but linked from there, so that it is the same inode in every image:
// a ledger knows its own.
func (im *Image) Put(in string, kept map[int]string) error {
	for _, path := range slices.Sorted(maps.Keys(im.Names)) { // folders come before what is in them
		at, number := filepath.Join(in, path), im.Names[path]
		var err error
		if number == folder {
			err = os.Mkdir(at, 0o700)
		} else {
			err = im.putFile(at, number, kept[number])
		}
		if err != nil {
			return fmt.Errorf("make an image: %w", err)
		}
	}
	return nil
}

func (im *Image) putFile(at string, number int, kept string) (err error) {
	if kept != "" {
		if err := os.Link(kept, at); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	if content := im.disk.files[number-1].content; len(content) > 0 {
		if _, err := f.WriteAt(content, 0); err != nil {
			return err
		}
	}
	for _, l := range im.laid[number] {
		if _, err := f.WriteAt(l.data, l.offset); err != nil {
			return err
		}
	}
	return f.Truncate(im.size(number))
}

// Empty removes all that is in a folder.
func Empty(in string) error {
	entries, err := os.ReadDir(in)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(in, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
