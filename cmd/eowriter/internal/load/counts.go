package load

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
)

// counts is what happened so far. Everybody adds, the progress display reads.
type counts struct {
	read      atomic.Int64 // rows of the files up to where they were read
	appended  atomic.Int64 // rows
	confirmed atomic.Int64 // rows
	settled   atomic.Int64 // rows
	dead      atomic.Int64 // rows
	replays   atomic.Int64 // appends
	streams   atomic.Int64
	inFlight  atomic.Int64            // batches
	consumed  atomic.Int64            // bytes of the files as they are stored
	lines     atomic.Int64            // bytes of the lines of batches that were accepted in this run
	waiting   atomic.Pointer[waiting] // the newest that is worth a word; nil: none
	byName    sync.Map                // of partitions of the loaded table: dead letters over all runs, *atomic.Int64
}

// accepted counts a batch that the writer took.
func (c *counts) accepted(b *lines.Batch) {
	c.read.Add(int64(b.Input()))
	c.lines.Add(b.Size())
	c.inFlight.Add(1)
}

// letters begins to count the dead letters of a partition, which has had so many before.
func (c *counts) letters(name string, before int64) *atomic.Int64 {
	n := new(atomic.Int64)
	n.Store(before)
	c.byName.Store(name, n)
	return n
}

// landed counts a batch of the loaded table.
func (c *counts) landed(name string, ack committed.Ack) {
	c.inFlight.Add(-1)
	if ack.Duplicate {
		c.confirmed.Add(ack.Rows)
		c.settled.Add(ack.Rows)
	} else {
		c.appended.Add(ack.Rows)
	}
	if ack.Dead == 0 {
		return
	}
	c.dead.Add(int64(ack.Dead))
	if n, ok := c.byName.Load(name); ok {
		n.(*atomic.Int64).Add(int64(ack.Dead))
	}
}

// waiting is one wait of a partition before another try.
type waiting struct {
	partition string
	attempt   int
	delay     time.Duration
}

// Report is how a load went, and the object that --json prints. Of the rows that were read, each is in exactly one of
// rows_appended, rows_confirmed and rows_dead once a load has ended without an error.
type Report struct {
	// RowsRead counts the rows of the files up to where they were read, those included that an earlier run loaded:
	// they are read again to see that the file is still the same.
	RowsRead int64 `json:"rows_read"`
	// RowsAppended counts rows that landed in this run, by an append that was answered with success.
	RowsAppended int64 `json:"rows_appended"`
	// RowsConfirmed counts rows found to have landed already: in an earlier run, by the ledger's word or the
	// probe's, or by an append of this run whose answer was lost, by ALREADY_EXISTS. Rows that became dead letters in
	// an earlier run are among them.
	RowsConfirmed int64 `json:"rows_confirmed"`
	// RowsSettled counts those of RowsConfirmed that nobody knew about before: the probe or ALREADY_EXISTS told.
	RowsSettled int64 `json:"rows_settled"`
	// RowsDead counts rows that became dead letters in this run: the encoder or the service refused them.
	RowsDead int64 `json:"rows_dead"`
	// LettersDelivered counts dead letters that were delivered in this run, those of earlier runs included.
	LettersDelivered int64 `json:"letters_delivered"`
	// LettersWaiting counts dead letters that are in the ledger still, of all its partitions.
	LettersWaiting int64 `json:"letters_waiting"`
	// FieldsIgnored counts fields that the table has no column for, by name; "" has those that came after the first
	// 1000 names. Absent without IgnoreUnknownFields.
	FieldsIgnored map[string]int64 `json:"fields_ignored,omitempty"`
	// Replays counts appends that were sent again.
	Replays int64 `json:"replays"`
	// StreamsCreated counts streams, one a new partition and one for each that had to be replaced.
	StreamsCreated int64 `json:"streams_created"`

	Seconds float64 `json:"seconds"`
	// RowsPerSecond counts RowsAppended.
	RowsPerSecond float64 `json:"rows_per_second"`
	// BytesPerSecond counts the uncompressed bytes of JSON that this run read and handed to the writer.
	BytesPerSecond float64 `json:"bytes_per_second"`

	// Error is why the load ended early, or empty.
	Error string `json:"error,omitempty"`
}

func (c *counts) report(took time.Duration) Report {
	seconds := max(took.Seconds(), 1e-9)
	return Report{
		RowsRead: c.read.Load(), RowsAppended: c.appended.Load(),
		RowsConfirmed: c.confirmed.Load(), RowsSettled: c.settled.Load(), RowsDead: c.dead.Load(),
		Replays: c.replays.Load(), StreamsCreated: c.streams.Load(),
		Seconds:        seconds,
		RowsPerSecond:  float64(c.appended.Load()) / seconds,
		BytesPerSecond: float64(c.lines.Load()) / seconds,
	}
}

// balance says that rows are unaccounted for after a load without an error, or nil. It is never to happen: whoever sees
// it must not trust the table.
func (r *Report) balance() error {
	if r.RowsRead == r.RowsAppended+r.RowsConfirmed+r.RowsDead {
		return nil
	}
	return fmt.Errorf("ROWS ARE UNACCOUNTED FOR: %d rows read, but %d appended, %d confirmed and %d dead: this is a bug of eowriter; keep the ledger and report it",
		r.RowsRead, r.RowsAppended, r.RowsConfirmed, r.RowsDead)
}

// patience is how often something is tried again before it is mentioned.
const patience = 4

// events counts what the writer does. They are called with a partition's lock held, so they only count.
func (l *loader) events() committed.Events {
	c := &l.counts
	return committed.Events{
		Step: func(e committed.StepEvent) {
			if l.opt.step != nil {
				step := string(e.Step)
				if e.Key.Table != l.opt.Table {
					step = "letters' " + step
				}
				l.opt.step(step, e.Done)
			}
			if e.Done && (e.Step == committed.O1 || e.Step == committed.R1) {
				c.streams.Add(1)
			}
		},
		Sent: func(_ ledger.Key, _ ledger.Intent, again bool) {
			if again {
				c.replays.Add(1)
			}
		},
		Landed: func(key ledger.Key, ack committed.Ack) {
			if key.Table == l.opt.Table { // else it is of dead letters
				c.landed(key.Name, ack)
			}
			if ack.Unskipped {
				l.display.say("%s: the batch that was to be skipped has landed: it was not skipped", source.Printable(source.DisplayName(key.Name)))
			}
		},
		SchemaUnusable: func(key ledger.Key, err error) {
			l.display.say("%s: the table's new schema can't be used, the old one is: %v", source.Printable(source.DisplayName(key.Name)), err)
		},
		Waiting: func(key ledger.Key, _ recovery.WaitKind, attempt int, delay time.Duration) {
			if attempt >= patience {
				c.waiting.Store(&waiting{source.DisplayName(key.Name), attempt, delay})
			}
		},
	}
}
