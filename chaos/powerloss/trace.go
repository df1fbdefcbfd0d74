package powerloss

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// TraceArguments are those with which strace writes what Parse reads, to the file
// that is named after them. (Not --seccomp-bpf: it is faster, but strace injects nothing then.) All system
// calls are listed that could change a file, so that one that Parse does not know is an error and not missed.
var TraceArguments = []string{"-f", "-y", "-xx", "-v", "-qq", "-s", strconv.Itoa(32 << 20), "-e", "signal=none",
	"-e", "trace=openat,write,pwrite64,pwritev,ftruncate,fallocate,mkdirat,linkat,renameat,unlinkat,fsync,fdatasync," +
		"?open,?creat,?truncate,writev,pwritev2,copy_file_range,sendfile,splice,?link,?rename,renameat2,?symlink,symlinkat," +
		"?unlink,?rmdir,?mkdir,sync_file_range,syncfs,sync", "-o"}

// Kind says what an Event is.
type Kind uint8

const (
	Create Kind = iota + 1 // of the empty file Name
	Mkdir                  // of the folder Name
	Link                   // To becomes another name of Name
	Rename                 // Name becomes To
	Remove                 // of the file Name
	Write                  // of Data to Name at Offset
	Resize                 // Name grows to Offset bytes, unless it is larger
	Sync                   // of the file or folder Name
	Ended                  // the call returned
	Note                   // the program wrote Text to /dev/null
	Loss                   // the power was lost, and left what Choices and Seed say
)

var kinds = [...]string{"", "create", "mkdir", "link", "rename", "remove", "write", "resize", "sync", "ended", "note", "loss"}

// String returns the kind in a word.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Deleted is at the end of the name of an open file that has lost it to another one, or
// was removed.
const Deleted = "(deleted)"

// Event is one thing that happened in a recorded run. A system call is two of them: it
// may have an effect as soon as it begins, and has it when it has Ended.
type Event struct {
	Kind   Kind
	Call   int    // the number of the call, which its Ended has too; 0 for notes and losses
	Name   string // from the recorded folder; "" is the folder itself
	To     string
	Offset int64
	Data   []byte
	N      int64 // Ended: bytes written, or -1 when the call failed and had no effect
	Text   string

	Choices []Choice // Loss
	Seed    uint64   // Loss: of the garbage
}

// errUnseen is a call of which strace does not say what it was, or not all: its thread was killed meanwhile.
// It may have done anything.
var errUnseen = errors.New("a call that strace has not seen whole")

// trace is a strace log on its way to events.
type trace struct {
	root   string
	calls  int            // numbers given so far
	events []Event        // so far
	open   map[string]int // calls that have not returned, by process; 0: of no interest
	end    map[string]int64
}

// Parse reads the log of a run and returns what happened in the folder root, an
// absolute path. Numbers of calls begin above calls. Calls that did not return, because
// the process was killed, have no Ended.
func Parse(log io.Reader, root string, calls int) ([]Event, error) {
	t := &trace{root: root, calls: calls, open: map[string]int{}, end: map[string]int64{}}
	in := bufio.NewReaderSize(log, 1<<20)
	for n := 1; ; n++ {
		line, err := in.ReadString('\n')
		if line == "" && err == io.EOF {
			return t.events, nil
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read the trace: %w", err)
		}
		if err := t.line(strings.TrimSuffix(line, "\n")); err != nil {
			return nil, fmt.Errorf("line %d of the trace: %w: %.300s", n, err, line)
		}
	}
}

func (t *trace) line(line string) error {
	process, rest, ok := strings.Cut(line, " ")
	rest = strings.TrimLeft(rest, " ")
	switch {
	case !ok || strings.HasPrefix(rest, "+++") || strings.HasPrefix(rest, "---"):
		return nil
	case strings.HasPrefix(rest, "<... "):
		call, known := t.open[process]
		if !known {
			return fmt.Errorf("a call is resumed that has not begun")
		}
		delete(t.open, process)
		return t.ended(call, rest)
	}
	name, arguments, ok := strings.Cut(rest, "(")
	if !ok {
		return fmt.Errorf("no system call")
	}
	if name == "???" {
		return errUnseen
	}
	if begun, found := strings.CutSuffix(arguments, " <unfinished ...>"); found {
		call, err := t.began(name, begun)
		t.open[process] = call
		return err
	}
	at := strings.LastIndex(arguments, ") ")
	if at < 0 {
		return errUnseen
	}
	call, err := t.began(name, arguments[:at])
	if err != nil {
		return err
	}
	return t.ended(call, arguments[at:])
}

// ended notes how a call returned: result is what follows its arguments.
func (t *trace) ended(call int, result string) error {
	if call == 0 {
		return nil
	}
	at := strings.LastIndex(result, ") ")
	if at < 0 {
		return fmt.Errorf("no result")
	}
	_, value, _ := strings.Cut(result[at:], "= ")
	if strings.HasPrefix(value, "?") {
		return nil // killed in it
	}
	end := strings.IndexFunc(value, func(r rune) bool { return r != '-' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(value)
	}
	n, err := strconv.ParseInt(value[:end], 10, 64)
	if err != nil {
		return fmt.Errorf("the result: %w", err)
	}
	t.events = append(t.events, Event{Kind: Ended, Call: call, N: n})
	return nil
}

// began notes a call, and returns 0 when it does not concern the folder.
func (t *trace) began(name, arguments string) (call int, err error) {
	on, path, err := onOpenFile(arguments)
	if err != nil {
		return 0, err
	}
	if on && name == "write" && path == "/dev/null" {
		text, err := quoted(arguments)
		t.events = append(t.events, Event{Kind: Note, Text: string(bytes.Join(text, nil))})
		return 0, err
	}
	if on {
		at, inside := t.inside(path)
		if !inside {
			return 0, nil
		}
		return t.onFile(name, at, arguments)
	}
	return t.onNames(name, arguments)
}

func (t *trace) add(e Event) int {
	t.calls++
	e.Call = t.calls
	t.events = append(t.events, e)
	return e.Call
}

func (t *trace) inside(path string) (string, bool) {
	if path == t.root {
		return "", true
	}
	return strings.CutPrefix(path, t.root+"/")
}

// onFile notes a call on an open file of the folder.
func (t *trace) onFile(name, file, arguments string) (int, error) {
	switch name {
	case "fsync", "fdatasync":
		return t.add(Event{Kind: Sync, Name: file}), nil
	case "ftruncate", "fallocate":
		size, err := lastNumber(arguments)
		if err != nil {
			return 0, err
		}
		if name == "fallocate" && !strings.Contains(arguments, ", 0, 0, ") {
			return 0, fmt.Errorf("a way of fallocate that is not known here")
		}
		return t.add(Event{Kind: Resize, Name: file, Offset: size}), nil
	case "write", "pwrite64", "pwritev":
		parts, err := quoted(arguments)
		if err != nil {
			return 0, err
		}
		e := Event{Kind: Write, Name: file, Data: slices.Concat(parts...)}
		if name == "write" {
			at, known := t.end[file]
			if !known {
				return 0, fmt.Errorf("a write to a place that is not known")
			}
			e.Offset = at
			t.end[file] = at + int64(len(e.Data))
		} else if e.Offset, err = lastNumber(arguments); err != nil {
			return 0, err
		}
		if strings.Contains(arguments, `"...`) {
			return 0, fmt.Errorf("the data was cut short")
		}
		return t.add(e), nil
	}
	return 0, fmt.Errorf("a call that is not known here")
}

// onNames notes a call that names files.
func (t *trace) onNames(name, arguments string) (int, error) {
	paths, err := quoted(arguments)
	if err != nil {
		return 0, err
	}
	var at []string
	for _, p := range paths {
		if file, inside := t.inside(string(p)); inside {
			at = append(at, file)
		}
	}
	if len(at) == 0 {
		return 0, nil
	}
	e := Event{Name: at[0]}
	switch name {
	case "openat":
		if !strings.Contains(arguments, "O_CREAT") && !strings.Contains(arguments, "O_TRUNC") {
			return 0, nil
		}
		if !strings.Contains(arguments, "O_EXCL") {
			return 0, fmt.Errorf("a way of opening a file that is not known here")
		}
		e.Kind = Create
		t.end[e.Name] = 0
	case "mkdirat":
		e.Kind = Mkdir
	case "unlinkat":
		e.Kind = Remove
	case "linkat", "renameat":
		if len(at) != 2 {
			return 0, fmt.Errorf("names inside and outside of the folder")
		}
		e.Kind, e.To = Link, at[1]
		if name == "renameat" {
			e.Kind = Rename
		}
	default:
		return 0, fmt.Errorf("a call that is not known here")
	}
	return t.add(e), nil
}
