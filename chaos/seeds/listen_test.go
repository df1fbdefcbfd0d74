package seeds

import (
	"time"

	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
)

// listen notes and counts what the writer tells.
func (x *process) listen() committed.Events {
	j, c := x.p.journal, x.p.covered
	return committed.Events{
		Step: x.step,
		Sent: func(key ledger.Key, in ledger.Intent, again bool) {
			j.note("%s sends %d rows at %d, again: %v", key.Name, in.Rows, in.Start, again)
			if again {
				c.count("replay")
			}
		},
		Landed: func(key ledger.Key, ack committed.Ack) {
			j.note("%s: %d rows have landed at %d of epoch %d, duplicate: %v", key.Name, ack.Rows, ack.Offset, ack.Epoch, ack.Duplicate)
			if ack.Duplicate {
				c.count("ambiguous answer settled")
			}
		},
		Waiting: func(key ledger.Key, kind recovery.WaitKind, attempt int, delay time.Duration) {
			j.note("%s waits, kind %d, attempt %d, for %v", key.Name, kind, attempt, delay)
			c.count(waits[kind])
		},
		Sealed: func(key ledger.Key, epoch uint64, seal ledger.Seal) {
			j.note("%s: epoch %d is sealed: %v", key.Name, epoch, seal.Reason)
			c.count("stream replaced: " + seal.Reason.String())
		},
		SchemaChanged: func(key ledger.Key, _ *committed.Schema) {
			j.note("%s has a new schema", key.Name)
			c.count("schema followed")
		},
	}
}

var waits = map[recovery.WaitKind]string{
	recovery.Backoff: "wait: backoff", recovery.Lag: "wait: lagging end", recovery.Propagation: "wait: propagation",
}

// step notes a step, measures what it shows of timing, and kills the process if it is time.
func (x *process) step(e committed.StepEvent) {
	i := partitionOf(e.Key)
	when := "begins"
	if e.Done {
		when = "is done"
	}
	x.p.journal.note("%s: %s %s", e.Key.Name, e.Step, when)
	now := time.Now()
	x.mu.Lock()
	switch {
	case e.Step == committed.B3 || e.Step == committed.O3 || e.Step == committed.R5:
		if !e.Done {
			x.sent[i] = now
			x.active[i] = true
		}
	case e.Step == committed.B5 && !e.Done:
		if x.sent[i] != (time.Time{}) && now.Sub(x.sent[i]) >= x.r.overdue() {
			x.p.covered.count(answerTimeout)
		}
		x.sent[i] = now
	case (e.Step == committed.O1 || e.Step == committed.R1) && !e.Done:
		x.creates[i] = now
	case (e.Step == committed.O1 || e.Step == committed.R1) && x.r.CreateRate > 0 && now.Sub(x.creates[i]) >= 100*time.Millisecond:
		x.p.covered.count(createWait)
	}
	x.mu.Unlock()
	x.reached(i, e.Step, e.Done)
}

// overdue is how long the run waits for an answer.
func (r Run) overdue() time.Duration {
	if r.AnswerTimeout > 0 {
		return time.Duration(r.AnswerTimeout)
	}
	return 3 * time.Minute
}

// idle looks, after a rest, who has closed the partition's connection.
func (x *process) idle(r Rest) {
	ours, theirs := time.Minute, 10*time.Minute
	if x.r.IdleTimeout > 0 {
		ours = time.Duration(x.r.IdleTimeout)
	}
	if x.p.s.Service.IdleTimeout > 0 {
		theirs = time.Duration(x.p.s.Service.IdleTimeout)
	}
	streams := x.p.srv.Streams(tableOf(r.Partition))
	switch connected := streams[len(streams)-1].Connections; {
	case connected > 0 || time.Duration(r.For) < 2*min(ours, theirs):
	case ours < theirs:
		x.p.covered.count(idleByWriter)
	default:
		x.p.covered.count(idleByService)
	}
}

// count counts what only the whole run shows.
func (x *process) count() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if bound := x.r.MaxConnections; bound > 0 && len(x.active) > bound {
		x.p.covered.add(yielded, len(x.active)-bound)
	}
}
