package serve

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/guard"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/protobuf/proto"
)

// writer is the service eowriter.v1.Writer.
type writer struct {
	in      *ingest.Ingest
	window  int         // appends of a stream that may be unanswered
	refused func(error) // is told of each append that is answered with an error
}

// keyOf is a partition as the API names it.
func keyOf(table, partition string) (ledger.Key, error) {
	name, err := tablename.Parse(table)
	if err != nil {
		return ledger.Key{}, invalid(err)
	}
	return ledger.Key{Table: name, Name: partition}, nil
}

// tableOf is a table as the API names it, or "" for all.
func tableOf(table string) (string, error) {
	if table == "" {
		return "", nil
	}
	key, err := keyOf(table, "")
	return key.Table, err
}

// appendOf is a request for ingest, if who makes it may write to the table.
func appendOf(ctx context.Context, r *eowriterv1.AppendRequest) (a ingest.Append, err error) {
	if a.Key, err = keyOf(r.GetTable(), r.GetPartition()); err != nil {
		return a, err
	}
	if err := mayAppend(ctx, a.Key.Table); err != nil {
		return a, err
	}
	a.Expected, a.Position = r.GetExpectedPosition(), r.GetPosition()
	a.DeadLetters = r.GetBadRows() == eowriterv1.BadRows_BAD_ROWS_DEAD_LETTERS
	switch rows := r.GetRows().GetKind().(type) {
	case *eowriterv1.Rows_Json:
		a.Rows = make([][]byte, len(rows.Json.GetObjects()))
		for n, object := range rows.Json.GetObjects() {
			a.Rows[n] = trim(object)
		}
	case *eowriterv1.Rows_Proto:
		a.Rows, a.Descriptor = rows.Proto.GetMessages(), rows.Proto.GetDescriptor_()
		if a.Descriptor == nil {
			return a, invalid(errors.New("rows.proto has no descriptor"))
		}
	}
	return a, nil
}

// Append implements the API.
func (s *writer) Append(ctx context.Context, req *connect.Request[eowriterv1.AppendRequest]) (*connect.Response[eowriterv1.AppendResponse], error) {
	response, err := s.append(ctx, req.Msg)
	if err != nil {
		s.refused(err)
		return nil, rpcError(err)
	}
	return connect.NewResponse(response), nil
}

func (s *writer) append(ctx context.Context, r *eowriterv1.AppendRequest) (*eowriterv1.AppendResponse, error) {
	a, err := appendOf(ctx, r)
	if err != nil {
		return nil, err
	}
	pending, err := s.in.Accept(ctx, a)
	decoded(ctx)
	if err != nil {
		return nil, err
	}
	return pending.Wait(ctx, r.GetAcknowledge())
}

// answer is what one append of a stream will be answered with.
type answer struct {
	pending *ingest.Pending
	ack     eowriterv1.Acknowledge
	err     error
}

func (s *writer) wait(ctx context.Context, a answer) *eowriterv1.AppendStreamResponse {
	var response *eowriterv1.AppendResponse
	if a.err == nil {
		response, a.err = a.pending.Wait(ctx, a.ack)
	}
	if a.err != nil {
		s.refused(a.err)
		return &eowriterv1.AppendStreamResponse{Answer: &eowriterv1.AppendStreamResponse_Error{Error: refusal(a.err).Detail()}}
	}
	return &eowriterv1.AppendStreamResponse{Answer: &eowriterv1.AppendStreamResponse_Response{Response: response}}
}

// AppendStream implements the API: this goroutine accepts, another one answers.
func (s *writer) AppendStream(ctx context.Context, stream *connect.BidiStream[eowriterv1.AppendStreamRequest, eowriterv1.AppendStreamResponse]) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answers := make(chan answer, s.window)
	var answering sync.WaitGroup
	answering.Go(func() {
		for a := range answers {
			if err := stream.Send(s.wait(ctx, a)); err != nil {
				cancel(err) // nobody hears the others
				return
			}
		}
	})
	err := s.receive(ctx, stream, answers)
	close(answers)
	answering.Wait()
	return err
}

// receive accepts the appends of a stream until it ends.
func (s *writer) receive(ctx context.Context, stream *connect.BidiStream[eowriterv1.AppendStreamRequest, eowriterv1.AppendStreamResponse], answers chan<- answer) error {
	var before *eowriterv1.AppendRequest
	for {
		req, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r := req.GetAppend()
		inherit(r, before)
		before = heritage(r)
		one := answer{ack: r.GetAcknowledge()}
		a, err := appendOf(ctx, r)
		if err == nil {
			a.Patient = true
			one.pending, err = s.in.Accept(ctx, a)
			decoded(ctx)
		}
		one.err = err
		select {
		case answers <- one:
		case <-ctx.Done():
			return rpcError(context.Cause(ctx))
		}
	}
}

// inherit fills in what a request of a stream leaves out.
func inherit(r, before *eowriterv1.AppendRequest) {
	if r == nil || before == nil {
		return
	}
	if r.Table == "" && r.Partition == "" {
		r.Table, r.Partition = before.Table, before.Partition
	}
	if messages := r.GetRows().GetProto(); messages != nil && messages.Descriptor_ == nil {
		messages.Descriptor_ = before.GetRows().GetProto().GetDescriptor_()
	}
}

// heritage is what a request of a stream leaves to the next one: no rows.
func heritage(r *eowriterv1.AppendRequest) *eowriterv1.AppendRequest {
	left := &eowriterv1.AppendRequest{Table: r.GetTable(), Partition: r.GetPartition()}
	if d := r.GetRows().GetProto().GetDescriptor_(); d != nil {
		left.Rows = &eowriterv1.Rows{Kind: &eowriterv1.Rows_Proto{Proto: &eowriterv1.ProtoRows{Descriptor_: d}}}
	}
	return left
}

// GetPartition implements the API.
func (s *writer) GetPartition(ctx context.Context, req *connect.Request[eowriterv1.GetPartitionRequest]) (*connect.Response[eowriterv1.GetPartitionResponse], error) {
	key, err := keyOf(req.Msg.GetTable(), req.Msg.GetPartition())
	if err != nil {
		return nil, rpcError(err)
	}
	if err := maySee(ctx, key.Table); err != nil {
		return nil, rpcError(err)
	}
	p, err := s.in.Ask(ctx, key)
	if err != nil {
		return nil, rpcError(err)
	}
	return connect.NewResponse(&eowriterv1.GetPartitionResponse{Partition: p}), nil
}

// ListPartitions implements the API.
func (s *writer) ListPartitions(ctx context.Context, req *connect.Request[eowriterv1.ListPartitionsRequest]) (*connect.Response[eowriterv1.ListPartitionsResponse], error) {
	all, err := s.list(ctx, req.Msg.GetTable())
	if err != nil {
		return nil, rpcError(err)
	}
	return connect.NewResponse(&eowriterv1.ListPartitionsResponse{Partitions: all}), nil
}

// list returns the partitions of a table, or those of all tables that the caller may know of.
func (s *writer) list(ctx context.Context, table string) ([]*eowriterv1.Partition, error) {
	name, err := tableOf(table)
	if err != nil {
		return nil, err
	}
	if name != "" {
		if err := maySee(ctx, name); err != nil {
			return nil, err
		}
	}
	all, err := s.in.Partitions(name)
	caller := guard.From(ctx)
	return slices.DeleteFunc(all, func(p *eowriterv1.Partition) bool { return !caller.MaySee(p.Table) }), err
}

const minInterval, interval = 100 * time.Millisecond, time.Second // between looks of WatchPartitions

// WatchPartitions implements the API.
func (s *writer) WatchPartitions(ctx context.Context, req *connect.Request[eowriterv1.WatchPartitionsRequest], stream *connect.ServerStream[eowriterv1.WatchPartitionsResponse]) error {
	every := interval
	if asked := req.Msg.GetInterval(); asked != nil {
		every = max(asked.AsDuration(), minInterval)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	sent := map[[2]string]*eowriterv1.Partition{}
	for first := true; ; first = false {
		all, err := s.list(ctx, req.Msg.GetTable())
		if err != nil {
			return rpcError(err)
		}
		response := &eowriterv1.WatchPartitionsResponse{}
		for _, p := range all {
			key := [2]string{p.Table, p.Partition}
			if !proto.Equal(p, sent[key]) {
				sent[key] = p
				response.Partitions = append(response.Partitions, p)
			}
		}
		if first || len(response.Partitions) > 0 {
			if err := stream.Send(response); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return rpcError(ctx.Err())
		}
	}
}

// Drain implements the API.
func (s *writer) Drain(ctx context.Context, req *connect.Request[eowriterv1.DrainRequest]) (*connect.Response[eowriterv1.DrainResponse], error) {
	table, err := tableOf(req.Msg.GetTable())
	if err != nil {
		return nil, rpcError(err)
	}
	if err := maySee(ctx, table); err != nil {
		return nil, rpcError(err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		// What is left has to be told before the caller gives up.
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-min(time.Second, time.Until(deadline)/5)))
		defer cancel()
	}
	remaining, err := s.in.Drain(ctx, table, req.Msg.GetPartition())
	if err != nil {
		return nil, rpcError(err)
	}
	return connect.NewResponse(&eowriterv1.DrainResponse{Remaining: remaining}), nil
}
