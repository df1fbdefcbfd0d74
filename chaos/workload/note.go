package workload

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/eowriter/eowriter/committed"
)

// Note is one thing that a run learnt, in the order of learning.
type Note struct {
	Kind      NoteKind
	Partition string
	From, To  int64  `json:",omitempty"` // rows
	Stream    string `json:",omitempty"`
	Offset    int64  `json:",omitempty"`
	Reason    uint8  `json:",omitempty"` // ledger.Reason

	Settled Settlement `json:",omitempty"` // of a batch whose fate was not known: what settled it
	Cause   string     `json:",omitempty"` // why the partition stopped, in the word of a sentinel of package committed
	Text    string     `json:",omitempty"` // the whole error
}

// NoteKind says what was learnt.
type NoteKind string

// The kinds of notes.
const (
	Resumed NoteKind = "resumed" // the partition is open, at position From
	Offered NoteKind = "offered" // rows [From, To) are about to be appended
	Refused NoteKind = "refused" // and were not: the call returned an error
	Stored  NoteKind = "stored"  // a result said that rows [From, To) are durable
	Sent    NoteKind = "sent"    // an event said that an append at Offset is on its way
	Landed  NoteKind = "landed"  // a result said that rows [From, To) are at Offset of Stream
	Found   NoteKind = "found"   // an event said that a batch, perhaps of an earlier run, is there
	Sealed  NoteKind = "sealed"  // an event said that the stream is to be replaced, for Reason
	Stopped NoteKind = "stopped" // the partition has stopped, for Cause
)

// Settlement says how a batch was settled that had been sent without an answer that
// tells whether it landed, by this run or one before.
type Settlement string

// The settlements.
const (
	ByProbe   Settlement = "probe"          // landed: a probe showed the stream's end behind it
	ByAnswer  Settlement = "already exists" // landed: it was sent again, and was there
	ByCount   Settlement = "final count"    // landed: the stream was finalized, and its count covers it
	SentAgain Settlement = "sent again"     // had not landed: sent again, it did
)

// Settlements are all of them.
var Settlements = []Settlement{ByProbe, ByAnswer, ByCount, SentAgain}

// Point is a moment of a run: the Nth time that Step begins, or is done. Without a
// Step it is the Nth event of any step. The zero Point never comes.
type Point struct {
	Step committed.Step `json:",omitempty"`
	Done bool           `json:",omitempty"`
	Nth  int            `json:",omitempty"`
}

// String names the moment.
func (p Point) String() string {
	if p.Step == "" {
		return fmt.Sprintf("event %d", p.Nth)
	}
	when := "before"
	if p.Done {
		when = "after"
	}
	return fmt.Sprintf("%s %s #%d", when, p.Step, p.Nth)
}

// trigger does something at a point, once.
type trigger struct {
	at   Point
	pull func()

	mu sync.Mutex // guards n; held while it is pulled, so that nobody gets past the point
	n  int
}

func (t *trigger) step(e committed.StepEvent) {
	if t.at.Nth == 0 || t.at.Step != "" && (e.Step != t.at.Step || e.Done != t.at.Done) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n++; t.n == t.at.Nth {
		t.pull()
	}
}

// dieHere kills this process, without a chance to do anything more.
func dieHere() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
