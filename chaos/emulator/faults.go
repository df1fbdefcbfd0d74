package emulator

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// faults decides which faults fire. Counting faults count the requests that match them; those by chance draw from
// (seed, table, the stream's ordinal in it, the request's ordinal on the stream), so that one stream's history is the
// same in each run, whatever the other streams do.
type faults struct {
	seed  uint64
	armed atomic.Bool // there is at least one; lets the hot path pass without the lock

	mu    sync.Mutex // guards what follows; a leaf
	list  []*armedFault
	fired map[string]int64
}

type armedFault struct {
	Fault
	rule    kindRule
	matched int64
	count   int64
}

// occasion is what a fault may fire on.
type occasion struct {
	table, stream string
	streamOrdinal int64
	request       int64 // ordinal on the stream, or of the call
	onConnection  int64 // requests on the connection so far, this one included
}

func newFaults(seed uint64) *faults { return &faults{seed: seed, fired: map[string]int64{}} }

func (fs *faults) add(f Fault) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	a := &armedFault{Fault: f, rule: f.rule()}
	if a.Every == 0 {
		a.Every = max(a.rule.every, 1)
	}
	fs.list = append(fs.list, a)
	fs.armed.Store(true)
}

func (fs *faults) clear() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = nil
	fs.armed.Store(false)
}

func (fs *faults) counts() map[string]int64 {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	counts := make(map[string]int64, len(fs.fired))
	for kind, n := range fs.fired {
		counts[kind] = n
	}
	return counts
}

// fire returns the faults that fire: any that let the request go on, and at most one, the last, that doesn't. A
// fault behind that one doesn't count the request.
func (fs *faults) fire(at point, on occasion) (fired []Fault) {
	if !fs.armed.Load() {
		return nil
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i, a := range fs.list {
		if a.rule.at != at || !a.fires(fs.seed, uint64(i), on) {
			continue
		}
		a.count++
		fs.fired[string(a.Kind)]++
		fired = append(fired, a.Fault)
		if !a.rule.goOn {
			break
		}
	}
	return fired
}

func (a *armedFault) fires(seed, index uint64, on occasion) bool {
	if a.Table != "" && a.Table != on.table || a.Stream != "" && a.Stream != on.stream {
		return false
	}
	if a.Kind == Intervals && on.onConnection <= a.Every {
		return false // counts requests of a connection, not of a stream
	}
	a.matched++
	n := a.matched - a.After
	switch {
	case n <= 0 || a.Count > 0 && a.count >= a.Count:
		return false
	case a.Probability > 0:
		return chance(seed, index, on) < a.Probability
	case a.Kind == Intervals:
		return true
	}
	return n%a.Every == 0
}

func chance(seed, index uint64, on occasion) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(on.table))
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], uint64(on.streamOrdinal))
	binary.LittleEndian.PutUint64(b[8:], uint64(on.request))
	binary.LittleEndian.PutUint64(b[16:], index)
	_, _ = h.Write(b[:])
	return rand.New(rand.NewPCG(seed, h.Sum64())).Float64()
}
