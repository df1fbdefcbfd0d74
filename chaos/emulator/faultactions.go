package emulator

import (
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
)

// before does what a fault does ahead of the judgement: it answers, ends the call, or lets the request go on.
func (c *connection) before(f Fault, st *stream) (*storagepb.AppendRowsResponse, error) {
	switch f.Kind {
	case CloseBefore:
		return nil, f.answer(st.name, brokenConnection())
	case Abort:
		return nil, f.answer(st.name, errorf(codes.Aborted, st.name, "Injected ABORTED."))
	case ErrorBefore, InternalEach:
		return f.answer(st.name, transientInternal(st.name)).inResponse(c.target), nil
	case Intervals:
		return nil, f.answer(st.name, intervalClose(st.name, max(f.Every, 0)))
	case ResetBefore:
		c.reset(f)
		return nil, brokenConnection()
	case GoAwayBefore:
		c.srv.GoAway()
		return nil, draining()
	case Stall:
		return nil, c.stall(f.Delay)
	case Finalize:
		_, err := st.finalize()
		return nil, nilable(err)
	case Expire:
		return nil, nilable(st.expire())
	}
	return nil, nil
}

// after does what a fault does once the request is applied.
func (c *connection) after(f Fault, st *stream, resp *storagepb.AppendRowsResponse) (*storagepb.AppendRowsResponse, error) {
	switch f.Kind {
	case CloseAfter:
		return nil, f.answer(st.name, brokenConnection())
	case ErrorAfter:
		return f.answer(st.name, transientInternal(st.name)).inResponse(c.target), nil
	case ResetAfter:
		c.reset(f)
		return nil, brokenConnection()
	case GoAwayAfter:
		c.srv.GoAway()
		return nil, draining()
	}
	return resp, nil
}

func (c *connection) reset(f Fault) {
	if f.All || c.carrier == nil {
		c.srv.ResetConnections()
		return
	}
	c.carrier.reset()
}

func (c *connection) stall(d time.Duration) error {
	var over <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return nil
	case <-c.rpc.Context().Done():
		return c.rpc.Context().Err()
	}
}
