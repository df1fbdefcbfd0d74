package recovery

import (
	"fmt"
	"strings"
)

// tell writes a history in words.
func (r *search) tell(v *violation) string {
	var b strings.Builder
	s := newState(r.bounds)
	fmt.Fprintf(&b, "%s, after %d moves:\n", v.what, len(v.history))
	labels, streams := []string{}, 0
	say := func(format string, args ...any) {
		for ; len(labels) < s.used; streams++ { // the newest
			labels = append(labels, fmt.Sprint("s", streams+1))
		}
		var pairs []string
		for i, label := range labels {
			pairs = append(pairs, streamNames[i], label)
		}
		b.WriteString(strings.NewReplacer(pairs...).Replace(fmt.Sprintf(format+"\n", args...)))
	}
	s.said = func(format string, args ...any) { say("      "+format, args...) }
	say("   0. %s", s)
	for i, m := range v.history {
		say("  %2d. %s", i+1, s.words(m))
		s.take(m)
		say("      %s", s)
		c := &codec{}
		s.code(c)
		s.read(c.b)
		renamed := make([]string, len(c.met))
		for i, old := range c.met {
			renamed[i] = labels[old]
		}
		labels = renamed
	}
	b.WriteString("Play it again with -model.play='")
	for i, m := range v.history {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(m.String())
	}
	b.WriteString("'\n")
	return b.String()
}

// words tells what a move is in a state, for people.
func (s *state) words(m move) string {
	n := &s.nodes[m.node]
	switch m.kind {
	case durable:
		text := fmt.Sprintf("%s: durable: %s", n.name, &n.writes[0])
		if m.arg == 1 {
			text += "; the ledger is backed up"
		}
		return text
	case called:
		return fmt.Sprintf("%s: %s%s", n.name, callNames[n.call.Kind], n.call.Stream)
	case callFails:
		return fmt.Sprintf("%s: %s%s fails", n.name, callNames[n.call.Kind], n.call.Stream)
	case callLost:
		return fmt.Sprintf("%s: finalize %s is executed, its answer is lost", n.name, n.call.Stream)
	case timer:
		return n.name + ": a wait is over"
	case connected:
		return n.name + ": the connection is open"
	case served:
		return fmt.Sprintf("%s: arrives: %s", n.name, n.wire[0])
	case lagged:
		return fmt.Sprintf("%s: arrives where the view lags: %s", n.name, n.wire[0])
	case refused:
		return fmt.Sprintf("%s: answered by an error, nothing written: %s", n.name, n.wire[0])
	case lied:
		return fmt.Sprintf("%s: answered by an error, but executed: %s", n.name, n.wire[0])
	case delivered:
		return n.name + ": gets an answer"
	case offered:
		return fmt.Sprintf("%s: is offered a batch of %d from row %d", n.name, m.arg, n.from())
	case broke:
		return n.name + ": the connection breaks"
	case crashed:
		return n.name + ": crashes and starts again"
	case arrived:
		return fmt.Sprintf("arrives late: %s", s.delayed[m.arg])
	case aged:
		return n.name + ": the stream is near the end of its time to live"
	case finalized:
		return fmt.Sprintf("somebody finalizes %s", n.book.part.Stream)
	case expired:
		return n.book.part.Stream + " expires"
	case restored:
		return n.name + ": crashes; the backup is put in place of its ledger, which is noticed; starts again"
	case reverted:
		return n.name + ": crashes; the backup is put in place of its ledger, unnoticed; starts again"
	case skipped:
		return fmt.Sprintf("%s: crashes; a person has %s skipped, with the rest of its batch; starts again", n.name, intentText(&n.book.open[m.arg]))
	case resolved:
		landed, _ := n.inTable()
		return fmt.Sprintf("%s: a person has found that %d rows have landed; starts again", n.name, landed)
	case copied:
		return "the backup is brought up elsewhere"
	}
	return m.String()
}
