package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
)

// bbolt maps the file and believes what it finds there: a damaged page makes it
// panic, also in goroutines of its own, and a truncated file kills the process.
// checkPages therefore reads every page that bbolt would follow, through ordinary
// reads, before bbolt gets the file. It knows bbolt's file version 2: see page.go,
// meta.go and bucket.go in its internal/common.

const (
	pageHeader    = 16 // id 8, flags 2, count 2, overflow 4
	pageElement   = 16
	bucketHeader  = 16 // root 8, sequence 8
	branchFlag    = 0x01
	leafFlag      = 0x02
	bucketFlag    = 0x01 // of a leaf element
	boltMagic     = 0xED0CDAED
	boltVersion   = 2
	metaSum       = 56 // offset of the checksum in a meta
	noFreelist    = ^uint64(0)
	maxTreeDepth  = 32
	maxPageBytes  = 1 << 24
	smallestPage  = 1024
	largestMetaAt = 1024 << 14 // where bbolt looks for the second meta page last
)

var order = binary.NativeEndian // bbolt's files are as the machine is

// boltMeta is what counts of a meta page.
type boltMeta struct {
	pageSize, root, freelist, high, tx uint64
}

type pageChecker struct {
	file     io.ReaderAt
	pageSize uint64
	high     uint64 // pages below it exist
	seen     []uint64
}

// checkPages returns an error that wraps ErrCorrupt when bbolt must not be given
// the file, and otherwise how many of its bytes are in use.
func checkPages(file io.ReaderAt, size int64) (used int64, err error) {
	m, err := newestMeta(file, size)
	if err != nil {
		return 0, err
	}
	switch {
	case m.freelist != noFreelist:
		return 0, damaged("it was not written by this program")
	case uint64(size)%m.pageSize != 0:
		return 0, damaged("its %d bytes are no multiple of its page size %d", size, m.pageSize)
	case m.high < 4 || m.high > uint64(size)/m.pageSize:
		return 0, damaged("it has %d pages, but room for %d: it was truncated", m.high, uint64(size)/m.pageSize)
	}
	c := &pageChecker{file: file, pageSize: m.pageSize, high: m.high, seen: make([]uint64, m.high/64+1)}
	if err := c.tree(m.root, nil, nil, true, 0); err != nil {
		return 0, err
	}
	pages := 2 // the metas
	for _, word := range c.seen {
		pages += bits.OnesCount64(word)
	}
	return int64(pages) * int64(m.pageSize), nil
}

func damaged(text string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(text, args...))
}

// newestMeta chooses between the two meta pages as bbolt does, which looks at nothing but their checksums: one that is
// whole and can't be used makes the file unusable.
func newestMeta(file io.ReaderAt, size int64) (boltMeta, error) {
	first, whole := readMeta(file, 0)
	if whole {
		if !first.usable() {
			return first, damaged("its first page says that pages have %d bytes", first.pageSize)
		}
		second, whole := readMeta(file, int64(first.pageSize))
		switch {
		case !whole || second.tx <= first.tx:
			return first, nil
		case second.pageSize != first.pageSize:
			return second, damaged("its first two pages say that pages have %d and %d bytes", first.pageSize, second.pageSize)
		}
		return second, nil
	}
	for at := int64(smallestPage); at <= largestMetaAt && at < size; at *= 2 {
		second, whole := readMeta(file, at)
		switch {
		case !whole:
		case second.pageSize != uint64(at) || !second.usable():
			return second, damaged("its second page is at %d and says that pages have %d bytes", at, second.pageSize)
		default:
			return second, nil
		}
	}
	return boltMeta{}, damaged("neither of its first two pages is whole")
}

// readMeta reads a meta page and says whether its checksum is right.
func readMeta(file io.ReaderAt, at int64) (m boltMeta, whole bool) {
	var page [pageHeader + metaSum + 8]byte
	if _, err := file.ReadAt(page[:], at); err != nil {
		return m, false
	}
	b := page[pageHeader:]
	sum := fnv.New64a()
	sum.Write(b[:metaSum])
	if order.Uint32(b) != boltMagic || order.Uint32(b[4:]) != boltVersion || order.Uint64(b[metaSum:]) != sum.Sum64() {
		return m, false
	}
	return boltMeta{
		pageSize: uint64(order.Uint32(b[8:])), root: order.Uint64(b[16:]),
		freelist: order.Uint64(b[32:]), high: order.Uint64(b[40:]), tx: order.Uint64(b[48:]),
	}, true
}

// usable says that the page size is one that bbolt can work with.
func (m boltMeta) usable() bool {
	return m.pageSize >= smallestPage && m.pageSize <= maxPageBytes && m.pageSize&(m.pageSize-1) == 0
}

// read returns a page with its overflow.
func (c *pageChecker) read(id uint64) ([]byte, error) {
	if id < 2 || id >= c.high {
		return nil, damaged("page %d of %d is referred to", id, c.high)
	}
	header := make([]byte, c.pageSize)
	if _, err := c.file.ReadAt(header, int64(id*c.pageSize)); err != nil {
		return nil, c.unread(id, err)
	}
	pages := 1 + uint64(order.Uint32(header[12:]))
	if order.Uint64(header) != id || pages > c.high-id {
		return nil, damaged("page %d has a wrong header", id)
	}
	for i := id; i < id+pages; i++ {
		if c.seen[i/64]&(1<<(i%64)) != 0 {
			return nil, damaged("page %d is referred to twice", i)
		}
		c.seen[i/64] |= 1 << (i % 64)
	}
	if pages == 1 {
		return header, nil
	}
	b := make([]byte, pages*c.pageSize)
	if _, err := c.file.ReadAt(b, int64(id*c.pageSize)); err != nil {
		return nil, c.unread(id, err)
	}
	return b, nil
}

func (c *pageChecker) unread(id uint64, err error) error {
	if errors.Is(err, io.EOF) {
		return damaged("page %d is missing", id)
	}
	return fmt.Errorf("read page %d: %w", id, err)
}

// tree checks the pages below id. Their keys are at least low and below high; nil
// is no bound. Elements of the root tree are buckets, all others are records.
func (c *pageChecker) tree(id uint64, low, high []byte, root bool, depth int) error {
	if depth > maxTreeDepth {
		return damaged("page %d is nested too deep", id)
	}
	b, err := c.read(id)
	if err != nil {
		return err
	}
	switch order.Uint16(b[8:]) {
	case leafFlag:
		return c.leaf(b, id, low, high, root, depth)
	case branchFlag:
		return c.branch(b, id, low, high, root, depth)
	}
	return damaged("page %d is neither branch nor leaf", id)
}

func (c *pageChecker) branch(b []byte, id uint64, low, high []byte, root bool, depth int) error {
	n := uint64(order.Uint16(b[10:]))
	if n == 0 {
		return damaged("branch page %d is empty", id)
	}
	keys := make([][]byte, n)
	for i := range n {
		at := pageHeader + i*pageElement
		if at+pageElement > uint64(len(b)) {
			return damaged("page %d has too many elements", id)
		}
		e := b[at:]
		key, ok := cut(b, at+uint64(order.Uint32(e)), uint64(order.Uint32(e[4:])), pageHeader+n*pageElement)
		if !ok || !ordered(low, key, high, i > 0) {
			return damaged("key %d of page %d is out of place", i, id)
		}
		keys[i], low = key, key
	}
	for i := range n {
		end := high
		if i+1 < n {
			end = keys[i+1]
		}
		if err := c.tree(order.Uint64(b[pageHeader+i*pageElement+8:]), keys[i], end, root, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *pageChecker) leaf(b []byte, id uint64, low, high []byte, root bool, depth int) error {
	n := uint64(order.Uint16(b[10:]))
	for i := range n {
		at := pageHeader + i*pageElement
		if at+pageElement > uint64(len(b)) {
			return damaged("page %d has too many elements", id)
		}
		e := b[at:]
		keyAt, keySize := at+uint64(order.Uint32(e[4:])), uint64(order.Uint32(e[8:]))
		key, ok := cut(b, keyAt, keySize, pageHeader+n*pageElement)
		if !ok || !ordered(low, key, high, i > 0) {
			return damaged("key %d of page %d is out of place", i, id)
		}
		low = key
		value, ok := cut(b, keyAt+keySize, uint64(order.Uint32(e[12:])), 0)
		if !ok {
			return damaged("value %d of page %d is not inside it", i, id)
		}
		if isBucket := order.Uint32(e) == bucketFlag; isBucket != root || (!root && order.Uint32(e) != 0) {
			return damaged("element %d of page %d has wrong flags", i, id)
		}
		if root {
			if err := c.bucket(value, id, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// bucket checks a bucket, which has a tree of its own or, when small, its one leaf
// inside the value.
func (c *pageChecker) bucket(value []byte, id uint64, depth int) error {
	if len(value) < bucketHeader {
		return damaged("a bucket in page %d is too short", id)
	}
	if root := order.Uint64(value); root != 0 {
		return c.tree(root, nil, nil, false, depth+1)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || order.Uint16(inline[8:]) != leafFlag {
		return damaged("a bucket in page %d is no leaf", id)
	}
	return c.leaf(inline, id, nil, nil, false, depth+1)
}

// cut returns b[at:at+n] when that is inside b and not below floor.
func cut(b []byte, at, n, floor uint64) ([]byte, bool) {
	if at < floor || at > uint64(len(b)) || n > uint64(len(b))-at {
		return nil, false
	}
	return b[at : at+n], true
}

// ordered says whether key is at least low, or above it, and below high.
func ordered(low, key, high []byte, above bool) bool {
	if low != nil {
		if c := bytes.Compare(low, key); c > 0 || (above && c == 0) {
			return false
		}
	}
	return high == nil || bytes.Compare(key, high) < 0
}
