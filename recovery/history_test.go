package recovery_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
)

var update = flag.Bool("update", false, "rewrite what the histories expect")

// TestHistories plays testdata/histories/*.txt. Each is one life of a machine:
//
//	# why this history matters, and what would break if it went otherwise
//	> an event
//	< what the machine did about it: the actions of Step, then of Next until nothing is due
//	= the state, after "> state"
//
// Every line that the history gives is kept; the others are what the machine did.
// Batches are named by letters. After a change that is meant, `go test -update`
// rewrites the expectations; read the diff.
//
// If one fails, the machine decides otherwise in a case that somebody thought through.
func TestHistories(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := play(t, string(text))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			require.Equal(t, strings.Split(string(text), "\n"), strings.Split(got, "\n"))
		})
	}
}

// play feeds the events of a history to a machine and returns the history with
// what the machine did about them.
func play(t *testing.T, text string) string {
	var out strings.Builder
	var p *player
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "<"), strings.HasPrefix(line, "="):
			continue // what is expected
		case !strings.HasPrefix(line, "> "):
			out.WriteString(line + "\n") // a comment
			continue
		}
		out.WriteString(line + "\n")
		words := strings.Fields(line[2:])
		if words[0] == "start" {
			p = newPlayer(t, words[1:])
		}
		require.NotNil(t, p, "a history begins with start")
		for _, did := range p.play(words[0], words[1:]) {
			out.WriteString(did + "\n")
		}
	}
	return out.String()
}

// player drives one machine. It stands for the ledger only as far as the machine
// is told by it what became durable.
type player struct {
	t       *testing.T
	m       *recovery.Machine
	names   map[uint64]string // of batches, by number
	opening *ledger.Opening   // asked for last
	seal    *ledger.Seal
	settle  *ledger.Settlement
	examine recovery.Action
	conn    uint64 // opened last
	writes  int    // asked of the ledger and not answered
}

const table = "projects/p/datasets/d/tables/t"

var key = ledger.Key{Table: table, Name: "n"}

func newPlayer(t *testing.T, words []string) *player {
	args := arguments(words)
	opt := recovery.Options{Key: key, Mode: ledger.Replayable, Schema: fingerprint("x"), Encoder: 1}
	opt.LagTries, _ = strconv.Atoi(args["lag-tries"])
	opt.PropagationTries, _ = strconv.Atoi(args["propagation-tries"])
	opt.MaxDead, _ = strconv.ParseInt(args["max-dead"], 10, 64)
	if args["frozen"] != "" {
		opt.Mode = ledger.Frozen
	}
	if args["encoder"] != "" {
		opt.Encoder = 2
	}
	return &player{t: t, m: recovery.New(opt), names: map[uint64]string{}}
}

// arguments reads words of the form name=value; a bare word is a flag, "true".
func arguments(words []string) map[string]string {
	args := map[string]string{}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			value = "true"
		}
		args[name] = value
	}
	return args
}

// play feeds one event and describes what came of it.
func (p *player) play(kind string, words []string) []string {
	if kind == "state" {
		return []string{"= " + p.m.String() + fmt.Sprintf(" position %q, acknowledged %q", p.m.Position(), p.m.Partition().Position)}
	}
	var did []string
	e := p.event(kind, words)
	if e.Kind >= recovery.Opened && e.Kind <= recovery.Failed {
		require.Positive(p.t, p.writes, "the ledger answers what it was not asked: %s", kind)
		p.writes--
	}
	for _, a := range p.m.Step(e) {
		if a.Kind <= recovery.Forget {
			p.writes++
		}
		did = append(did, "< "+p.describe(a))
	}
	for a, due := p.m.Next(); due; a, due = p.m.Next() {
		did = append(did, "< "+p.describe(a))
		require.Less(p.t, len(did), 100, "the machine never has enough")
	}
	return did
}

var eventKinds = map[string]recovery.EventKind{
	"start": recovery.Start, "offer": recovery.Offered, "opened": recovery.Opened, "bound": recovery.Bound,
	"acknowledged": recovery.Acknowledged, "sealed": recovery.Sealed, "settled": recovery.Settled,
	"halted": recovery.Halted, "forgotten": recovery.Forgotten, "failed": recovery.Failed, "created": recovery.Created,
	"finalized": recovery.Finalized, "callfailed": recovery.CallFailed, "connected": recovery.Connected,
	"unreadable": recovery.Unreadable, "examined": recovery.Examined, "answer": recovery.Answered, "broken": recovery.Broken,
	"timer": recovery.Timer, "renewed": recovery.Renewed, "idle": recovery.Idle, "yield": recovery.Yield, "age": recovery.Age, "retire": recovery.Retire,
}

// event reads an event:
//
//	start [stream=s1 epoch=1 acked=0 open=A:2,B:1 seal=s2 reason=1 rejected=1,2 halt=1 resolution=2 skip=A suspicious aged lag-tries=n propagation-tries=n max-dead=n encoder frozen]
//	offer A 2 [schema=x] [dead=n] [nowhere]
//	examined [rows=n dead=n schema=x]: with rows it is encoded anew
//	opened | settled [suspicious]
//	created s1
//	finalized 3
//	answer CLASS [offset=n] [end=n] [rows=1,2] [conn=n]
//	broken CLASS [conn=n] | callfailed CLASS | connected [conn=n]
//	renewed x
//	failed | unreadable | halted, and the others without words
func (p *player) event(kind string, words []string) recovery.Event {
	e := recovery.Event{Kind: eventKinds[kind], Conn: p.conn}
	require.NotZero(p.t, e.Kind, "no such event: %s", kind)
	args := arguments(words)
	_, e.Suspicious = args["suspicious"]
	_, e.OwnSeal = args["ownseal"]
	_, e.Aged = args["aged"]
	if c, ok := args["conn"]; ok {
		e.Conn = uint64(p.number(c))
	}
	switch e.Kind {
	case recovery.Start:
		if args["stream"] != "" {
			p.recorded(&e, args)
		}
	case recovery.Offered:
		name, rows, schema := words[0], p.number(words[1]), "x"
		if args["schema"] != "" {
			schema = args["schema"]
		}
		p.names[p.m.NextBatch()] = name
		e.Intent = intent(name, rows)
		e.Intent.Before, e.Intent.Schema = p.m.Position(), fingerprint(schema)
		e.Intent.Dead = p.dead(args["dead"])
		if args["nowhere"] != "" {
			e.Intent.After = nil
		}
	case recovery.Examined:
		e.Contents = make([][]byte, len(p.examine.Refused))
		if args["rows"] != "" {
			e.Intent = p.examine.Intent
			e.Intent.Of, e.Intent.Bytes, e.Intent.Encoder = p.number(args["rows"]), 1, 2
			if args["schema"] != "" {
				e.Intent.Schema, e.Intent.Encoder = fingerprint(args["schema"]), 1
			}
			e.Intent.Dead = p.dead(args["dead"])
		}
	case recovery.Opened:
		e.Partition = &ledger.Partition{ID: 1, Key: key, Mode: ledger.Replayable, Epoch: p.opening.Epoch, Stream: p.opening.Stream,
			Position: p.m.Partition().Position}
	case recovery.Settled:
		part := p.m.Partition()
		e.Partition = &ledger.Partition{ID: 1, Key: key, Mode: ledger.Replayable, Epoch: part.Epoch + 1, Stream: p.seal.Successor, Position: part.Position}
		for _, in := range p.settle.Rest {
			require.Equal(p.t, e.Partition.Next, in.Start)
			e.Partition.Next = in.End()
		}
	case recovery.Renewed:
		e.Schema = fingerprint(words[0])
	case recovery.Created:
		e.Name = words[0]
	case recovery.Finalized:
		e.Count = p.number(words[0])
	case recovery.Failed:
		e.Err = errors.New("input/output error")
	case recovery.Unreadable:
		e.Err = errors.New("digest differs")
	case recovery.Answered, recovery.Broken, recovery.CallFailed:
		e.Answer = p.answer(words[0], args)
		e.Answer.Broken = e.Kind != recovery.Answered
	}
	return e
}

// recorded makes the ledger's word on a partition that it knows.
func (p *player) recorded(e *recovery.Event, args map[string]string) {
	part := &ledger.Partition{ID: 1, Key: key, Mode: ledger.Replayable, Stream: args["stream"], Epoch: 1, Position: []byte("before")}
	if args["epoch"] != "" {
		part.Epoch = uint64(p.number(args["epoch"]))
	}
	if args["acked"] != "" {
		part.Acked = p.number(args["acked"])
	}
	part.Next = part.Acked
	batch := uint64(1)
	for i, text := range strings.FieldsFunc(args["open"], func(r rune) bool { return r == ',' }) {
		// A:2 is a whole batch of two rows, A:2+3/5 its rows from 2 on, three of five.
		name, rows, _ := strings.Cut(text, ":")
		in := intent(name, 0)
		if from, rest, split := strings.Cut(rows, "+"); split {
			n, of, _ := strings.Cut(rest, "/")
			in.From, in.Rows, in.Of = p.number(from), p.number(n), p.number(of)
		} else {
			in.Rows, in.Of = p.number(rows), p.number(rows)
		}
		if in.Rows == 0 {
			in.Dead = p.dead("1")
		}
		in.Number, in.Start = uint64(i), part.Next
		if name == args["skip"] {
			in.Skip = "skipped"
		}
		part.Next = in.End()
		if i > 0 && in.From == 0 {
			batch++
		}
		p.names[batch] = name
		e.Intents = append(e.Intents, in)
	}
	if args["seal"] != "" || args["reason"] != "" {
		part.Seal = &ledger.Seal{Successor: args["seal"], Reason: ledger.Reason(p.number(args["reason"]))}
		for _, offset := range strings.FieldsFunc(args["rejected"], func(r rune) bool { return r == ',' }) {
			part.Seal.Rejected = append(part.Seal.Rejected, ledger.Rejected{Offset: p.number(offset)})
		}
		p.seal = part.Seal
	}
	if args["halt"] != "" {
		part.Halt = &ledger.Halt{Cause: ledger.HaltCause(p.number(args["halt"])), Offset: part.Acked, Detail: "what was seen"}
	}
	if args["resolution"] != "" {
		part.Resolution = &ledger.Resolution{Landed: p.number(args["resolution"])}
	}
	e.Partition = part
}

// dead makes the first n input rows dead, refused by the encoder.
func (p *player) dead(n string) (dead []ledger.Dead) {
	if n != "" {
		for row := range p.number(n) {
			dead = append(dead, ledger.Dead{Row: row})
		}
	}
	return dead
}

func (p *player) number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	require.NoError(p.t, err)
	return n
}

// answer makes an answer of the class that prints as name.
func (p *player) answer(name string, args map[string]string) *retry.Answer {
	a := &retry.Answer{Class: 255, Offset: -1, Expected: -1}
	for _, c := range classes(p.t) {
		if c.String() == name {
			a.Class = c
		}
	}
	require.NotEqual(p.t, retry.Class(255), a.Class, "no such class: %s", name)
	if args["offset"] != "" {
		a.Offset = p.number(args["offset"])
	}
	if args["end"] != "" {
		a.Expected = p.number(args["end"])
	}
	if a.Class == retry.RowErrors {
		for _, row := range strings.Split(cmp.Or(args["rows"], "1"), ",") {
			a.Rows = append(a.Rows, retry.RowError{Index: p.number(row), Message: "Field value of f cannot be empty."})
		}
	}
	if a.Class != retry.OK {
		a.Err = errors.New(name)
	}
	return a
}

// intent is a batch's, complete but for its place. Its name stands in the digest.
func intent(name string, rows int64) ledger.Intent {
	in := ledger.Intent{Rows: rows, Of: rows, Bytes: 100 * rows, After: []byte("after " + name), Schema: fingerprint("x"), Encoder: 1}
	copy(in.Digest[:], name)
	return in
}

func fingerprint(name string) (f ledger.Fingerprint) {
	copy(f[:], name)
	return f
}

// text cuts the zero bytes off a name that stands in a digest.
func text[T ~[16]byte](d T) string { return strings.TrimRight(string(d[:]), "\x00") }

func place(in ledger.Intent) string {
	part := ""
	if in.Rows != in.Of {
		part = fmt.Sprintf(" rows %d-%d of %d", in.From, in.From+in.Rows, in.Of)
	}
	if len(in.Without) > 0 {
		part += fmt.Sprint(" without ", in.Without)
	}
	for _, d := range in.Dead {
		part += fmt.Sprintf(" dead %d", d.Row)
		if d.Service {
			part += " by the service"
		}
	}
	return fmt.Sprintf("%s%s at [%d,%d)", text(in.Digest), part, in.Start, in.End())
}

// describe prints an action, and remembers what the events after it refer to.
func (p *player) describe(a recovery.Action) string {
	switch a.Kind {
	case recovery.OpenEpoch:
		p.opening = a.Opening
		s := fmt.Sprintf("ledger: open epoch %d with %s", a.Opening.Epoch, a.Opening.Stream)
		if a.Opening.Schema != fingerprint("x") {
			s += " and schema " + text(a.Opening.Schema)
		}
		return s
	case recovery.Bind:
		return fmt.Sprintf("ledger: bind %s in epoch %d", place(a.Intent), a.Epoch)
	case recovery.Acknowledge:
		return fmt.Sprintf("ledger: acknowledge up to %d in epoch %d", a.End, a.Epoch)
	case recovery.Seal:
		p.seal = a.Seal
		return fmt.Sprintf("ledger: seal epoch %d, reason %d, successor %q: %s", a.Epoch, a.Seal.Reason, a.Seal.Successor, a.Seal.Detail)
	case recovery.Settle:
		p.settle = a.Settlement
		s := fmt.Sprintf("ledger: settle epoch %d with %d rows", a.Epoch, a.Settlement.Rows)
		for _, in := range a.Settlement.Rest {
			s += ", " + place(in)
		}
		return s
	case recovery.Examine:
		p.examine = a
		if len(a.Refused) == 0 {
			return fmt.Sprintf("call: encode %s anew", p.names[a.Batch])
		}
		s := fmt.Sprintf("call: read of %s the rows", p.names[a.Batch])
		for _, r := range a.Refused {
			s += fmt.Sprint(" ", r.Row)
		}
		return s
	case recovery.Halt:
		return fmt.Sprintf("ledger: halt epoch %d at offset %d: %s: %s", a.Epoch, a.Halt.Offset, a.Halt.Cause, a.Halt.Detail)
	case recovery.Forget:
		return fmt.Sprintf("ledger: forget epoch %d with %d rows", a.Epoch, a.End)
	case recovery.Stored:
		return "stored " + p.names[a.Batch]
	case recovery.Landed:
		s := fmt.Sprintf("landed %s: %d rows, the last part at %d of %s in epoch %d", p.names[a.Batch], a.Ack.Rows, a.Ack.Offset, a.Ack.Stream, a.Ack.Epoch)
		if a.Ack.Duplicate {
			s += ", duplicate"
		}
		if a.Ack.Unskipped {
			s += ", not skipped"
		}
		return s
	case recovery.Ready:
		return "ready"
	case recovery.Wait:
		return fmt.Sprintf("wait for %s, time %d", []string{"", "backoff", "lag", "propagation"}[a.Wait], a.Attempt)
	case recovery.Disconnect:
		return fmt.Sprintf("disconnect %d", a.Conn)
	case recovery.Stop:
		s := fmt.Sprintf("stop: %s at offset %d of %q in epoch %d: %s", a.Cause.Verdict, a.Cause.Offset, a.Cause.Stream, a.Cause.Epoch, a.Cause.Detail)
		if a.Cause.Err != nil {
			s += fmt.Sprintf(" (%v)", a.Cause.Err)
		}
		return s
	case recovery.Create:
		return "call: create"
	case recovery.Finalize:
		return "call: finalize " + a.Stream
	case recovery.Connect:
		p.conn = a.Conn
		return fmt.Sprintf("call: connection %d to %s with schema %s", a.Conn, a.Stream, text(a.Schema))
	case recovery.Probe:
		return fmt.Sprintf("conn %d: probe %s", a.Conn, a.Stream)
	case recovery.Send:
		require.Equal(p.t, p.names[a.Batch], text(a.Intent.Digest), "a batch was sent as another one's rows")
		return fmt.Sprintf("conn %d: send %s to %s", a.Conn, place(a.Intent), a.Stream)
	}
	return fmt.Sprintf("unknown action %d", a.Kind)
}
