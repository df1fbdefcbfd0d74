package deadletter

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// waiting puts dead rows through a ledger, so that they wait in it.
func waiting(t *testing.T, led *ledger.Ledger, schema []byte, dead []ledger.Dead) ledger.Partition {
	t.Helper()
	step := func(f func(func(error))) {
		t.Helper()
		c := make(chan error, 1)
		f(func(err error) { c <- err })
		require.NoError(t, <-c)
	}
	var part ledger.Partition
	step(func(done func(error)) {
		led.OpenEpoch(ledger.Opening{
			Key: ledger.Key{Table: "projects/p/datasets/d/tables/t", Name: "a%0Ab"}, Mode: ledger.Replayable, Stream: "s",
			Schema: ledger.FingerprintOf(schema), Descriptor: schema,
		}, func(p ledger.Partition, err error) { part = p; done(err) })
	})
	in := ledger.Intent{Number: 1, Before: nil, After: []byte{7}, Dead: dead, Schema: ledger.FingerprintOf(schema)}
	step(func(done func(error)) { led.Bind(part.ID, part.Epoch, in, done) })
	step(func(done func(error)) { led.Acknowledge(part.ID, part.Epoch, 1, 0, done) })
	part, _, err := led.Partition(part.Key)
	require.NoError(t, err)
	require.Equal(t, int64(len(dead)), part.Dead)
	return part
}

// What is delivered must be enough to mend the row: its own bytes, whatever they are, where it was and why it was refused.
func TestRecord(t *testing.T) {
	led, err := ledger.Open(filepath.Join(t.TempDir(), "l"), nil)
	require.NoError(t, err)
	defer led.Close()
	ts, err := rows.ParseSchema([]byte(`[{"name": "n", "type": "INTEGER"}, {"name": "f", "type": "FLOAT"}]`))
	require.NoError(t, err)
	enc, err := rows.Compile(ts)
	require.NoError(t, err)
	schema, err := proto.MarshalOptions{Deterministic: true}.Marshal(enc.Descriptor())
	require.NoError(t, err)
	row, err := enc.Append(nil, []byte(`{"n": 7, "f": "NaN"}`))
	require.NoError(t, err)
	part := waiting(t, led, schema, []ledger.Dead{
		{Row: 0, Reason: "x", Content: []byte(`{"a": "<é>"}`)},
		{Row: 3, Service: true, Reason: "y", Content: []byte{'a', 0xff}},
		{Row: 4, Service: true, Reason: "z", Content: row, Schema: ledger.FingerprintOf(schema)},
		{Row: 5, Service: true, Reason: "z", Content: []byte{0xff}, Schema: ledger.FingerprintOf(schema)},
		{Row: 6, Reason: "empty"},
	})
	letters, err := led.Letters(part.ID, 0, 1<<20)
	require.NoError(t, err)
	var got []Record
	for i := range letters {
		r, err := NewRecord(led, &part, &letters[i])
		require.NoError(t, err)
		require.Regexp(t, `^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`, r.RefusedAt)
		require.Equal(t, led.ID(), r.Ledger)
		require.Equal(t, int64(i+1), r.Number)
		text, err := r.appendJSON(nil)
		require.NoError(t, err)
		var back Record
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, r, back)
		got = append(got, r)
	}
	require.Equal(t, `{"a": "<é>"}`, *got[0].Record)
	require.Nil(t, got[0].Bytes)
	require.Equal(t, Record{
		Ledger: led.ID(), PartitionID: part.ID, Number: 2, Table: "p.d.t", PartitionName: "a\nb", Before: "start", After: "0x07",
		Row: 3, RefusedBy: "service", Reason: "y", RefusedAt: got[1].RefusedAt, Bytes: []byte{'a', 0xff},
	}, got[1])
	require.Equal(t, `{"n":"7","f":"NaN"}`, *got[2].Record)
	require.Equal(t, row, got[2].Bytes)
	require.Len(t, got[2].Schema, 32)
	require.Nil(t, got[3].Record, "what can't be decoded is given as it is")
	require.Equal(t, []byte{0xff}, got[3].Bytes)
	require.Empty(t, *got[4].Record)
	require.Equal(t, "encoder", got[4].RefusedBy)
}

// A destination that fails must leave the letters in the ledger; one that has them must have them forgotten.
func TestDelivery(t *testing.T) {
	dir := t.TempDir()
	led, err := ledger.Open(filepath.Join(dir, "l"), nil)
	require.NoError(t, err)
	defer led.Close()
	large := make([]byte, chunk)
	for i := range large {
		large[i] = 'x'
	}
	waiting(t, led, []byte("schema"), []ledger.Dead{{Row: 0, Content: large}, {Row: 1, Content: large}, {Row: 2}})
	f, err := OpenFile(filepath.Join(dir, "dead"), led.ID())
	require.NoError(t, err)
	require.NoError(t, f.f.Close()) // it fails
	require.ErrorContains(t, New(led, f).All(context.Background()), "they stay in the ledger until that has succeeded")
	n, err := Waiting(led)
	require.NoError(t, err)
	require.Equal(t, int64(3), n)

	f, err = OpenFile(filepath.Join(dir, "dead"), led.ID())
	require.NoError(t, err)
	var steps []Step
	d := New(led, f)
	f.Done = func(s Step) { steps = append(steps, s) }
	d.Done = f.Done
	require.NoError(t, d.All(context.Background()))
	require.NoError(t, d.All(context.Background()))
	require.Equal(t, int64(3), d.Delivered())
	require.Equal(t, []Step{D1, D2, D3, D4, D1, D2, D3, D4, D1, D2, D3, D4}, steps, "a chunk at a time")
	n, err = Waiting(led)
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, f.Close())
	require.Len(t, read(t, filepath.Join(dir, "dead")), 3)
	found, err := led.Check()
	require.NoError(t, err)
	require.Empty(t, found)
}
