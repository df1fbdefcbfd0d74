package workload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/ledger"
)

// ProbeOffset is where probes are, and no rows.
const ProbeOffset = 1 << 62

// Witness sees what ledgers of other processes make durable and what comes to the
// service, so that the oracle can tell whether anything came before its intent was
// durable. Give Append to emulator.Options, and the same record to Script.Record. Safe for
// concurrent use.
type Witness struct {
	mu       sync.Mutex // guards what follows
	record   *os.File
	read     []byte // of it, after the last whole line
	bound    []chaos.Bound
	requests []chaos.Request
	err      error
}

// NewWitness makes the record, a file that writers append to.
func NewWitness(record string) (*Witness, error) {
	f, err := os.OpenFile(record, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &Witness{record: f}, nil
}

// Close closes the record.
func (w *Witness) Close() error { return w.record.Close() }

// Append takes down a request and how much was durable when it came: what its writer
// has recorded before it sent it is in the file by now.
func (w *Witness) Append(r emulator.Request) {
	if r.Offset >= ProbeOffset {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.catchUp(); err != nil && w.err == nil {
		w.err = err
	}
	w.requests = append(w.requests, chaos.Request{Stream: r.Stream, Offset: r.Offset, Rows: r.Rows, Durable: len(w.bound)})
}

// catchUp reads the record to its end.
func (w *Witness) catchUp() error {
	more, err := io.ReadAll(w.record)
	if err != nil {
		return err
	}
	w.read = append(w.read, more...)
	for {
		line, rest, whole := bytes.Cut(w.read, []byte("\n"))
		if !whole {
			return nil
		}
		w.read = rest
		var b chaos.Bound
		// A line may be torn: its process was killed in it, and has sent nothing of it.
		if json.Unmarshal(line, &b) == nil {
			w.bound = append(w.bound, b)
		}
	}
}

// AddTo adds what was seen to a history.
func (w *Witness) AddTo(h *chaos.History) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.catchUp(); err != nil {
		return err
	}
	h.Bound = append(h.Bound, w.bound...)
	h.Requests = append(h.Requests, w.requests...)
	return w.err
}

// recorder writes what a ledger makes durable to a record, for a Witness in another
// process.
type recorder struct {
	file *os.File
	text []byte // reused
}

func newRecorder(path string) (*recorder, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	// The first line ends one that a killed process may have left torn.
	return &recorder{file: f, text: []byte("\n")}, nil
}

// committed records a commit, with one write. Nothing may be sent that isn't recorded,
// so a record that can't be written ends the process.
func (r *recorder) committed(c ledger.Commit) {
	for _, b := range c.Bound {
		r.add(b.Key.Name, b.Stream, b.Intent)
	}
	r.write()
}

// open records what a ledger held when it was opened: the process that bound it may
// have been killed before it could.
func (r *recorder) open(led *ledger.Ledger) error {
	all, err := led.Partitions()
	if err != nil {
		return err
	}
	for _, p := range all {
		_, open, err := led.Partition(p.Key)
		if err != nil {
			return err
		}
		for _, in := range open {
			r.add(p.Key.Name, p.Stream, in)
		}
	}
	r.write()
	return nil
}

func (r *recorder) add(partition, stream string, in ledger.Intent) {
	b, err := boundAs(partition, stream, in)
	line, wrong := json.Marshal(b)
	if err != nil || wrong != nil {
		die("record a commit", err, wrong)
	}
	r.text = append(append(r.text, line...), '\n')
}

func (r *recorder) write() {
	if len(r.text) == 0 {
		return
	}
	if _, err := r.file.Write(r.text); err != nil {
		die("record a commit", err)
	}
	r.text = r.text[:0]
}

func die(doing string, errs ...error) {
	fmt.Fprintln(os.Stderr, doing+":", errs)
	os.Exit(2)
}

// boundAs is an intent as the oracle takes it.
func boundAs(partition, stream string, in ledger.Intent) (chaos.Bound, error) {
	from, err := RowsAt(in.Before)
	if err != nil {
		return chaos.Bound{}, err
	}
	to, err := RowsAt(in.After)
	return chaos.Bound{
		Partition: partition, Stream: stream, Start: in.Start, Rows: in.Rows,
		From: from, To: to, Digest: fmt.Sprintf("%x", in.Digest),
	}, err
}
