package committed_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// dirty is a replayable source of numbered lines. Its encoder refuses some, the service
// refuses others: those whose row has no id.
type dirty struct {
	version   uint32 // of its encoder; each gives other bytes
	originals bool   // it gives the lines for dead letters
	valid     bool   // the service refuses none
}

func line(i int64) []byte { return fmt.Appendf(nil, "line %d", i) }

func (s dirty) refusedByEncoder(i int64) bool { return i%11 == 4 || i >= 40 && i < 50 }
func (s dirty) refusedByService(i int64) bool { return !s.valid && (i%13 == 5 || i >= 70 && i < 80) }
func (s dirty) dead(i int64) bool             { return s.refusedByEncoder(i) || s.refusedByService(i) }

// noteRow is a row with a text and without an id.
func noteRow(text []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), text)
}

func (s dirty) row(i int64) []byte {
	if s.refusedByService(i) {
		return noteRow(line(i))
	}
	return append(row(i), noteRow(fmt.Appendf(nil, "version %d", s.version))...)
}

func (s dirty) read(from, to int64) (b committed.Batch, originals [][]byte) {
	var content [][]byte
	for i := from; i < to; i++ {
		content = append(content, line(i))
		if s.refusedByEncoder(i) {
			b.Dead = append(b.Dead, ledger.Dead{Row: i - from, Reason: "odd", Content: line(i)})
			continue
		}
		b.Rows, originals = append(b.Rows, s.row(i)), append(originals, line(i))
	}
	b.After, b.Position, b.Digest = position(from), position(to), ledger.DigestOf(content)
	return b, originals
}

func (s dirty) replay(_ context.Context, r committed.Range) (committed.Replayed, error) {
	b, originals := s.read(at(r.Before), at(r.After))
	got := committed.Replayed{Rows: b.Rows, Digest: b.Digest, Dead: b.Dead}
	if s.originals {
		got.Originals = originals
	}
	return got, nil
}

func (s dirty) config(b *bench, frozen bool, most int64) committed.PartitionConfig {
	schema, err := committed.NewSchema(table, wideSchema(), nil)
	require.NoError(b.t, err)
	cfg := committed.PartitionConfig{Table: table, Name: "a", Schema: schema, Encoder: s.version, MaxDead: most}
	if !frozen {
		cfg.Replay = s.replay
	}
	return cfg
}

func (s dirty) append(b *bench, p *committed.Partition, from, to int64) []*committed.Result {
	b.t.Helper()
	var results []*committed.Result
	for i := from; i < to; i += 10 {
		batch, _ := s.read(i, i+10)
		r, err := p.Append(b.ctx(), batch)
		require.NoError(b.t, err)
		results = append(results, r)
	}
	return results
}

// requireAll checks that of the lines [0, n) each is once in the table, or once a letter.
func (s dirty) requireAll(b *bench, p *committed.Partition, n int64) []ledger.Letter {
	b.t.Helper()
	var live, dead []int64
	for i := range n {
		if s.dead(i) {
			dead = append(dead, i)
		} else {
			live = append(live, i)
		}
	}
	require.Equal(b.t, live, b.ids())
	part, _, err := b.led.Partition(p.Key())
	require.NoError(b.t, err)
	require.EqualValues(b.t, len(dead), part.Dead)
	require.EqualValues(b.t, len(live), part.Rows)
	require.EqualValues(b.t, n, at(part.Position))
	letters, err := b.led.Letters(part.ID, 0, 1<<30)
	require.NoError(b.t, err)
	require.Len(b.t, letters, len(dead))
	for i, l := range letters {
		require.EqualValues(b.t, i+1, l.Number)
		require.Equal(b.t, dead[i], at(l.Before)+l.Row, "letter %d", l.Number)
		require.Equal(b.t, !s.refusedByEncoder(dead[i]), l.Service)
	}
	b.requireSound()
	return letters
}

func newDirtyBench(t *testing.T, opt committed.Options, emu emulator.Options) *bench {
	emu.Tables = map[string]*storagepb.TableSchema{table: wideSchema()}
	return newBench(t, opt, emu)
}

// If it fails, a refused row is lost, lands all the same, takes others with it, or its
// dead letter says something else than what it was.
func TestRefusedRowsBecomeLetters(t *testing.T) {
	for name, c := range map[string]struct{ frozen, originals, rowsFirst, abort bool }{
		"replayable": {originals: true}, "without originals": {}, "frozen": {frozen: true},
		"rows looked at before offsets": {frozen: true, rowsFirst: true},
		// A probe on the connection of the refused rows would be aborted again and again (case 24).
		"aborted for a failure before": {frozen: true, abort: true},
	} {
		t.Run(name, func(t *testing.T) {
			emu := emulator.Options{RowsFirst: c.rowsFirst, AbortFollowers: c.abort}
			if !c.abort {
				emu.Faults = []emulator.Fault{{Kind: emulator.CloseAfter, Every: 7}}
			}
			b := newDirtyBench(t, committed.Options{}, emu)
			s := dirty{version: 1, originals: c.originals}
			p, err := b.w.Partition(b.ctx(), s.config(b, c.frozen, 1000))
			require.NoError(t, err)
			acks := b.requireLanded(s.append(b, p, 0, 200))
			require.Zero(t, acks[4].Rows)
			require.Equal(t, 10, acks[4].Dead)
			require.Zero(t, acks[7].Rows, "the service refused all that the encoder had left")
			for _, l := range s.requireAll(b, p, 200) {
				i := at(l.Before) + l.Row
				if !l.Service {
					require.Equal(t, "odd", l.Reason)
					require.Equal(t, line(i), l.Content)
					continue
				}
				require.Contains(t, l.Reason, "cannot be empty")
				if c.originals {
					require.Equal(t, line(i), l.Content)
					require.Zero(t, l.Schema)
				} else {
					require.Equal(t, noteRow(line(i)), l.Content)
					require.Equal(t, s.config(b, c.frozen, 0).Schema.Fingerprint(), l.Schema)
				}
			}
			seals := b.take().seals
			require.NotEmpty(t, seals)
			for _, seal := range seals {
				require.Equal(t, ledger.RowErrors, seal.Reason)
			}
			if c.rowsFirst {
				require.Less(t, len(seals), 10, "one rotation serves all that were in flight")
			}
		})
	}
}

// If it fails, letters that nobody has fetched go with their partition.
func TestRetireWaitsForLetters(t *testing.T) {
	b := newDirtyBench(t, committed.Options{}, emulator.Options{})
	s := dirty{version: 1}
	p, err := b.w.Partition(b.ctx(), s.config(b, false, 1000))
	require.NoError(t, err)
	b.requireLanded(s.append(b, p, 0, 10))
	require.ErrorIs(t, p.Retire(b.ctx()), committed.ErrUndelivered)
	b.requireLanded(s.append(b, p, 10, 20))
	s.requireAll(b, p, 20)
	part, _, err := b.led.Partition(p.Key())
	require.NoError(t, err)
	done := make(chan error, 1)
	b.led.Deliver(part.ID, part.Dead, func(err error) { done <- err })
	require.NoError(t, <-done)
	require.NoError(t, p.Retire(b.ctx()))
	_, _, err = b.led.Partition(p.Key())
	require.ErrorIs(t, err, ledger.ErrNoPartition)
}

// If it fails, a wrong schema turns a whole source into dead letters, or what stops it
// costs rows.
func TestTooManyDeadLetters(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		b := newDirtyBench(t, committed.Options{}, emulator.Options{})
		s := dirty{version: 1}
		p, err := b.w.Partition(b.ctx(), s.config(b, frozen, 1))
		require.NoError(t, err)
		bad, _ := s.read(0, 10) // one refused by the encoder, one by the service
		r, err := p.Append(b.ctx(), bad)
		require.NoError(t, err)
		e := b.requireStopped(p, committed.ErrRefused)
		require.ErrorContains(t, e, "(1 refused)")
		_, err = r.Wait(b.ctx())
		require.ErrorIs(t, err, committed.ErrRefused)
		require.Empty(t, b.ids())
		b.reopen()
		p, err = b.w.Partition(b.ctx(), s.config(b, frozen, 2))
		require.NoError(t, err)
		require.NoError(t, p.Drain(b.ctx()))
		s.requireAll(b, p, 10)
		next, _ := s.read(10, 20)
		_, err = p.Append(b.ctx(), next)
		require.ErrorIs(t, err, committed.ErrTooManyDead)
		require.NoError(t, p.Err(), "nothing was bound")
		s.requireAll(b, p, 10)
	}
}

// If it fails, the ledger refuses what Append has accepted: the partition stops for nothing.
func TestDeadRowsAreChecked(t *testing.T) {
	b := newDirtyBench(t, committed.Options{}, emulator.Options{})
	p, err := b.w.Partition(b.ctx(), dirty{}.config(b, true, 1000))
	require.NoError(t, err)
	for want, dead := range map[error][]ledger.Dead{
		committed.ErrEmpty:      nil,
		committed.ErrOutOfOrder: {{Row: 3}, {Row: 3}},
		committed.ErrTooLarge:   {{Reason: strings.Repeat("x", 5000)}},
	} {
		_, err = p.Append(b.ctx(), committed.Batch{Dead: dead})
		require.ErrorIs(t, err, want)
	}
	_, err = p.Append(b.ctx(), committed.Batch{Dead: []ledger.Dead{{Row: 1, Content: make([]byte, 33<<20)}}})
	require.ErrorIs(t, err, committed.ErrTooLarge)
	r, err := p.Append(b.ctx(), committed.Batch{Dead: []ledger.Dead{{Row: 1, Content: make([]byte, 2<<20)}}})
	require.NoError(t, err)
	b.requireLanded([]*committed.Result{r})
	require.NoError(t, p.Err())
}

// If it fails, a newer encoder's bytes go to offsets that may hold the older one's, or
// rows that have landed are encoded and sent once more.
func TestEncoderIsUpgraded(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		b := newDirtyBench(t, committed.Options{Backoff: slow()}, emulator.Options{Faults: []emulator.Fault{{Kind: emulator.CloseAfter, After: 4}}})
		old, upgraded := dirty{version: 1, valid: true}, dirty{version: 2, valid: true}
		p, err := b.w.Partition(b.ctx(), old.config(b, frozen, 1000))
		require.NoError(t, err)
		results := old.append(b, p, 0, 90)
		require.NoError(t, results[8].Stored(b.ctx()))
		b.requireLanded(results[:3])
		b.close()
		b.srv.ClearFaults()
		b.opt.Backoff.Initial, b.opt.Backoff.Max = 1e6, 1e6
		b.open()
		b.take()
		landed := len(b.ids())
		p, err = b.w.Partition(b.ctx(), upgraded.config(b, frozen, 1000))
		require.NoError(t, err)
		require.NoError(t, p.Drain(b.ctx()))
		upgraded.requireAll(b, p, 90)
		for i, r := range b.srv.Rows(table) {
			version := "version 2"
			if i < landed || frozen {
				version = "version 1"
			}
			require.Contains(t, string(r.Data), version, "row %d of %d", i, landed)
		}
		if seals := b.take().seals; !frozen {
			require.Equal(t, ledger.Encoding, seals[0].Reason)
		}
		b.requireSound()
	}
}
