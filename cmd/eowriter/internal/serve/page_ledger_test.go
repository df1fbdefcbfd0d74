package serve

import (
	"fmt"
	"sync"
	"testing"

	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

// past is a ledger with a past, to be looked at: its streams are not at the service.
type past struct {
	t   testing.TB
	led *ledger.Ledger
}

// writePast makes a ledger.
func writePast(t testing.TB, path string, write func(past)) {
	led, err := ledger.Open(path, nil)
	require.NoError(t, err)
	write(past{t, led})
	require.NoError(t, led.Close())
}

// wait waits for a write.
func (p past) wait(write func(done func(error))) {
	p.t.Helper()
	c := make(chan error, 1)
	write(func(err error) { c <- err })
	require.NoError(p.t, <-c)
}

var descriptor = []byte("a descriptor")

func (p past) opening(name, table string) ledger.Opening {
	return ledger.Opening{
		Key: ledger.Key{Table: table, Name: name}, Mode: ledger.Frozen, Stream: fmt.Sprintf("%s/streams/Cg-%x-0", table, name),
		Schema: ledger.FingerprintOf(descriptor), Descriptor: descriptor, Encoder: 1,
	}
}

// idle makes n partitions at once, in some tables.
func (p past) idle(n int) {
	var all sync.WaitGroup
	for i := range n {
		all.Add(1)
		table := testTable
		if i%3 > 0 {
			table = fmt.Sprintf("projects/p/datasets/d/tables/events_%d", i%3)
		}
		p.led.OpenEpoch(p.opening(fmt.Sprintf("orders-%04d", i), table), func(_ ledger.Partition, err error) {
			require.NoError(p.t, err)
			all.Done()
		})
	}
	all.Wait()
}

// one makes a partition that has had as many streams as there are reasons, one more, and open batches on the last.
func (p past) one(name string, open int, reasons ...ledger.Reason) ledger.Partition {
	var part ledger.Partition
	p.wait(func(done func(error)) {
		p.led.OpenEpoch(p.opening(name, testTable), func(made ledger.Partition, err error) { part = made; done(err) })
	})
	for n, reason := range reasons {
		rows := p.bind(part, 1, 0, int64(n))
		s := ledger.Seal{Successor: fmt.Sprintf("%s/streams/Cg-%x-%d", testTable, name, n+1), Reason: reason}
		p.wait(func(done func(error)) { p.led.Seal(part.ID, part.Epoch, s, done) })
		p.wait(func(done func(error)) {
			p.led.Settle(part.ID, part.Epoch, ledger.Settlement{Rows: rows}, func(made ledger.Partition, err error) { part = made; done(err) })
		})
	}
	p.bind(part, open, 0, int64(len(reasons)))
	return part
}

// bind opens n batches of ten rows, with positions that go on from the batches before, and returns where they end.
func (p past) bind(part ledger.Partition, n int, start, before int64) int64 {
	at := func(i int64) []byte {
		if i == 0 {
			return nil
		}
		return fmt.Appendf(nil, "file-7:%06d", i*1000)
	}
	for i := range int64(n) {
		content := fmt.Appendf(nil, "%s %d %d", part.Key.Name, part.Epoch, i)
		payload, err := p.led.Freeze(content, 10)
		require.NoError(p.t, err)
		in := ledger.Intent{
			Number: uint64(start + i + 1), Start: start + i*10, Rows: 10, Of: 10, Bytes: 2345, Digest: ledger.DigestOf([][]byte{content}),
			Before: at(before + i), After: at(before + i + 1), Schema: part.Schema, Encoder: 1, Payload: payload,
		}
		p.wait(func(done func(error)) { p.led.Bind(part.ID, part.Epoch, in, done) })
	}
	return start + 10*int64(n)
}

// halt halts a partition.
func (p past) halt(part ledger.Partition, cause ledger.HaltCause, detail string) {
	p.wait(func(done func(error)) {
		p.led.Halt(part.ID, part.Epoch, ledger.Halt{Cause: cause, Detail: detail}, done)
	})
}

// evil is a text that must do nothing to a page, other than being shown.
const evil = `<img src=x onerror=alert(1)>"'&amp;</script>`

// troubled makes a partition of each kind that needs a person, and one with many streams.
func (p past) troubled() {
	p.halt(p.one("payments-7", 3), ledger.InDoubt, "stream Cg-7 is gone (NOT_FOUND) with 3 open batches")
	p.halt(p.one("clicks-12", 2), ledger.Conflict, evil+" \x1b[31m the stream ends at 30, the ledger knows 0, 10, 20")
	p.halt(p.one("clicks-13", 0), ledger.Fenced, "STREAM_FINALIZED without our seal")
	p.one("returns-1", 0, ledger.RowErrors, ledger.TakeOver, ledger.Aging, ledger.TooLarge, ledger.Lagging)
}
