package emulator

import (
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// endsKept is how many former ends a stream remembers for StaleEnd.
const endsKept = 64

// stream is a write stream: an application-created COMMITTED one, or a table's default stream.
type stream struct {
	name    string
	table   *table
	created time.Time    // zero for the default stream
	ordinal int64        // position among the table's application streams; -1 for the default stream
	index   int          // position in the store's list
	opens   atomic.Int64 // first requests for it: the ordinal that faults at the opening are keyed by
	closes  atomic.Int64 // FinalizeWriteStream calls: the same

	// mu makes each request on the stream one step. It is taken before the store's lock and never the other way round.
	mu        sync.Mutex
	end       int64 // rows written
	ends      []int64
	finalized bool
	expired   bool
	used      time.Time // when the latest request came: the start of its time to live
	requests  int64     // AppendRows requests seen, over all connections: the ordinal faults are keyed by
	attached  int64     // connections ever
	active    map[*connection]struct{}
	newest    *connection // of an application stream: the only one whose requests are applied
	form      *form       // of the latest rows
}

// StreamInfo describes a stream at one moment.
type StreamInfo struct {
	Name        string
	Table       string
	Default     bool  // the table's default stream
	End         int64 // rows written, which is the next offset
	Finalized   bool
	Expired     bool
	Connections int // AppendRows calls attached now
	Created     time.Time
}

func (st *stream) isDefault() bool { return st.ordinal < 0 }

func (st *stream) info() StreamInfo {
	st.mu.Lock()
	defer st.mu.Unlock()
	_ = st.gone(now())
	return StreamInfo{
		Name: st.name, Table: st.table.name, Default: st.isDefault(), End: st.end,
		Finalized: st.finalized, Expired: st.expired, Connections: len(st.active), Created: st.created,
	}
}

// gone says why the stream can't be used at all at the moment now, nil while it can. The caller holds mu.
func (st *stream) gone(now time.Time) *apiError {
	ttl := st.table.opt.StreamTTL
	if ttl > 0 && !st.isDefault() && !st.expired && now.Sub(st.used) >= ttl { // case 94
		// What fails here is tried again at the next question, which finds the stream just as old.
		st.expired = st.table.store.expired(st) == nil
		return notFound(st.name, storagepb.StorageError_STREAM_NOT_FOUND)
	}
	switch {
	case st.table.dropped.Load() || st.table.hidden(now):
		return notFound(st.name, storagepb.StorageError_TABLE_NOT_FOUND)
	case st.expired:
		return notFound(st.name, storagepb.StorageError_STREAM_NOT_FOUND)
	}
	return nil
}

// there is gone for a caller who doesn't hold mu.
func (st *stream) there() *apiError {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.gone(now())
}

// attach makes c the stream's newest connection. An older one of an application stream is ended: one active
// connection per stream, newest wins (case 32). It reports whether the stream was connected to before.
func (st *stream) attach(c *connection) (again bool, err *apiError) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.gone(now()); err != nil {
		return false, err
	}
	again = st.attached > 0
	st.attached++
	if !st.isDefault() && st.newest != nil {
		st.newest.end(takenOver(st.name))
	}
	st.newest = c
	st.active[c] = struct{}{}
	return again, nil
}

func (st *stream) detach(c *connection) {
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.active, c)
	if st.newest == c {
		st.newest = nil
	}
}

// judge decides one request against the current end and writes its rows when they fit: either a response (channel
// A) or an error that ends the RPC (channel B).
func (st *stream) judge(c *connection, req *request, bad []*storagepb.RowError) (*storagepb.AppendRowsResponse, *apiError) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.gone(c.now); err != nil {
		return nil, err
	}
	st.used = c.now
	if !st.isDefault() && st.newest != c {
		return nil, takenOver(st.name) // read before the take-over, but not applied
	}
	dropped := c.backend.refuses(st, c.form.writer, c.now)
	if err := st.refuse(c, req, len(bad) > 0 || dropped != nil); err != nil {
		return err.inResponse(c.target), nil
	}
	if dropped != nil {
		return dropped.inResponse(c.target), nil
	}
	if len(bad) > 0 {
		resp := badRows(st.name).inResponse(c.target)
		resp.RowErrors = bad
		return resp, nil
	}
	at := st.end
	if err := st.write(batch{stream: st, offset: at, count: req.count, rows: req.rows, form: req.form}); err != nil {
		return internal(st.name, err).inResponse(c.target), nil
	}
	result := &storagepb.AppendRowsResponse_AppendResult{}
	if !st.isDefault() {
		result.Offset = wrapperspb.Int64(at)
	}
	return &storagepb.AppendRowsResponse{
		Response:    &storagepb.AppendRowsResponse_AppendResult_{AppendResult: result},
		WriteStream: c.target,
	}, nil
}

// refuse is the part of judge that looks at everything but the rows' contents.
func (st *stream) refuse(c *connection, req *request, badRows bool) *apiError {
	switch {
	case req.count == 0:
		return noRows(st.name)
	case st.finalized:
		return finalized(st.name)
	case st.isDefault() && req.hasOffset:
		return offsetOnDefault(st.name)
	case !req.hasOffset:
		return nil
	case req.offset < 0:
		return negativeOffset(st.name, req.offset)
	case badRows && c.srv.opt.RowsFirst:
		return nil
	}
	end := st.end
	if c.stale.checks > 0 {
		c.stale.checks--
		end = st.formerEnd(c.stale.lag)
	}
	switch {
	case req.offset > end && c.failed && c.srv.opt.AbortFollowers:
		return priorFailure(st.name)
	case req.offset > end:
		return offsetBeyond(st.name, end, req.offset)
	case req.offset < end:
		return offsetExists(st.name, end, req.offset)
	case end < st.end:
		// The stale view would let it pass; the write itself then finds rows there, which ends the staleness.
		c.stale.checks = 0
		return offsetExists(st.name, st.end, req.offset)
	}
	return nil
}

// formerEnd is the end as it was lag appends ago, 0 if that is before the first one that is remembered.
func (st *stream) formerEnd(lag int64) int64 {
	if lag <= 0 {
		return st.end
	}
	if n := int64(len(st.ends)); lag <= n {
		return st.ends[n-lag]
	}
	return 0
}

// write stores a batch at the end. The caller holds mu. Nothing changed when it fails.
func (st *stream) write(b batch) error {
	if err := st.table.store.append(b); err != nil {
		return err
	}
	st.advance(b.count)
	if b.form != nil {
		st.form = b.form
	}
	return nil
}

func (st *stream) advance(rows int64) {
	if len(st.ends) == endsKept {
		st.ends = append(st.ends[:0], st.ends[1:]...)
	}
	st.ends = append(st.ends, st.end)
	st.end += rows
}

// finalize marks the stream finalized and returns its row count; again is harmless (case 74). Connections stay open.
func (st *stream) finalize() (int64, *apiError) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.gone(now()); err != nil {
		return 0, err
	}
	if !st.finalized {
		if err := st.table.store.finalized(st); err != nil {
			return 0, internal(st.name, err)
		}
		st.finalized = true
	}
	return st.end, nil
}

func (st *stream) expire() *apiError {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.expired {
		if err := st.table.store.expired(st); err != nil {
			return internal(st.name, err)
		}
		st.expired = true
	}
	return nil
}

// nextRequest counts a request and returns its ordinal on the stream, from 0.
func (st *stream) nextRequest() int64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.requests++
	return st.requests - 1
}
