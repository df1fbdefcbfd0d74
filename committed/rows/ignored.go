package rows

import "sync"

// Bounds on what rows can make an Encoder remember.
const (
	maxIgnoredNames = 1000
	maxIgnoredName  = 128 // bytes, the path included
)

// ignored counts the fields that were skipped. Safe for concurrent use.
type ignored struct {
	mu     sync.Mutex
	counts map[string]*int64 // by column; guarded by mu, and so is what they point to
	others int64             // those with no place in counts; guarded by mu
}

// add counts n for the field name in the record at path, which is empty or ends with a dot.
func (c *ignored) add(path string, name []byte, n int64) {
	var buf [maxIgnoredName]byte
	key := append(append(buf[:0], path...), name...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.counts[string(key)]; known != nil {
		*known += n
		return
	}
	if len(c.counts) >= maxIgnoredNames || len(key) > maxIgnoredName {
		c.others += n
		return
	}
	if c.counts == nil {
		c.counts = make(map[string]*int64)
	}
	first := n // not n itself: that would be on the heap each time
	c.counts[string(key)] = &first
}

// Ignored returns how many fields of the rows that Append returned it has left out, by column: the
// path without indices. others counts those whose names came after the first 1000 or are longer than
// 128 bytes. Both are empty without IgnoreUnknownFields. While Append runs elsewhere, the fields of a
// row that it is about to refuse may be among them.
func (e *Encoder) Ignored() (byColumn map[string]int64, others int64) {
	e.ignored.mu.Lock()
	defer e.ignored.mu.Unlock()
	byColumn = make(map[string]int64, len(e.ignored.counts))
	for name, n := range e.ignored.counts {
		if *n > 0 {
			byColumn[name] = *n
		}
	}
	return byColumn, e.ignored.others
}
