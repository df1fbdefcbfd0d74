package committed

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"

	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// A block is a batch's rows as they stand in an append request: the body of a
// ProtoRows message, each row behind its tag and length. It is made once, when the
// batch is accepted (B1); the digest, the ledger's segment and every append of the
// batch use the same bytes. gRPC holds references of its own to them, so that a
// block's memory isn't used again while an older connection still sends it.
type block = mem.Buffer

// fieldSerialized is the number of ProtoRows.serialized_rows.
const fieldSerialized = 1

// blockSize returns the size of the rows' block.
func blockSize(rows [][]byte) int64 {
	var n int64
	for _, row := range rows {
		n += 1 + int64(protowire.SizeBytes(len(row)))
	}
	return n
}

// newBlock copies rows into a block of the size that blockSize returned. Its maker
// holds one reference, to be given up with Free.
func newBlock(rows [][]byte, size int64) block {
	b := blocks.Get(int(size))
	data, at := *b, 0
	for _, row := range rows {
		data[at] = fieldSerialized<<3 | byte(protowire.BytesType)
		at++
		at += binary.PutUvarint(data[at:], uint64(len(row)))
		at += copy(data[at:], row)
	}
	return mem.NewBuffer(b, blocks)
}

// divide returns an intent's rows of the block of its whole batch, in memory of its own.
func divide(b block, in ledger.Intent) (block, error) {
	data, part := b.ReadOnlyData(), mem.SliceBuffer(nil)
	without := in.Without
	for row, i := int64(0), int64(0); row < in.From+in.Rows; i++ {
		_, _, length := protowire.ConsumeField(data)
		if length < 0 {
			return nil, fmt.Errorf("row %d of the batch: %w", i, protowire.ParseError(length))
		}
		switch {
		case len(without) > 0 && without[0] == i:
			without = without[1:]
			row--
		case row >= in.From:
			part = append(part, data[:length]...)
		}
		data = data[length:]
		row++
	}
	return part, nil
}

// rowsAt returns the serialized rows of a block with these indices.
func rowsAt(b block, rows []int64) ([][]byte, error) {
	at := make(map[int64]int, len(rows))
	for i, row := range rows {
		at[row] = i
	}
	found := make([][]byte, len(rows))
	data := b.ReadOnlyData()
	for i, left := int64(0), len(rows); left > 0; i++ {
		_, _, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil, fmt.Errorf("row %d of the batch: %w", i, protowire.ParseError(n))
		}
		row, length := protowire.ConsumeBytes(data[n:])
		if length < 0 {
			return nil, fmt.Errorf("row %d of the batch: %w", i, protowire.ParseError(length))
		}
		if k, wanted := at[i]; wanted {
			found[k] = bytes.Clone(row)
			left--
		}
		data = data[n+length:]
	}
	return found, nil
}

// blockPool keeps the memory of blocks, in classes of 1, 1.5, 2, 3, 4, 6 … times
// 4 KiB up to the largest request. Unlike gRPC's pools it doesn't zero what it hands
// out, and it keeps sizes over 1 MiB.
type blockPool struct{ classes [32]sync.Pool }

const smallestBlock = 12 // bits: 4 KiB

var blocks = &blockPool{}

// classOf returns the smallest class that holds n bytes, and its size.
func classOf(n int) (class, size int) {
	k := max(smallestBlock, bits.Len(uint(max(n, 1)-1))) // n <= 1<<k
	if half := 3 << (k - 2); k > smallestBlock && n <= half {
		return 2*(k-smallestBlock) - 1, half
	}
	return 2 * (k - smallestBlock), 1 << k
}

// Get implements mem.BufferPool.
func (p *blockPool) Get(n int) *[]byte {
	class, size := classOf(n)
	if class >= len(p.classes) {
		b := make([]byte, n)
		return &b
	}
	if b, ok := p.classes[class].Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, size)
	return &b
}

// Put implements mem.BufferPool.
func (p *blockPool) Put(b *[]byte) {
	if class, size := classOf(cap(*b)); class < len(p.classes) && size == cap(*b) {
		p.classes[class].Put(b)
	}
}
