package seeds

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// journal is what happened, in order: the last events, or all of them.
type journal struct {
	begin time.Time
	all   bool

	mu     sync.Mutex // guards what follows; a leaf
	events []event    // a ring if not all
	n      int        // events ever
}

const eventsKept = 50

type event struct {
	at     time.Duration // of virtual time, since the beginning
	format string
	args   []any
}

func newJournal(all bool) *journal { return &journal{begin: time.Now(), all: all} }

// note adds an event. Its arguments must not change afterwards.
func (j *journal) note(format string, args ...any) {
	e := event{time.Since(j.begin), format, args}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.all || len(j.events) < eventsKept {
		j.events = append(j.events, e)
	} else {
		j.events[j.n%eventsKept] = e
	}
	j.n++
}

// lines are the events that were kept, oldest first.
func (j *journal) lines() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := make([]string, 0, len(j.events))
	for i := range j.events {
		e := j.events[i]
		if !j.all && j.n > eventsKept {
			e = j.events[(j.n+i)%eventsKept]
		}
		lines = append(lines, fmt.Sprintf("%15v  ", e.at)+fmt.Sprintf(e.format, e.args...))
	}
	return lines
}

// histories are what the service saw of each stream, request by request, with its answer.
type histories struct {
	mu sync.Mutex // guards of; a leaf
	of map[string]*strings.Builder
}

func (h *histories) note(stream string, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.of[stream]
	if b == nil {
		b = &strings.Builder{}
		h.of[stream] = b
	}
	fmt.Fprintf(b, format+"\n", args...)
}
