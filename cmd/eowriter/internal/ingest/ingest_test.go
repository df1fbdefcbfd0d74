package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/descriptorpb"
)

// stall makes the service keep its answers to itself, from the n-th append on.
func (g *rig) stall(after int64) {
	g.srv.Inject(emulator.Fault{Kind: emulator.Stall, After: after})
}

// letGo ends the stall.
func (g *rig) letGo() {
	g.srv.ClearFaults()
	g.srv.ResetConnections()
}

// If it fails, a producer that lost an answer has its rows twice, or is told that somebody else wrote them.
func TestRepeatedRequests(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	first := g.append(span("a", 0, 2))
	require.False(t, first.Duplicate)
	require.Equal(t, landed, first.Acknowledged)
	again := g.append(span("a", 0, 2))
	require.True(t, again.Duplicate)
	require.EqualValues(t, 2, again.Rows)

	other := span("a", 0, 2)
	other.Rows[1] = object("a", 7)
	conflict := g.refused(other, eowriterv1.Reason_REASON_CONFLICT)
	require.Equal(t, pos(2), conflict.Position)

	g.append(span("a", 2, 3))
	late := g.refused(span("a", 0, 2), eowriterv1.Reason_REASON_POSITION)
	require.Equal(t, pos(3), late.Position)
	require.Equal(t, upTo(3), g.table("a"))
}

// If it fails, appends without positions push one that has some out of memory, or move its position.
func TestLooseAppends(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	loose := func(n int) Append { return Append{Key: testKey("a"), Rows: [][]byte{object("a", n)}} }
	require.True(t, g.append(loose(-1)).AtLeastOnce)
	require.Equal(t, "", g.state("a").Position)
	g.append(span("a", 0, 1))
	require.False(t, g.append(loose(-2)).Duplicate)
	require.False(t, g.append(loose(-2)).Duplicate, "it can't be recognized")
	require.Equal(t, pos(1), g.state("a").Position)
	for range 2 {
		require.True(t, g.append(span("a", 0, 1)).Duplicate)
		g.crash()
		g.open()
	}
	g.append(span("a", 1, 2))
	require.Equal(t, []int{-1, 0, -2, -2, 1}, g.table("a"))
}

// If it fails, a producer that gives up waiting and sends again has its rows twice.
func TestTheSameAppendAtTheSameTime(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	fresh := make(chan bool)
	for range 8 {
		go func() {
			p, err := g.in.Accept(ctx(), span("a", 0, 1)) // all wait for the partition to be opened
			fresh <- err == nil && !p.duplicate && errOf(p.Wait(ctx(), landed)) == nil
		}()
	}
	n := 0
	for range 8 {
		if <-fresh {
			n++
		}
	}
	require.Equal(t, 1, n)
	require.Equal(t, upTo(1), g.table("a"))
	g.drained()
}

// If it fails, an append that the writer refuses at the last moment takes the partition with it, or those behind it land
// without it.
func TestWriterRefuses(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	g.crash()
	g.wopt.MaxRequestBytes, g.wopt.WindowRequests = 3000, 1
	g.open()
	g.append(span("a", 0, 1))
	g.stall(0)
	g.accept(span("a", 1, 2))
	large := span("a", 2, 3)
	large.Rows[0] = fmt.Appendf(nil, `{"n": 2, "p": "a", "short": null, "day": null}%s`, strings.Repeat(" ", 3000))
	large.Rows = slices.Repeat(large.Rows, 600)
	first := g.accept(large)
	behind := g.accept(span("a", 3, 4))
	g.letGo()
	_, err := first.Wait(ctx(), landed)
	requireReason(t, err, eowriterv1.Reason_REASON_TOO_LARGE)
	_, err = behind.Wait(ctx(), landed)
	requireReason(t, err, eowriterv1.Reason_REASON_UNAVAILABLE)
	require.Equal(t, pos(2), g.refused(span("a", 3, 4), eowriterv1.Reason_REASON_POSITION).Position)
	g.append(span("a", 2, 3))
	require.Equal(t, upTo(3), g.table("a"))
	g.drained()
}

// If it fails, appends that shared a request are not known one by one: while they are open, when they have landed, and
// after a restart in either case.
func TestAppendsThatShareABatch(t *testing.T) {
	opt := testOptions()
	opt.Linger = 1 << 40 // until nothing is on its way
	g := newRig(t, opt, emulator.Options{})
	g.append(span("a", 0, 1))
	g.stall(0)
	var pending []*Pending
	pending = append(pending, g.accept(span("a", 1, 2)))
	require.NoError(t, errOf(pending[0].Wait(ctx(), stored)), "the first goes alone")
	for n := 2; n < 5; n++ {
		pending = append(pending, g.accept(span("a", n, n+1)))
	}
	loose := g.accept(Append{Key: testKey("a"), Rows: [][]byte{object("a", 100)}})
	pending = append(pending, g.accept(span("a", 5, 6)))
	require.EqualValues(t, 5, g.state("a").QueuedAppends)
	g.letGo()
	for _, p := range append(pending, loose) {
		r, err := p.Wait(ctx(), landed)
		require.NoError(t, err)
		require.EqualValues(t, 1, r.Rows)
	}
	require.Equal(t, []int{0, 1, 2, 3, 4, 100, 5}, g.table("a"))
	part, _, err := g.led.Partition(testKey("a"))
	require.NoError(t, err)
	require.Len(t, part.Last.Parts, 5)
	check := func() {
		for n := 2; n < 6; n++ {
			require.True(t, g.append(span("a", n, n+1)).Duplicate, "append %d", n)
			other := span("a", n, n+1)
			other.Rows[0] = object("a", 1000)
			g.refused(other, eowriterv1.Reason_REASON_CONFLICT)
		}
		g.refused(span("a", 1, 2), eowriterv1.Reason_REASON_POSITION)
	}
	check()
	g.crash()
	g.open()
	check()

	// The same while they are open.
	g.append(span("a", 6, 7))
	g.stall(0)
	require.NoError(t, errOf(g.accept(span("a", 7, 8)).Wait(ctx(), stored)))
	for n := 8; n < 10; n++ {
		g.accept(span("a", n, n+1))
	}
	require.True(t, g.accept(span("a", 7, 8)).duplicate, "open")
	require.True(t, g.accept(span("a", 8, 9)).duplicate, "queued")
	g.crash()
	g.srv.ClearFaults()
	g.open()
	g.drained()
	// What was only queued may be lost with the crash; nobody was told that it is safe.
	at := slices.Index([]string{pos(8), pos(9), pos(10)}, g.state("a").Position)
	require.GreaterOrEqual(t, at, 0)
	require.Equal(t, []int{0, 1, 2, 3, 4, 100, 5, 6, 7, 8, 9}[:9+at], g.table("a"))
}

func errOf(_ any, err error) error { return err }

// If it fails, what was acknowledged as stored does not land after a restart, or only when somebody asks.
func TestStoredLandsAfterARestart(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	g.append(span("a", 0, 1))
	g.stall(0)
	r, err := g.accept(span("a", 1, 3)).Wait(ctx(), stored)
	require.NoError(t, err)
	require.Equal(t, stored, r.Acknowledged)
	g.crash()
	g.letGo()
	g.open()
	// A repeated request finds it open, or landed.
	again := g.accept(span("a", 1, 3))
	require.True(t, again.duplicate)
	r, err = again.Wait(ctx(), stored)
	require.NoError(t, err)
	require.EqualValues(t, 2, r.Rows)
	until(t, "it to land", func() bool { return len(g.table("a")) == 3 })
	require.Equal(t, upTo(3), g.table("a"))
	require.NoError(t, errOf(again.Wait(ctx(), landed)))
}

// If it fails, a bad row takes good ones with it, is dropped silently, or stops the partition.
func TestBadRows(t *testing.T) {
	opt := testOptions()
	opt.MaxDead = 3
	g := newRig(t, opt, emulator.Options{})
	a := span("a", 0, 3)
	a.Rows[1] = []byte(`{"n": "secret", "p": "a"}`)
	a.Rows[2] = []byte(`{"n": 1, "p": {"x": [1]}}`)
	bad := g.refused(a, eowriterv1.Reason_REASON_BAD_ROWS)
	require.Equal(t, 2, bad.BadRows)
	require.EqualValues(t, 1, bad.Rows[0].Row)
	require.Equal(t, "n", bad.Rows[0].Column)
	require.Equal(t, "p", bad.Rows[1].Column)
	require.NotContains(t, fmt.Sprint(bad, bad.Rows), "secret")
	require.Equal(t, "", g.state("a").Position)

	a.DeadLetters = true
	r := g.append(a)
	require.EqualValues(t, 1, r.Rows)
	require.EqualValues(t, 2, r.DeadRows)
	again := g.append(a)
	require.True(t, again.Duplicate)
	require.EqualValues(t, 1, again.Rows)
	require.EqualValues(t, 2, again.DeadRows)
	s := g.state("a")
	require.EqualValues(t, 2, s.DeadRows)
	part, _, err := g.led.Partition(testKey("a"))
	require.NoError(t, err)
	letters, err := g.led.Letters(part.ID, 0, 1<<20)
	require.NoError(t, err)
	require.Equal(t, `{"n": "secret", "p": "a"}`, string(letters[0].Content))
	require.Equal(t, pos(3), string(letters[0].After))

	// An append of nothing but bad rows moves the position, too; too many of them are refused.
	next := Append{Key: testKey("a"), Expected: pos(3), Position: pos(4), Rows: [][]byte{[]byte("x")}, DeadLetters: true}
	require.EqualValues(t, 0, g.append(next).Rows)
	next.Expected, next.Position = pos(4), pos(5)
	bad = g.refused(next, eowriterv1.Reason_REASON_BAD_ROWS)
	require.Contains(t, bad.Message, "--max-dead-letters")
	g.append(span("a", 4, 5))
	require.Equal(t, []int{0, 4}, g.table("a"))
}

// If it fails, a row that only the service refuses is lost, or stops a partition that may have dead letters; or one that may
// have none goes on without it.
func TestRowsThatTheServiceRefuses(t *testing.T) {
	for _, most := range []int64{10, 0} {
		opt := testOptions()
		opt.MaxDead = most
		g := newRig(t, opt, emulator.Options{})
		g.append(span("a", 0, 1))
		a := span("a", 1, 3)
		a.Descriptor = rowType()
		a.Descriptor.Field = append(a.Descriptor.Field, newField(3, "day", descriptorpb.FieldDescriptorProto_TYPE_STRING))
		day := func(s string) []byte {
			return protowire.AppendString(protowire.AppendTag(nil, 3, protowire.BytesType), s)
		}
		a.Rows = [][]byte{append(rowMessage(1, "a"), day("no day")...), append(rowMessage(2, "a"), day("2026-01-02")...)}
		r, err := g.accept(a).Wait(ctx(), landed)
		g.append(span("b", 0, 1))
		if most > 0 {
			require.NoError(t, err)
			require.Equal(t, pos(3), r.Position)
			require.EqualValues(t, 1, g.state("a").DeadRows)
			require.Equal(t, []int{0, 2}, g.table("a"))
			require.True(t, g.append(a).Duplicate)
			continue
		}
		requireReason(t, err, eowriterv1.Reason_REASON_UNRESOLVED)
		require.Equal(t, []int{0}, g.table("a"))
		left, err := g.in.Drain(ctx(), "", "")
		require.NoError(t, err)
		require.Len(t, left, 1)
	}
}

// If it fails, producers have to be stopped to add a column.
func TestSchemaChanges(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	g.append(span("a", 0, 1))
	a := span("a", 1, 2)
	a.Rows[0] = []byte(`{"n": 1, "p": "a", "new": 5}`)
	g.refused(a, eowriterv1.Reason_REASON_BAD_ROWS)
	require.NoError(t, g.srv.AlterTable(testTable, parse(t, strings.Replace(testSchema, "]", `, {"name": "new", "type": "INTEGER"}, {"name": "newer", "type": "INTEGER"}]`, 1))))
	a.Rows[0] = []byte(`{"n": 1, "p": "a", "newer": 5}`)
	g.append(a)
	b := span("b", 0, 1)
	b.Rows[0] = []byte(`{"n": 0, "p": "b", "new": 5}`)
	g.append(b)
	require.Equal(t, upTo(2), g.table("a"))
}

// If it fails, memory grows without bounds when rows come faster than they land, or one partition that hangs keeps the
// others from being written to.
func TestRoom(t *testing.T) {
	opt := testOptions()
	opt.PartitionBytes, opt.TotalBytes, opt.AppendBytes = 4000, 4000, 1000
	g := newRig(t, opt, emulator.Options{})
	g.append(span("hangs", 0, 1))
	stream := g.state("hangs").Stream
	g.srv.Inject(emulator.Fault{Kind: emulator.Stall, Stream: stream})
	fill := func(n int) Append {
		a := span("hangs", n, n+1)
		a.Rows[0] = fmt.Appendf(nil, `{"n": %d, "p": "hangs"}%s`, n, strings.Repeat(" ", 700))
		return a
	}
	n := 1
	var refused *Error
	for ; n < 100; n++ {
		if _, err := g.in.Accept(ctx(), fill(n)); err != nil {
			refused = requireReason(t, err, eowriterv1.Reason_REASON_BUSY)
			break
		}
	}
	require.NotNil(t, refused)
	require.Equal(t, soon, refused.RetryAfter)
	require.Equal(t, 4, n, "it leaves as much as it takes")
	for i := range 20 {
		g.append(span("works", i, i+1))
	}
	patient := fill(n)
	patient.Patient = true
	done := make(chan error)
	go func() {
		p, err := g.in.Accept(ctx(), patient)
		if err == nil {
			_, err = p.Wait(ctx(), landed)
		}
		done <- err
	}()
	canceled, cancel := context.WithCancelCause(ctx())
	reason := errors.New("over")
	cancel(reason)
	_, err := g.in.Accept(canceled, patient)
	require.ErrorIs(t, err, reason)
	g.letGo()
	require.NoError(t, <-done)
	require.Equal(t, upTo(n+1), g.table("hangs"))
	g.drained()
}

// If it fails, a sidecar that is killed over and over while the service hangs accepts as much again each time: the ledger
// grows without bounds, and so does the memory into which its rows are read again.
func TestRoomOverRuns(t *testing.T) {
	names := []string{"a", "b", strings.Repeat("c", 150)}
	for what, bound := range map[string]func(*Options){
		"appends":                func(opt *Options) { opt.TotalAppends = 20 },
		"appends of a partition": func(opt *Options) { opt.PartitionAppends = 6 },
		"bytes":                  func(opt *Options) { opt.TotalBytes = 3000 },
	} {
		opt := testOptions()
		bound(&opt)
		hang := make(chan struct{})
		letGo := sync.OnceFunc(func() { close(hang) })
		g := newRig(t, opt, emulator.Options{OnAppend: func(r emulator.Request) {
			if r.Offset < 1<<40 { // probes are answered
				<-hang
			}
		}})
		t.Cleanup(letGo)
		next := map[string]int{}
		for range 6 {
			for _, name := range names {
				for {
					n := next[name]
					pending, err := g.in.Accept(ctx(), span(name, n, n+1))
					if err != nil {
						requireReason(t, err, eowriterv1.Reason_REASON_BUSY)
						break
					}
					require.NoError(t, errOf(pending.Wait(ctx(), stored)))
					next[name] = n + 1
				}
			}
			appends, bytes := 0, int64(0)
			for name := range next {
				_, open, err := g.led.Partition(testKey(name))
				require.NoError(t, err)
				require.LessOrEqual(t, len(open), opt.PartitionAppends, what)
				appends, bytes = appends+len(open), bytes+sizeOf(open)
			}
			require.LessOrEqual(t, appends, opt.TotalAppends, what)
			require.LessOrEqual(t, bytes, opt.TotalBytes, what)
			g.crash()
			g.open()
		}
		letGo()
		g.drained()
		for _, name := range names {
			g.append(span(name, next[name], next[name]+1))
			require.Equal(t, upTo(next[name]+1), g.table(name), what)
		}
	}
}

// If it fails, a partition that is halted for good takes room from the others for as long.
func TestHaltedTakesNoRoom(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	g.append(span("a", 0, 1))
	_, err := g.srv.AppendForeign(g.state("a").Stream, [][]byte{g.srv.Rows(testTable)[0].Data})
	require.NoError(t, err)
	g.accept(span("a", 1, 2))
	for range 2 {
		until(t, "it to be halted", func() bool { return g.state("a").State == eowriterv1.State_STATE_HALTED })
		require.EqualValues(t, 1, g.state("a").OpenAppends)
		require.Zero(t, g.in.budget.bytes)
		require.Zero(t, g.in.budget.appends)
		g.crash()
		g.open()
	}
}

// If it fails, a partition that the service refuses stays stopped after that was mended, or others suffer.
func TestBlockedPartition(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	g.append(span("a", 0, 1))
	g.append(span("b", 0, 1))
	g.srv.Inject(emulator.Fault{Kind: emulator.ErrorBefore, Stream: g.state("a").Stream, Error: status.New(codes.PermissionDenied, "no access")})
	p, err := g.in.Accept(ctx(), span("a", 1, 2))
	require.NoError(t, err)
	_, err = p.Wait(ctx(), landed)
	require.Contains(t, requireReason(t, err, eowriterv1.Reason_REASON_UNRESOLVED).Message, "no access")
	until(t, "it to wait", func() bool { return g.state("a").State == eowriterv1.State_STATE_WAITING })
	require.Contains(t, g.state("a").Error, "no access")
	again, err := g.in.Accept(ctx(), span("a", 1, 2))
	require.NoError(t, err, "it is durable: the same answer as before a stop")
	require.True(t, again.duplicate)
	require.NoError(t, errOf(again.Wait(ctx(), stored)))
	g.append(span("b", 1, 2))
	g.srv.ClearFaults()
	until(t, "it to be opened again", func() bool { return g.state("a").State == eowriterv1.State_STATE_OPEN })
	g.append(span("a", 2, 3))
	require.Equal(t, upTo(3), g.table("a"))
}

// If it fails, a partition that somebody else wrote to goes on, or nobody is told what to do about it.
func TestHaltedPartition(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	g.append(span("a", 0, 1))
	row := g.srv.Rows(testTable)[0].Data
	_, err := g.srv.AppendForeign(g.state("a").Stream, [][]byte{row})
	require.NoError(t, err)
	_, err = g.accept(span("a", 1, 2)).Wait(ctx(), landed)
	requireReason(t, err, eowriterv1.Reason_REASON_UNRESOLVED)
	halted := func() {
		until(t, "it to be halted", func() bool { return g.state("a").State == eowriterv1.State_STATE_HALTED })
		refused := g.refused(span("a", 2, 3), eowriterv1.Reason_REASON_HALTED)
		require.Contains(t, refused.Message, "stop the sidecar")
		require.Contains(t, refused.Message, "eowriter ledger resolve")
		require.Contains(t, refused.Message, "start the sidecar again")
		require.Zero(t, refused.RetryAfter)
		require.Contains(t, g.state("a").Error, "eowriter ledger resolve")
	}
	halted()
	g.append(span("b", 0, 1))
	g.crash()
	g.open()
	halted()
	left, err := g.in.Drain(ctx(), "", "")
	require.NoError(t, err)
	require.Len(t, left, 1)
}

// If it fails, somebody's typing errors fill the table of partitions.
func TestPartitionsThatCannotBe(t *testing.T) {
	opt := testOptions()
	opt.MaxPartitions = 2
	g := newRig(t, opt, emulator.Options{})
	nowhere := span("x", 0, 1)
	nowhere.Key.Table = "projects/p/datasets/d/tables/nope"
	require.Positive(t, g.refused(nowhere, eowriterv1.Reason_REASON_NO_TABLE).RetryAfter)
	until(t, "it to be forgotten", func() bool { p, _ := g.in.find(nowhere.Key, false); return p == nil })
	g.refused(span("x", 5, 6), eowriterv1.Reason_REASON_POSITION)
	require.Empty(t, g.in.partitions, "what was never opened is none")
	require.Empty(t, g.in.tables.byName)
	g.append(span("a", 0, 1))
	g.append(span("b", 0, 1))
	g.refused(span("c", 0, 1), eowriterv1.Reason_REASON_TOO_MANY_PARTITIONS)
	g.crash()
	g.open()
	g.refused(span("c", 0, 1), eowriterv1.Reason_REASON_TOO_MANY_PARTITIONS)
	g.append(span("b", 1, 2))
}

// If it fails, nonsense reaches the ledger.
func TestNonsense(t *testing.T) {
	opt := testOptions()
	opt.AppendRows, opt.AppendBytes = 3, 100
	g := newRig(t, opt, emulator.Options{})
	ok := span("a", 0, 1)
	for what, c := range map[string]struct {
		change func(*Append)
		reason eowriterv1.Reason
	}{
		"no name":           {func(a *Append) { a.Key.Name = "" }, eowriterv1.Reason_REASON_INVALID},
		"long name":         {func(a *Append) { a.Key.Name = strings.Repeat("x", 201) }, eowriterv1.Reason_REASON_INVALID},
		"control character": {func(a *Append) { a.Key.Name = "a\x1bb" }, eowriterv1.Reason_REASON_INVALID},
		"not UTF-8":         {func(a *Append) { a.Key.Name = "\xff" }, eowriterv1.Reason_REASON_INVALID},
		"no rows":           {func(a *Append) { a.Rows = nil }, eowriterv1.Reason_REASON_INVALID},
		"many rows":         {func(a *Append) { a.Rows = [][]byte{{}, {}, {}, {}} }, eowriterv1.Reason_REASON_TOO_LARGE},
		"large row":         {func(a *Append) { a.Rows[0] = make([]byte, 101) }, eowriterv1.Reason_REASON_TOO_LARGE},
		"no move":           {func(a *Append) { a.Expected = a.Position }, eowriterv1.Reason_REASON_INVALID},
		"only expected":     {func(a *Append) { a.Expected, a.Position = "x", "" }, eowriterv1.Reason_REASON_INVALID},
		"long position":     {func(a *Append) { a.Position = strings.Repeat("x", maxPosition+1) }, eowriterv1.Reason_REASON_INVALID},
		"odd position":      {func(a *Append) { a.Position = "\xff" }, eowriterv1.Reason_REASON_INVALID},
	} {
		t.Run(what, func(t *testing.T) {
			a := ok
			a.Rows = append([][]byte(nil), ok.Rows...)
			c.change(&a)
			_, err := g.in.Accept(ctx(), a)
			requireReason(t, err, c.reason)
		})
	}
	_, err := g.in.Partition(testKey("\n"))
	requireReason(t, err, eowriterv1.Reason_REASON_INVALID)
	odd := span("../../etc/passwd%2f\u202e", 0, 1)
	g.append(odd)
	require.Equal(t, pos(1), g.state(odd.Key.Name).Position)
	require.Zero(t, g.srv.Stats().Rows-1)
}

// If it fails, what was accepted is lost when the sidecar is told to end, or nobody learns what is left.
func TestClose(t *testing.T) {
	opt := testOptions()
	opt.Linger = 1 << 40
	g := newRig(t, opt, emulator.Options{})
	var last *Pending
	for n := range 20 {
		last = g.accept(span("a", n, n+1))
	}
	left, err := g.in.Close(ctx())
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, errOf(last.Wait(ctx(), landed)), "nothing lingers")
	_, err = g.in.Accept(ctx(), span("b", 0, 1))
	require.Positive(t, requireReason(t, err, eowriterv1.Reason_REASON_UNAVAILABLE).RetryAfter)
	g.crash()

	g.open()
	g.append(span("a", 20, 21))
	g.stall(0)
	stuck := g.accept(span("a", 21, 22))
	require.NoError(t, errOf(stuck.Wait(ctx(), stored)))
	queued := g.accept(span("a", 22, 23))
	over, cancel := context.WithCancel(ctx())
	cancel()
	left, err = g.in.Close(over)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Positive(t, left[0].OpenAppends)
	_, err = stuck.Wait(ctx(), landed)
	requireReason(t, err, eowriterv1.Reason_REASON_UNRESOLVED)
	n := 23
	if _, err := queued.Wait(ctx(), stored); err != nil { // else it was just in time
		requireReason(t, err, eowriterv1.Reason_REASON_UNAVAILABLE)
		n = 22
	}
	g.crash()
	g.letGo()
	g.open()
	g.drained()
	require.Equal(t, upTo(n), g.table("a"))
}

// If it fails, a producer is told a position that a crash takes back, and doesn't send again what it lost.
func TestToldPositionsAreDurable(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	g.crash()
	g.wopt.WindowRequests = 1
	g.open()
	g.append(span("a", 0, 1))
	g.in.opt.OpenWait = 100 * time.Millisecond
	g.stall(0)
	require.NoError(t, errOf(g.accept(span("a", 1, 2)).Wait(ctx(), stored)))
	queued := g.accept(span("a", 2, 3)) // there is no room for it in the writer's window
	require.Equal(t, pos(2), g.state("a").Position)
	_, err := g.in.Ask(ctx(), testKey("a"))
	requireReason(t, err, eowriterv1.Reason_REASON_UNAVAILABLE)
	g.refused(span("a", 1, 3), eowriterv1.Reason_REASON_UNAVAILABLE)
	other := span("a", 2, 3)
	other.Rows[0] = object("a", 9)
	g.refused(other, eowriterv1.Reason_REASON_UNAVAILABLE)
	g.letGo()
	require.NoError(t, errOf(queued.Wait(ctx(), stored)))
	s, err := g.in.Ask(ctx(), testKey("a"))
	require.NoError(t, err)
	require.Equal(t, pos(3), s.Position)
	require.Equal(t, pos(3), g.refused(other, eowriterv1.Reason_REASON_CONFLICT).Position)
}

// If it fails, people see another state than there is.
func TestStates(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	require.Equal(t, eowriterv1.State_STATE_NEW, g.state("a").State)
	g.append(span("b", 0, 1))
	g.append(span("a", 0, 3))
	s := g.state("a")
	require.Equal(t, eowriterv1.State_STATE_OPEN, s.State)
	require.Equal(t, "p.d.t", s.Table)
	require.Equal(t, pos(3), s.LandedPosition)
	require.EqualValues(t, 3, s.Rows)
	all, err := g.in.Partitions("")
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, "a", all[0].Partition)
	all, err = g.in.Partitions("projects/p/datasets/d/tables/other")
	require.NoError(t, err)
	require.Empty(t, all)
	g.crash()
	g.open()
	require.Equal(t, eowriterv1.State_STATE_IDLE, g.state("a").State)
	g.append(span("a", 3, 4))

	// A file's partition takes no appends.
	replayable := ledger.Opening{Key: testKey("file"), Mode: ledger.Replayable, Stream: "s", Descriptor: []byte{}, Schema: ledger.FingerprintOf(nil)}
	opened := make(chan error)
	g.led.OpenEpoch(replayable, func(_ ledger.Partition, err error) { opened <- err })
	require.NoError(t, <-opened)
	require.Equal(t, eowriterv1.State_STATE_FILE, g.state("file").State)
	g.crash()
	g.open()
	g.refused(span("file", 0, 1), eowriterv1.Reason_REASON_INVALID)
}
