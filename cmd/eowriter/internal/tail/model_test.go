package tail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const testSettle = 5 * time.Second

// world is a program that logs, whatever rotates its log, and one that follows it and is killed.
type world struct {
	t    *rapid.T
	dir  string
	path string
	now  time.Time

	stamped bool          // how rotated files are named
	tick    time.Duration // between what the program does: gzip's header has whole seconds
	banner  string

	out     *os.File // of the program; nil: it begins a new file with the next line
	moved   bool     // out has been rotated away
	torn    []byte   // the rest of a line of which the beginning was written
	written int      // lines
	inFile  map[string][]int
	here    []int        // lines of out
	gone    map[int]bool // lines whose file is no more, or that were written to a rotated one

	log    *Log
	losses int

	took  []taken // all batches, in order
	bound int     // how many of them are durable
}

// taken is a batch.
type taken struct {
	before, after source.LogPosition
	lines         []int
	digest        string
}

func newWorld(t *rapid.T, dir string) *world {
	w := &world{
		t: t, dir: dir, path: filepath.Join(dir, "app.log"), now: time.Now().Truncate(time.Second), inFile: map[string][]int{}, gone: map[int]bool{},
		stamped: rapid.Bool().Draw(t, "stamped"), tick: time.Millisecond,
	}
	if w.stamped {
		w.tick = time.Second
	}
	if rapid.Bool().Draw(t, "banner") {
		w.banner = strings.Repeat(" ", rapid.SampledFrom([]int{1, 900, 1100, 3000}).Draw(t, "length")) + "\n"
	}
	w.write()
	w.start()
	for w.bound == 0 {
		w.read()
		w.bound = len(w.took)
	}
	return w
}

func (w *world) no(err error) { require.NoError(w.t, err) }

func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

// touched sets the time of a file to the world's.
func (w *world) touched(path string) { w.no(os.Chtimes(path, w.now, w.now)) }

// put appends to the file that the program has open.
func (w *world) put(b []byte) {
	w.pass(w.tick)
	if w.out == nil {
		f, err := os.OpenFile(w.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		w.no(err)
		w.out, w.moved = f, false
		if info, err := f.Stat(); err == nil && info.Size() == 0 {
			b = append([]byte(w.banner), b...)
		}
	}
	_, err := w.out.Write(b)
	w.no(err)
	w.no(chtimes(w.out, w.now))
}

// write writes a line, whole unless one was begun.
func (w *world) write() {
	if w.torn != nil {
		w.put(w.torn)
		w.torn = nil
		return
	}
	w.put(w.line())
}

// line is the next line.
func (w *world) line() []byte {
	w.written++
	w.here = append(w.here, w.written)
	if w.moved {
		w.gone[w.written] = true // perhaps the file was complete already
	}
	// The number is all over the line: two files that are the same in all that positions know of them are one to it.
	pad := strings.Repeat(fmt.Sprint(w.written, " "), rapid.SampledFrom([]int{0, 0, 0, 20, 300, 700}).Draw(w.t, "pad"))
	blank := rapid.SampledFrom([]string{"", "", "", "\n", "  \r\n"}).Draw(w.t, "blank")
	return fmt.Appendf(nil, "%s{\"n\": %d, \"s\": \"%s\"}\n", blank, w.written, pad)
}

// tear writes a part of a line.
func (w *world) tear() {
	if w.torn != nil {
		return
	}
	b := w.line()
	at := rapid.IntRange(1, len(b)-1).Draw(w.t, "at")
	w.put(b[:at])
	w.torn = b[at:]
}

// rotatedNames are those of the rotated files, the oldest first.
func (w *world) rotatedNames() []string {
	all, err := filepath.Glob(w.path + "?*")
	w.no(err)
	slices.SortFunc(all, func(a, b string) int {
		c := natural(strings.TrimSuffix(a, packed), strings.TrimSuffix(b, packed))
		if w.stamped {
			return c
		}
		return -c
	})
	return all
}

// shift makes room for a rotated file and returns its name.
func (w *world) shift() string {
	if w.stamped {
		w.pass(time.Second)
		return w.path + w.now.UTC().Format("-20060102-150405")
	}
	for _, name := range w.rotatedNames() {
		base, gz := strings.CutSuffix(name, packed)
		var n int
		_, err := fmt.Sscanf(filepath.Ext(base), ".%d", &n)
		w.no(err)
		to := fmt.Sprintf("%s.%d", w.path, n+1)
		if gz {
			to += packed
		}
		w.no(os.Rename(name, to))
		w.inFile[to] = w.inFile[name]
		delete(w.inFile, name)
	}
	return w.path + ".1"
}

// rename rotates by renaming; the program goes on in the old file until it is told.
func (w *world) rename() {
	if _, err := os.Stat(w.path); err != nil || w.moved {
		return
	}
	to := w.shift()
	w.no(os.Rename(w.path, to))
	w.moved = true
	w.inFile[to] = w.here
	if rapid.Bool().Draw(w.t, "create") {
		w.no(os.WriteFile(w.path, nil, 0o600))
		w.touched(w.path)
	}
	if w.out == nil { // nobody has it open
		w.here, w.moved = nil, false
	} else if rapid.IntRange(0, 3).Draw(w.t, "late") > 0 {
		w.reopen()
	}
}

// reopen has the program go on with a new file.
func (w *world) reopen() {
	if w.out == nil {
		return
	}
	if w.torn != nil {
		w.write()
	}
	w.no(w.out.Close())
	if w.moved {
		for name, held := range w.inFile {
			if len(held) > 0 && len(w.here) > 0 && held[0] == w.here[0] {
				w.inFile[name] = w.here
			}
		}
		w.here = nil
	}
	w.out, w.moved = nil, false
}

// copytruncate rotates by copying.
func (w *world) copytruncate() {
	if _, err := os.Stat(w.path); err != nil || w.moved || w.out == nil {
		return
	}
	if w.torn != nil {
		w.write()
	}
	b, err := os.ReadFile(w.path)
	w.no(err)
	// What is in a file that nobody has seen, and is truncated, nobody misses.
	w.look()
	to := w.shift()
	w.no(os.WriteFile(to, b, 0o600))
	w.touched(to)
	w.no(os.Truncate(w.path, 0))
	w.pass(w.tick)
	w.touched(w.path)
	w.inFile[to], w.here = w.here, nil
	if rapid.Bool().Draw(w.t, "regrow") {
		for range rapid.IntRange(1, 4).Draw(w.t, "lines") {
			w.write()
		}
	}
}

// noticed says that the disappearance of the live file will be: nobody can know of a file that came and went while nobody
// looked.
func (w *world) noticed() bool {
	b := w.took[w.bound-1].lines
	return w.log != nil || slices.Contains(w.here, b[len(b)-1])
}

// truncate empties the log.
func (w *world) truncate() {
	if _, err := os.Stat(w.path); err != nil || w.moved || w.out == nil || !w.noticed() {
		return
	}
	if w.torn != nil {
		w.write()
	}
	w.look()
	w.lose(w.here)
	w.here = nil
	w.no(os.Truncate(w.path, 0))
	w.pass(w.tick)
	w.touched(w.path)
	w.look()
}

func (w *world) lose(lines []int) {
	for _, n := range lines {
		w.gone[n] = true
	}
}

// compress compresses a rotated file that nobody writes to.
func (w *world) compress() {
	names := slices.DeleteFunc(w.rotatedNames(), func(n string) bool { return strings.HasSuffix(n, packed) })
	if w.moved && len(names) > 0 {
		names = names[:len(names)-1]
	}
	if len(names) == 0 {
		return
	}
	name := rapid.SampledFrom(names).Draw(w.t, "name")
	info, err := os.Stat(name)
	w.no(err)
	b, err := os.ReadFile(name)
	w.no(err)
	var z bytes.Buffer
	zw := gzip.NewWriter(&z)
	zw.ModTime = info.ModTime() // as gzip has it
	_, err = zw.Write(b)
	w.no(err)
	w.no(zw.Close())
	w.no(os.WriteFile(name+packed, z.Bytes(), 0o600))
	if w.stamped && rapid.Bool().Draw(w.t, "now") {
		w.touched(name + packed)
	} else {
		w.no(os.Chtimes(name+packed, info.ModTime(), info.ModTime()))
	}
	if rapid.Bool().Draw(w.t, "both") {
		w.read()
	}
	w.no(os.Remove(name))
	w.inFile[name+packed] = w.inFile[name]
	delete(w.inFile, name)
}

// remove removes the oldest file, or the live one.
func (w *world) remove() {
	w.look() // what lives for less than a look is never seen
	if names := w.rotatedNames(); len(names) > 0 {
		w.no(os.Remove(names[0]))
		w.lose(w.inFile[names[0]])
		if w.moved && len(names) == 1 {
			w.lose(w.here)
			w.reopen()
		}
		delete(w.inFile, names[0])
	} else if _, err := os.Stat(w.path); err == nil && !w.moved && w.noticed() {
		w.reopen()
		w.no(os.Remove(w.path))
		w.lose(w.here)
		w.here = nil
		w.look()
	}
}

// start starts who follows.
func (w *world) start() {
	w.log = &Log{path: w.path, settle: testSettle, now: func() time.Time { return w.now }, lost: func(Loss) { w.losses++ }}
	if w.bound == 0 {
		w.no(w.log.Begin(Live))
		return
	}
	p := w.took[w.bound-1].after
	p, err := source.ParseLogPosition(p.Token())
	w.no(err)
	w.no(w.log.Resume(p))
}

// kill kills it: what isn't durable is forgotten.
func (w *world) kill() {
	if w.log == nil {
		return
	}
	w.log.EndAgain()
	w.log.Close()
	w.log, w.took = nil, w.took[:w.bound]
}

func (w *world) restart() {
	if w.log == nil {
		w.start()
	} else {
		w.kill()
	}
}

// stop has its partition stop: reading goes back to what is durable.
func (w *world) stop() {
	if w.log == nil {
		return
	}
	w.took = w.took[:w.bound]
	w.no(w.log.Seek(w.took[w.bound-1].after))
}

func (w *world) look() {
	if w.log != nil {
		w.no(w.log.Look())
	}
}

// read has it look, and read a batch.
func (w *world) read() { w.batch(rapid.IntRange(1, 5).Draw(w.t, "rows")) }

func (w *world) batch(most int) (more bool) {
	if w.log == nil {
		return false
	}
	w.look()
	b := taken{}
	if len(w.took) > 0 {
		b.before = w.took[len(w.took)-1].after
	}
	p, _, err := w.log.Fill(make([]byte, 64), func(s lines.Source) error {
		for len(b.lines) < most {
			line, err := s.Peek()
			if err != nil {
				return err
			}
			b.lines = append(b.lines, w.parse(line))
			b.digest += string(line)
			s.Advance()
		}
		return nil
	})
	if errors.Is(err, errAgain) && p.Offset == 0 {
		return true
	}
	if err != nil && err != io.EOF && !errors.Is(err, errAgain) {
		w.no(err)
	}
	if len(b.lines) > 0 {
		b.after = p
		require.Positive(w.t, b.after.Compare(b.before), "positions must go on")
		w.took = append(w.took, b)
	}
	return err == nil || errors.Is(err, errAgain)
}

// parse returns a line's number.
func (w *world) parse(line []byte) int {
	var v struct{ N int }
	if err := json.Unmarshal(line, &v); err != nil {
		return -1 // the rest of a line whose beginning was in a file that was complete
	}
	return v.N
}

// bind makes batches durable, and lets go of what has landed.
func (w *world) bind() {
	if w.log == nil {
		return
	}
	w.bound = rapid.IntRange(w.bound, len(w.took)).Draw(w.t, "bound")
	w.landed()
}

func (w *world) landed() { w.log.Landed(w.took[w.bound-1].after) }

// again reads the newest durable batches a second time, as a start would.
func (w *world) again() {
	if w.log == nil {
		return
	}
	for n := max(0, w.bound-3); n < w.bound; n++ {
		b, digest := w.took[n], ""
		err := w.log.Again(b.before, b.after, func(line []byte, _ *lines.Unfit, _ func() string) { digest += string(line) })
		if err != nil {
			require.True(w.t, slices.ContainsFunc(b.lines, func(n int) bool { return n < 0 || w.gone[n] }), "%v", err)
			continue
		}
		require.True(w.t, b.digest == digest, "the batch is another one now")
	}
	w.log.EndAgain()
}

// check says that what was taken is in order, and each line once.
func (w *world) check(*rapid.T) {
	last := 0
	for _, b := range w.took {
		for _, n := range b.lines {
			if n >= 0 {
				require.Greater(w.t, n, last, "rows must come in order, and once")
				last = n
			}
		}
	}
}

// end has everything come to rest, and asks what is missing.
func (w *world) end() {
	w.reopen()
	w.write()
	if w.log == nil {
		w.start()
	}
	for range 40 {
		w.pass(testSettle)
		for w.batch(100) {
		}
		w.bound = len(w.took)
		w.landed()
	}
	w.check(nil)
	got := map[int]bool{}
	for _, b := range w.took {
		for _, n := range b.lines {
			got[n] = true
		}
	}
	for n := 1; n <= w.written; n++ {
		if !got[n] {
			require.True(w.t, w.gone[n], "line %d could be read, and was not; lost %d times", n, w.losses)
			require.Positive(w.t, w.losses, "line %d was lost silently", n)
		}
	}
	require.Zero(w.t, w.log.Behind())
}

// Whatever is done to a log and to whoever follows it: each line that can be read is read once and in order, what was
// bound is read a second time as it was, and nothing is lost without a word.
func TestPropertyLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "tail")
		require.NoError(t, err)
		defer os.RemoveAll(dir)
		w := newWorld(t, dir)
		defer func() {
			w.kill()
			if w.out != nil {
				w.out.Close()
			}
		}()
		act := func(f func()) func(*rapid.T) { return func(*rapid.T) { f() } }
		t.Repeat(map[string]func(*rapid.T){
			"":             w.check,
			"write":        act(w.write),
			"write2":       act(w.write),
			"tear":         act(w.tear),
			"rename":       act(w.rename),
			"reopen":       act(w.reopen),
			"copytruncate": act(w.copytruncate),
			"truncate":     act(w.truncate),
			"compress":     act(w.compress),
			"remove":       act(w.remove),
			"restart":      act(w.restart),
			"restart2":     act(w.restart),
			"stop":         act(w.stop),
			"read":         act(w.read),
			"read2":        act(w.read),
			"read3":        act(w.read),
			"bind":         act(w.bind),
			"again":        act(w.again),
			"pass":         act(func() { w.pass(testSettle) }),
		})
		w.end()
	})
}
