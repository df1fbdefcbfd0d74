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
	part, without, row := mem.SliceBuffer(nil), in.Without, int64(0)
	err := walk(b, in.From+in.Rows, func(i int64, field []byte) (left int64) {
		switch {
		case len(without) > 0 && without[0] == i:
			without = without[1:]
		case row < in.From:
			row++
		default:
			part = append(part, field...)
			row++
		}
		return in.From + in.Rows - row
	})
	return part, err
}

// rowsAt returns the serialized rows of a block with these indices.
func rowsAt(b block, rows []int64) ([][]byte, error) {
	at := make(map[int64]int, len(rows))
	for i, row := range rows {
		at[row] = i
	}
	found := make([][]byte, len(rows))
	err := walk(b, int64(len(at)), func(i int64, field []byte) (left int64) {
		if k, wanted := at[i]; wanted {
			row, _ := protowire.ConsumeBytes(field[1:]) // behind its tag
			found[k] = bytes.Clone(row)
			delete(at, i)
		}
		return int64(len(at))
	})
	return found, err
}

// walk calls visit for each row of a block, behind its tag and length, as long as visit
// says that some are left to be found. left is how many are at first.
func walk(b block, left int64, visit func(i int64, field []byte) (left int64)) error {
	data := b.ReadOnlyData()
	for i := int64(0); left > 0; i++ {
		_, _, length := protowire.ConsumeField(data)
		if length < 0 {
			return fmt.Errorf("row %d of the batch: %w", i, protowire.ParseError(length))
		}
		left = visit(i, data[:length])
		data = data[length:]
	}
	return nil
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
