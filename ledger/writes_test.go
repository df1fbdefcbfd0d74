package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The life of a partition through a rotation. If it failed, a rotation would lose
// or repeat rows, or a restart would resume at the wrong position.
func TestLifeOfAPartition(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, nil)
	p := mustOpenEpoch(t, l, "a", Replayable)
	require.Equal(t, uint64(1), p.Epoch)
	require.Equal(t, l.Identity(), p.Owner)
	for i := range int64(4) {
		require.NoError(t, bind(l, p.ID, 1, batch(i*10, i*10, 10)))
	}
	got, _, err := l.Partition(p.Key)
	require.NoError(t, err)
	require.Nil(t, got.Position, "binding moves no position")
	require.NoError(t, acknowledge(l, p.ID, 1, 10))
	got, open, err := l.Partition(p.Key)
	require.NoError(t, err)
	require.Equal(t, []int64{10, 40, 10}, []int64{got.Acked, got.Next, got.Rows})
	require.Equal(t, pos(10), got.Position)
	require.Equal(t, []Intent{batch(10, 10, 10), batch(20, 20, 10), batch(30, 30, 10)}, open)
	require.Equal(t, &Append{Before: pos(0), After: pos(10), Digest: batch(0, 0, 10).Digest, Stream: p.Stream, Epoch: 1, Offset: 0, Rows: 10}, got.Last)

	s := Seal{Successor: "streams/a/2", Reason: TooLarge, Detail: "why", Rejected: []Rejected{{Offset: 25, Message: "bad"}}}
	require.NoError(t, seal(l, p.ID, 1, s))
	require.NoError(t, seal(l, p.ID, 1, s), "R2 can be repeated")
	refused(t, seal(l, p.ID, 1, Seal{Successor: "streams/a/3", Reason: Aging}), "another successor")
	refused(t, bind(l, p.ID, 1, batch(40, 40, 1)), "sealed")
	refused(t, acknowledge(l, p.ID, 1, 20), "sealed")

	require.NoError(t, l.Close())
	l = mustOpen(t, path, nil)
	got, _, err = l.Partition(p.Key)
	require.NoError(t, err)
	require.Equal(t, s.Rejected, got.Seal.Rejected)
	require.Equal(t, l.Identity(), got.Seal.Owner)

	// The count says that the second batch landed; the third is divided.
	third, fourth := batch(20, 20, 10), batch(30, 30, 10)
	one, two := third, third
	one.Number, one.Start, one.Rows = 4, 0, 4
	two.Number, two.Start, two.From, two.Rows = 10, 4, 4, 6
	fourth.Number, fourth.Start = 20, 10
	rest := []Intent{one, two, fourth}
	p, err = settle(l, p.ID, 1, Settlement{Rows: 20, Rest: rest})
	require.NoError(t, err)
	require.Equal(t, uint64(2), p.Epoch)
	require.Equal(t, "streams/a/2", p.Stream)
	require.Nil(t, p.Seal)
	require.Equal(t, []int64{0, 20, 20}, []int64{p.Acked, p.Next, p.Rows})
	require.Equal(t, pos(20), p.Position)
	_, open, err = l.Partition(p.Key)
	require.NoError(t, err)
	require.Equal(t, rest, open)
	refused(t, bind(l, p.ID, 1, batch(20, 40, 1)), "epoch 2")

	// The position waits for the batch's last part.
	require.NoError(t, acknowledge(l, p.ID, 2, 4))
	got, _, _ = l.Partition(p.Key)
	require.Equal(t, pos(20), got.Position)
	require.Equal(t, batch(10, 10, 10).Digest, got.Last.Digest)
	require.NoError(t, acknowledge(l, p.ID, 2, 20))
	got, _, _ = l.Partition(p.Key)
	require.Equal(t, pos(40), got.Position)
	require.Equal(t, int64(40), got.Rows)
	requireSound(t, l)

	// Expired: nothing is open, so a new epoch begins where the source is.
	next := opening("a", Replayable)
	next.Epoch, next.Stream, next.Descriptor = 3, "streams/a/3", nil
	p, err = openEpoch(l, next)
	require.NoError(t, err)
	require.Equal(t, []int64{0, 0, 40}, []int64{p.Acked, p.Next, p.Rows})
	require.Equal(t, pos(40), p.Position)
	require.NoError(t, retire(l, p.ID, 3, 0))
	_, _, err = l.Partition(p.Key)
	require.ErrorIs(t, err, ErrNoPartition)

	retired, err := l.Retired()
	require.NoError(t, err)
	var brief []Retired
	for _, r := range retired {
		require.False(t, r.At.IsZero())
		brief = append(brief, Retired{Key: r.Key, Epoch: r.Epoch, Stream: r.Stream, Rows: r.Rows, Reason: r.Reason})
	}
	require.Equal(t, []Retired{
		{Key: p.Key, Epoch: 1, Stream: "streams/a/1", Rows: 20, Reason: TooLarge},
		{Key: p.Key, Epoch: 2, Stream: "streams/a/2", Rows: -1, Reason: Expired},
		{Key: p.Key, Epoch: 3, Stream: "streams/a/3", Rows: 0, Reason: Finished},
	}, brief)
	newest, all, err := l.History(p.ID, 2)
	require.NoError(t, err)
	require.Equal(t, retired[1:], newest)
	require.Equal(t, 3, all)

	again := mustOpenEpoch(t, l, "a", Replayable)
	require.NotEqual(t, p.ID, again.ID, "an ID is never used again")
	newest, all, err = l.History(again.ID, 2)
	require.NoError(t, err)
	require.Empty(t, newest)
	require.Zero(t, all)
	requireSound(t, l)
}

// Each refusal protects an invariant: were the write accepted, an offset would be
// bound twice or not at all, or the position would move by the wrong batch.
func TestRefusals(t *testing.T) {
	l := mustOpen(t, newPath(t), small)
	p := mustOpenEpoch(t, l, "a", Replayable)
	require.NoError(t, bind(l, p.ID, 1, batch(0, 0, 10)))
	require.NoError(t, bind(l, p.ID, 1, batch(10, 10, 10)))
	f := mustOpenEpoch(t, l, "f", Frozen)
	payload, err := freeze(l, [][]byte{{1}, {2}})
	require.NoError(t, err)

	change := func(f func(*Intent)) Intent {
		in := batch(20, 20, 10)
		f(&in)
		return in
	}
	binds := map[string]struct {
		in   Intent
		text string
	}{
		"gap":                {change(func(in *Intent) { in.Start = 21 }), "not the next"},
		"bound already":      {batch(10, 20, 10), "not the next"},
		"nothing at all":     {change(func(in *Intent) { in.Rows, in.Of = 0, 0 }), "without dead letters"},
		"overflow":           {change(func(in *Intent) { in.Rows, in.Of = 1<<62, 1<<62 }), "no range"},
		"a part":             {change(func(in *Intent) { in.Of = 20 }), "whole batches"},
		"outside its batch":  {change(func(in *Intent) { in.Of = 5 }), "not inside"},
		"another position":   {change(func(in *Intent) { in.Before = pos(10) }), "position before"},
		"no position after":  {change(func(in *Intent) { in.After = nil }), "no position after"},
		"long position":      {change(func(in *Intent) { in.After = make([]byte, maxPosition+1) }), "longer"},
		"unknown schema":     {change(func(in *Intent) { in.Schema[0]++ }), "schema"},
		"payload":            {change(func(in *Intent) { in.Payload = payload }), "replayable"},
		"parts don't add up": {change(func(in *Intent) { in.Parts = []Part{{Rows: 9}} }), "parts"},
	}
	for name, c := range binds {
		t.Run("bind "+name, func(t *testing.T) { refused(t, bind(l, p.ID, 1, c.in), c.text) })
	}
	frozen := map[string]struct {
		payload Payload
		rows    int64
		text    string
	}{
		"no payload":   {Payload{}, 2, "need a payload"},
		"other rows":   {payload, 3, "hold"},
		"never frozen": {Payload{Segment: payload.Segment, Offset: 4096, Length: 50, Frame: 7}, 2, "hold"},
		"no segment":   {Payload{Length: 50}, 2, "without a segment"},
	}
	for name, c := range frozen {
		t.Run("bind frozen "+name, func(t *testing.T) {
			refused(t, bind(l, f.ID, 1, Intent{Rows: c.rows, Of: c.rows, Schema: schema, Payload: c.payload}), c.text)
		})
	}
	require.NoError(t, bind(l, f.ID, 1, Intent{Rows: 2, Of: 2, Schema: schema, Payload: payload}))
	refused(t, bind(l, f.ID, 1, Intent{Number: 1, Start: 2, Rows: 2, Of: 2, Schema: schema, Payload: payload}), "bound already")

	for _, end := range []int64{-1, 0, 5, 15, 21} {
		refused(t, acknowledge(l, p.ID, 1, end), "and ends at")
	}
	refused(t, acknowledge(l, p.ID, 2, 10), "epoch 1")
	refused(t, acknowledge(l, 99, 1, 10), "no partition")
	refused(t, retire(l, p.ID, 1, 0), "open")
	_, err = settle(l, p.ID, 1, Settlement{Rows: 20})
	refused(t, err, "not sealed")
	refused(t, seal(l, p.ID, 1, Seal{Successor: p.Stream, Reason: Aging}), "in use")
	refused(t, seal(l, p.ID, 1, Seal{Successor: f.Stream, Reason: Aging}), "in use")
	refused(t, seal(l, p.ID, 1, Seal{Successor: "x"}), "reason")
	refused(t, seal(l, p.ID, 1, Seal{Reason: Aging}), "1 to")
	refused(t, seal(l, p.ID, 1, Seal{Reason: Finished, Successor: "x"}), "no successor")
	refused(t, seal(l, p.ID, 1, Seal{Reason: Finished}), "open")
	refused(t, forget(l, p.ID, 1, 0), "not sealed as finished")
	requireSound(t, l)
}

func TestRefusedOpenings(t *testing.T) {
	l := mustOpen(t, newPath(t), nil)
	p := mustOpenEpoch(t, l, "a", Replayable)
	busy := mustOpenEpoch(t, l, "busy", Replayable)
	require.NoError(t, bind(l, busy.ID, 1, batch(0, 0, 1)))
	sealed := mustOpenEpoch(t, l, "sealed", Replayable)
	require.NoError(t, seal(l, sealed.ID, 1, Seal{Successor: "successor", Reason: Aging}))
	cases := map[string]struct {
		o    Opening
		edit func(*Opening)
		text string
	}{
		"there already":    {opening("a", Replayable), func(o *Opening) { o.Stream = "x" }, "exists"},
		"skips an epoch":   {opening("a", Replayable), func(o *Opening) { o.Stream, o.Epoch = "x", 3 }, "exists"},
		"another mode":     {opening("a", Frozen), func(o *Opening) { o.Stream, o.Epoch = "x", 2 }, "mode"},
		"intents are open": {opening("busy", Replayable), func(o *Opening) { o.Stream, o.Epoch = "x", 2 }, "in doubt"},
		"sealed":           {opening("sealed", Replayable), func(o *Opening) { o.Stream, o.Epoch = "x", 2 }, "sealed"},
		"not there":        {opening("b", Replayable), func(o *Opening) { o.Epoch = 2 }, "does not exist"},
		"stream in use":    {opening("b", Replayable), func(o *Opening) { o.Stream = p.Stream }, "in use"},
		"a seal's stream":  {opening("b", Replayable), func(o *Opening) { o.Stream = "successor" }, "in use"},
		"no mode":          {opening("b", 0), func(o *Opening) {}, "mode 0"},
		"no stream":        {opening("b", Frozen), func(o *Opening) { o.Stream = "" }, "1 to"},
		"no name":          {opening("", Frozen), func(o *Opening) {}, "1 to 200"},
		"control":          {opening("b\x00", Frozen), func(o *Opening) {}, "1 to 200"},
		"long name":        {opening(string(make([]byte, 201)), Frozen), func(o *Opening) {}, "1 to 200"},
		"wrong schema":     {opening("b", Frozen), func(o *Opening) { o.Descriptor = []byte("x") }, "fingerprint"},
		"unknown schema":   {opening("b", Frozen), func(o *Opening) { o.Descriptor, o.Schema = nil, Fingerprint{1} }, "schema"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.edit(&c.o)
			_, err := openEpoch(l, c.o)
			refused(t, err, c.text)
		})
	}
	requireSound(t, l)
}

// A settlement that doesn't carry exactly what was left would bind an offset to
// rows of another batch, or forget a batch.
func TestRefusedSettlements(t *testing.T) {
	l := mustOpen(t, newPath(t), nil)
	p := mustOpenEpoch(t, l, "a", Replayable)
	for i := range int64(3) {
		require.NoError(t, bind(l, p.ID, 1, batch(i*10, i*10, 10)))
	}
	require.NoError(t, acknowledge(l, p.ID, 1, 10))
	require.NoError(t, seal(l, p.ID, 1, Seal{Successor: "s2", Reason: Aging}))
	one, two := batch(10, 10, 10), batch(20, 20, 10)
	one.Start, two.Start = 0, 10
	edit := func(in Intent, f func(*Intent)) Intent { f(&in); return in }
	half := edit(one, func(in *Intent) { in.Rows = 5 })
	cases := map[string]struct {
		rows int64
		rest []Intent
		text string
	}{
		"inside an intent":   {15, nil, "inside"},
		"below acked":        {0, []Intent{one, two}, "outside"},
		"above next":         {40, nil, "outside"},
		"one forgotten":      {10, []Intent{one}, "not bound anew"},
		"all forgotten":      {10, nil, "not bound anew"},
		"one landed":         {20, []Intent{one, two}, "is not what"},
		"one too many":       {30, []Intent{one}, "more"},
		"wrong order":        {10, []Intent{two, one}, "comes after"},
		"old offset":         {20, []Intent{two}, "does not go on"},
		"half forgotten":     {10, []Intent{half, two}, "does not go on"},
		"half at the end":    {20, []Intent{edit(half, func(in *Intent) { in.Before, in.After = two.Before, two.After })}, "not bound anew"},
		"number again":       {10, []Intent{one, edit(two, func(in *Intent) { in.Number = one.Number })}, "comes after"},
		"rows left out":      {10, []Intent{edit(one, func(in *Intent) { in.Rows, in.Of = 9, 9 }), two}, "number of rows"},
		"left out, not dead": {10, []Intent{edit(one, func(in *Intent) { in.Rows, in.Of, in.Without = 9, 9, []int64{3} }), two}, "no dead letters"},
		"dead, not left out": {10, []Intent{edit(one, func(in *Intent) { in.Dead = []Dead{{}} }), two}, "not its new dead letters"},
		"other digest":       {10, []Intent{edit(one, func(in *Intent) { in.Digest[0]++ }), two}, "is not what"},
		"other position":     {10, []Intent{edit(one, func(in *Intent) { in.After = pos(11) }), two}, "is not what"},
		"other schema":       {10, []Intent{edit(one, func(in *Intent) { in.Schema[0]++ }), two}, "is not what"},
		"beyond its batch":   {10, []Intent{edit(one, func(in *Intent) { in.Of = 8 }), two}, "not inside"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := settle(l, p.ID, 1, Settlement{Rows: c.rows, Rest: c.rest})
			refused(t, err, c.text)
		})
	}
	requireSound(t, l)
	_, err := settle(l, p.ID, 1, Settlement{Rows: 10, Rest: []Intent{one, two}})
	require.NoError(t, err)
}

// History 6: a copy that is found sealed finishes that rotation, but the successor
// belongs to the one that sealed. If the identity were refreshed, the copy would
// not be suspicious any more, and both would write.
func TestSettlingKeepsTheSealersIdentity(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, nil)
	p := mustOpenEpoch(t, l, "a", Replayable)
	s := Seal{Successor: "s2", Reason: TakeOver}
	require.NoError(t, seal(l, p.ID, 1, s))
	original := l.Identity()
	require.NoError(t, l.Close())

	l = mustOpen(t, copyLedger(t, path), nil)
	require.NotEqual(t, original, l.Identity())
	require.NoError(t, seal(l, p.ID, 1, s), "R2 repeated")
	p, err := settle(l, p.ID, 1, Settlement{})
	require.NoError(t, err)
	require.Equal(t, original, p.Owner)
	stored, _, err := l.Partition(p.Key)
	require.NoError(t, err)
	require.Equal(t, original, stored.Owner)
}

// Schemas outlive their first use, so that a replayed intent can be encoded.
func TestSchemas(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, nil)
	var f Fingerprint
	for range 2 {
		require.NoError(t, wait(func(done func(error)) {
			l.PutSchema(descriptor, func(got Fingerprint, err error) { f = got; done(err) })
		}))
	}
	require.Equal(t, schema, f)
	refused(t, wait(func(done func(error)) {
		l.PutSchema(make([]byte, maxDescriptor+1), func(_ Fingerprint, err error) { done(err) })
	}), "longer")
	require.NoError(t, l.Close())
	l = mustOpen(t, path, nil)
	got, err := l.Schema(schema)
	require.NoError(t, err)
	require.Equal(t, descriptor, got)
	_, err = l.Schema(Fingerprint{1})
	require.ErrorContains(t, err, "not known")
}

// Partitions are told apart by table and name together, and listed in that order.
func TestPartitionsAreOrdered(t *testing.T) {
	l := mustOpen(t, newPath(t), nil)
	want := []Key{{"t", "a"}, {"t", "b"}, {"t", "é"}, {"ta", ""}, {"u", "a"}}
	want[3].Name = "1"
	for i := range want {
		k := want[len(want)-1-i]
		_, err := openEpoch(l, Opening{Key: k, Mode: Frozen, Stream: k.Table + "/" + k.Name, Schema: schema, Descriptor: descriptor})
		require.NoError(t, err)
	}
	all, err := l.Partitions()
	require.NoError(t, err)
	var got []Key
	for _, p := range all {
		got = append(got, p.Key)
	}
	require.Equal(t, want, got)
}

// A partition that is sealed as finished only ends: nothing is bound, settled or
// sealed otherwise, and a wrong count keeps it.
func TestFinishedOnlyEnds(t *testing.T) {
	l := mustOpen(t, newPath(t), nil)
	p := mustOpenEpoch(t, l, "a", Replayable)
	require.NoError(t, seal(l, p.ID, 1, Seal{Reason: Finished}))
	require.NoError(t, seal(l, p.ID, 1, Seal{Reason: Finished}), "repeated after a crash")
	refused(t, bind(l, p.ID, 1, batch(0, 0, 10)), "sealed")
	refused(t, seal(l, p.ID, 1, Seal{Reason: Aging, Successor: "streams/a/2"}), "another successor")
	_, err := settle(l, p.ID, 1, Settlement{})
	refused(t, err, "finished")
	refused(t, forget(l, p.ID, 1, 5), "final count")
	requireSound(t, l)
	require.NoError(t, forget(l, p.ID, 1, 0))
	mustOpenEpoch(t, l, "a", Replayable)
	requireSound(t, l)
}
