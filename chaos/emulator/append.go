package emulator

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
)

const (
	maxRequest = 20 << 20 // case 51: a larger one ends the RPC

	// More, so that the limit is judged here. Beyond it grpc itself ends the call, with RESOURCE_EXHAUSTED.
	maxMessage = 64 << 20
)

// connection is one AppendRows call. Its worker goroutine reads, judges and answers one request after the other; the
// handler's goroutine waits for the worker, for the idle limit, or for somebody to end the call.
type connection struct {
	srv     *Server
	rpc     grpc.ServerStream
	carrier *carrier
	ended   chan *apiError // capacity 1: the first reason wins
	last    atomic.Int64   // when the latest request came, in nanoseconds since Server.started

	// What follows belongs to the worker, except that stream is read by the handler after the worker is done or by
	// idleName, which is why it is atomic.
	stream   atomic.Pointer[stream]
	target   string // the stream's name as the client wrote it; echoed in responses
	form     *form
	standard interpretation // of missing values, from the latest request that said so
	backend  backend
	now      time.Time // of the judgement
	failed   bool      // the request before was refused
	named    bool      // each request must name its stream, after a change of schema in band (case 66)
	requests int64
	stale    struct{ checks, lag int64 } // guarded by the stream's mu
}

// AppendRows serves one connection.
func (v *service) AppendRows(rpc storagepb.BigQueryWrite_AppendRowsServer) error {
	s := v.srv
	c := &connection{srv: s, rpc: rpc, ended: make(chan *apiError, 1)}
	c.touch()
	if p, ok := peer.FromContext(rpc.Context()); ok {
		if addr, ok := p.Addr.(carrierAddr); ok {
			c.carrier = addr.carrier
		}
	}
	if err := s.connect(c); err != nil {
		return err
	}
	defer s.disconnect(c)

	worked := make(chan error, 1)
	s.workers.Go(func() {
		worked <- c.work()
		if st := c.stream.Load(); st != nil {
			st.detach(c)
		}
	})
	idle := time.NewTimer(s.opt.IdleTimeout)
	defer idle.Stop()
	for {
		select {
		case err := <-worked:
			return err
		case err := <-c.ended:
			return err
		case <-idle.C:
			rest := s.opt.IdleTimeout - (time.Since(s.started) - time.Duration(c.last.Load()))
			if rest <= 0 {
				return c.idleClose()
			}
			idle.Reset(rest)
		}
	}
}

func (c *connection) touch() { c.last.Store(int64(time.Since(c.srv.started))) }

// idleClose is the normal end of a connection that nobody uses (case 88).
func (c *connection) idleClose() *apiError {
	name := ""
	if st := c.stream.Load(); st != nil {
		name = st.name
	}
	return errorf(codes.Aborted, name, "Closing the stream because it has been inactive for %v seconds.",
		c.srv.opt.IdleTimeout.Seconds())
}

// end ends the call with err, from any goroutine.
func (c *connection) end(err *apiError) {
	select {
	case c.ended <- err:
	default:
	}
}

// work is the worker: one response for each request, in order (case 33).
func (c *connection) work() error {
	req := &request{keep: !c.srv.opt.Discard}
	for {
		if err := c.rpc.RecvMsg(req); err != nil {
			return c.received(err)
		}
		c.touch()
		resp, err := c.handle(req)
		if told := c.srv.opt.OnAnswer; told != nil && c.stream.Load() != nil {
			told(req.public(c.stream.Load()), resp, err)
		}
		if err != nil {
			return err
		}
		c.failed = resp.GetError() != nil
		if err := c.rpc.SendMsg(resp); err != nil {
			return err
		}
	}
}

// received makes the end of a call out of what the last receive said.
func (c *connection) received(err error) error {
	switch {
	case errors.Is(err, io.EOF) && c.stream.Load() == nil:
		return errorf(codes.InvalidArgument, "", "Cannot route on empty project id ''") // case 14
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

func tooLarge() *apiError { return errorf(codes.InvalidArgument, "", "Request is too large.") }

// handle answers one request or ends the call.
func (c *connection) handle(req *request) (*storagepb.AppendRowsResponse, error) {
	s := c.srv
	if req.size > maxRequest {
		return nil, tooLarge()
	}
	if err := c.route(req); err != nil {
		return nil, err
	}
	st := c.stream.Load()
	c.requests++
	s.stats.appends.Add(1)
	if s.opt.OnAppend != nil {
		s.opt.OnAppend(req.public(st))
	}
	if limit := s.opt.SoftLimit; limit > 0 && int64(req.size) > limit { // case 52
		return errorf(codes.InvalidArgument, st.name, "AppendRows request too large: %d limit %d", req.size, limit).
			inResponse(c.target), nil
	}
	then := Fault{}
	if s.faults.armed.Load() {
		on := occasion{st.table.name, st.name, st.ordinal, st.nextRequest(), c.requests}
		for _, f := range s.faults.fire(atRequest, on) {
			resp, err := c.before(f, st)
			if resp != nil || err != nil {
				return resp, err
			}
			then = f
		}
	}
	resp, err := c.judge(st, req)
	if err != nil {
		return nil, err
	}
	return c.after(then, st, resp)
}

// judge lets the stream decide, and counts.
func (c *connection) judge(st *stream, req *request) (*storagepb.AppendRowsResponse, error) {
	c.now = now()
	if err := c.interpret(st, req); err != nil {
		return err.inResponse(c.target), nil
	}
	var bad []*storagepb.RowError
	if req.keep {
		bad = req.form.plan.checkRows(req.rows, req.form.filled)
	}
	resp, err := st.judge(c, req, bad)
	if err != nil {
		return nil, err
	}
	if resp.GetError() != nil {
		return resp, nil
	}
	c.srv.stats.rows.Add(req.count)
	c.srv.stats.bytes.Add(req.rowBytes)
	resp.UpdatedSchema = c.backend.updated(st.table, c.now)
	return resp, nil
}

// nilable keeps a nil *apiError from becoming an error that isn't nil.
func nilable(err *apiError) error {
	if err == nil {
		return nil
	}
	return err
}

// public is the request as OnAppend sees it.
func (r *request) public(st *stream) Request {
	p := Request{Stream: st.name, Table: st.table.name, Offset: -1, Rows: r.count, Bytes: r.rowBytes}
	if r.hasOffset {
		p.Offset = r.offset
	}
	return p
}
