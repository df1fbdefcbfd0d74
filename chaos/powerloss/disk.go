package powerloss

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

const (
	pageSize   = 4096 // in which a file system writes back, in any order
	sectorSize = 512  // which a disk writes whole, or spoils
	folder     = -1   // what a name stands for that is no file
	gone       = 0
)

// Disk is what a recorded run has made of its folder: what is durable, and what may be
// there after a power loss. It assumes no more than POSIX says:
//
//   - A write is in pages, each of which may be there or not, whatever its size and the
//     order of writing; one that was on its way may be there in part, with garbage in
//     sectors. Only a sync of the file, which began after the write had ended, makes it durable
//     when it has ended.
//   - A file's size is one more thing that may be there or not, until such a sync. Where
//     a file has its size but not its data, it reads as zeros.
//   - Names are made, moved and removed by a sync of their folder, never by one of the
//     file. Until then each change of them may be there or not, a rename as a whole.
//
// The zero value is an empty folder. It is not safe for concurrent use.
type Disk struct {
	files   []*file        // numbered from 1
	names   map[string]int // durable: a file's number, or folder
	current map[string]int // as the running process sees them
	former  map[string]int // the last files to lose a name
	pending []*change      // in the order of beginning
	syncs   map[int]*pendingSync
}

// file is the durable part of one.
type file struct {
	content []byte // shorter than size where the rest is zeros
	size    int64
}

// change is something that happened since the last sync that covers it.
type change struct {
	call  int
	ended bool

	in string // the folder that holds the names, if it changes names
	to []name // which are so changed together

	file   int // otherwise
	data   []byte
	offset int64 // of data, or, if it is a resize, the new size
	resize bool
}

type name struct {
	path string
	is   int // a file's number, folder or gone
}

type pendingSync struct {
	covers []*change
}

// Apply plays the next event of a recording.
func (d *Disk) Apply(e Event) error {
	if d.names == nil {
		d.names, d.current, d.former = map[string]int{}, map[string]int{}, map[string]int{}
		d.syncs = map[int]*pendingSync{}
	}
	if err := d.apply(e); err != nil {
		return fmt.Errorf("call %d, %v of %q: %w", e.Call, e.Kind, e.Name, err)
	}
	return nil
}

func (d *Disk) apply(e Event) error {
	switch e.Kind {
	case Note:
		return nil
	case Loss:
		return d.lose(e)
	case Ended:
		return d.ended(e)
	case Sync:
		return d.sync(e)
	case Create:
		d.files = append(d.files, &file{})
		return d.rename(e, name{e.Name, len(d.files)})
	case Mkdir:
		return d.rename(e, name{e.Name, folder})
	case Remove:
		return d.rename(e, name{e.Name, gone})
	}
	number, _ := d.find(e.Name)
	if number <= 0 {
		return fmt.Errorf("there is no such file")
	}
	switch e.Kind {
	case Link:
		return d.rename(e, name{e.To, number})
	case Rename:
		return d.rename(e, name{e.Name, gone}, name{e.To, number})
	case Write, Resize:
		d.pending = append(d.pending, &change{call: e.Call, file: number, data: e.Data, offset: e.Offset, resize: e.Kind == Resize})
		return nil
	}
	return fmt.Errorf("an event that is not known here")
}

func (d *Disk) rename(e Event, to ...name) error {
	in := parent(to[0].path)
	for _, n := range to {
		if parent(n.path) != in {
			return fmt.Errorf("moved to another folder")
		}
	}
	d.pending = append(d.pending, &change{call: e.Call, in: in, to: to})
	return nil
}

func parent(p string) string {
	if in := path.Dir(p); in != "." {
		return in
	}
	return ""
}

// find returns the number of a file that the running process has, or folder.
func (d *Disk) find(name string) (number int, known bool) {
	if before, is := strings.CutSuffix(name, Deleted); is {
		number, known = d.former[before]
		return number, known
	}
	number, known = d.current[name]
	return number, known
}

// sync notes what a sync that begins covers.
func (d *Disk) sync(e Event) error {
	s := &pendingSync{}
	d.syncs[e.Call] = s
	number, known := d.find(e.Name)
	if !known && e.Name != "" {
		return fmt.Errorf("there is no such file")
	}
	for _, c := range d.pending {
		if c.ended && (c.to != nil && number <= 0 && c.in == e.Name || c.to == nil && c.file == number) {
			s.covers = append(s.covers, c)
		}
	}
	return nil
}

// ended is told that a call has returned.
func (d *Disk) ended(e Event) error {
	if s := d.syncs[e.Call]; s != nil {
		delete(d.syncs, e.Call)
		if e.N >= 0 {
			d.harden(s.covers)
		}
		return nil
	}
	at := slices.IndexFunc(d.pending, func(c *change) bool { return c.call == e.Call })
	if at < 0 {
		return fmt.Errorf("a call that has not begun")
	}
	c := d.pending[at]
	if e.N < 0 {
		d.pending = slices.Delete(d.pending, at, at+1)
		return nil
	}
	c.ended = true
	if c.file > 0 && !c.resize {
		c.data = c.data[:e.N] // all of it, unless the process was killed in the middle
	}
	for _, n := range c.to {
		if lost := d.current[n.path]; lost > 0 {
			d.former[n.path] = lost
		}
		set(d.current, n)
	}
	return nil
}

func set(names map[string]int, n name) {
	if names[n.path] = n.is; n.is == gone {
		delete(names, n.path)
	}
}

// harden makes changes durable.
func (d *Disk) harden(covered []*change) {
	durable := map[*change]bool{}
	for _, c := range covered {
		durable[c] = true
		switch {
		case c.to != nil:
			for _, n := range c.to {
				set(d.names, n)
			}
		case c.resize:
			f := d.files[c.file-1]
			f.size = max(f.size, c.offset)
		default:
			d.files[c.file-1].write(c.data, c.offset)
		}
	}
	d.pending = slices.DeleteFunc(d.pending, func(c *change) bool { return durable[c] })
}

func (f *file) write(data []byte, offset int64) {
	end := offset + int64(len(data))
	if n := int64(len(f.content)); end > n {
		f.content = append(f.content, make([]byte, end-n)...)
	}
	copy(f.content[offset:], data)
	f.size = max(f.size, end)
}

// Hardens says whether an event makes anything durable: what may be there before it is
// more than at any time since the one before.
func (d *Disk) Hardens(e Event) bool {
	s := d.syncs[e.Call]
	return e.Kind == Ended && e.N >= 0 && s != nil && len(s.covers) > 0
}

// Unfinished returns the calls that have begun and did not return.
func (d *Disk) Unfinished() (calls []int) {
	for _, c := range d.pending {
		if !c.ended {
			calls = append(calls, c.call)
		}
	}
	return calls
}

// Number returns the number of the file with a name, as the running process sees it; 0
// when there is none.
func (d *Disk) Number(name string) int { return max(d.current[name], 0) }

// lose is a power loss: what it left is durable, and nothing is pending.
func (d *Disk) lose(e Event) error {
	atoms := d.Atoms()
	if len(atoms) != len(e.Choices) {
		return fmt.Errorf("%d choices for %d changes", len(e.Choices), len(atoms))
	}
	image := d.Image(atoms, e.Choices, e.Seed)
	for _, number := range image.Names {
		if number > 0 {
			d.files[number-1] = image.flatten(number)
		}
	}
	d.names, d.current = image.Names, maps.Clone(image.Names)
	d.pending, d.syncs = nil, map[int]*pendingSync{}
	return nil
}
