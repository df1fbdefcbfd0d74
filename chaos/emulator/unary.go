package emulator

import (
	"context"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// service is the gRPC face of a Server, apart from it so that the Server's own methods are those that tests call.
type service struct {
	storagepb.UnimplementedBigQueryWriteServer
	srv *Server
}

// CreateWriteStream makes a COMMITTED stream; other types are UNIMPLEMENTED (cases 1, 3 to 5).
func (v *service) CreateWriteStream(_ context.Context, req *storagepb.CreateWriteStreamRequest) (*storagepb.WriteStream, error) {
	s := v.srv
	switch t := req.GetWriteStream().GetType(); t {
	case storagepb.WriteStream_COMMITTED:
	case storagepb.WriteStream_TYPE_UNSPECIFIED:
		return nil, errorf(codes.InvalidArgument, req.GetParent(), "The type of the write stream must be specified.")
	default:
		return nil, unsupported(req.GetParent(), "streams of type "+t.String())
	}
	if !tableName.MatchString(req.GetParent()) {
		return nil, errorf(codes.InvalidArgument, req.GetParent(), "Invalid table name.")
	}
	lost := false
	s.stats.creates.Add(1)
	for _, f := range s.faults.fire(atCreate, occasion{table: req.GetParent(), request: s.nextCreate(req.GetParent())}) {
		if f.Kind == RefuseCreate {
			return nil, f.answer(req.GetParent(), createQuota(req.GetParent()))
		}
		lost = true
	}
	st, err := s.createStream(req.GetParent())
	switch {
	case err != nil:
		return nil, err
	case lost:
		return nil, brokenConnection()
	}
	return s.describe(st, true), nil
}

// nextCreate counts a CreateWriteStream call and returns its ordinal on the table, from 0; 0 if there is no such table.
func (s *Server) nextCreate(tableName string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[tableName]; t != nil {
		return t.creates.Add(1) - 1
	}
	return 0
}

// GetWriteStream describes a stream, with the table's schema in the FULL view (cases 6 to 11).
func (v *service) GetWriteStream(_ context.Context, req *storagepb.GetWriteStreamRequest) (*storagepb.WriteStream, error) {
	st, err := v.srv.lookup(req.GetName())
	if err != nil {
		return nil, err
	}
	if err := st.there(); err != nil {
		return nil, err
	}
	resp := v.srv.describe(st, req.GetView() == storagepb.WriteStreamView_FULL)
	resp.Name = req.GetName()
	return resp, nil
}

func (s *Server) describe(st *stream, full bool) *storagepb.WriteStream {
	w := &storagepb.WriteStream{
		Name:      st.name,
		Type:      storagepb.WriteStream_COMMITTED,
		WriteMode: storagepb.WriteStream_INSERT,
		Location:  s.opt.Location,
	}
	if !st.isDefault() { // case 8: both times are absent on the default stream
		w.CreateTime = timestamppb.New(st.created)
		w.CommitTime = w.CreateTime
	}
	if full {
		w.TableSchema = st.table.schema.Load()
	}
	return w
}

// FinalizeWriteStream ends a stream and returns its row count, any number of times (cases 74, 76).
func (v *service) FinalizeWriteStream(_ context.Context, req *storagepb.FinalizeWriteStreamRequest) (*storagepb.FinalizeWriteStreamResponse, error) {
	s := v.srv
	st, err := s.lookup(req.GetName())
	if err != nil {
		return nil, err
	}
	if st.isDefault() {
		return nil, errorf(codes.InvalidArgument, st.name, "The default stream can't be finalized.")
	}
	count, err := st.finalize()
	if err != nil {
		return nil, err
	}
	s.stats.finalizes.Add(1)
	on := occasion{table: st.table.name, stream: st.name, streamOrdinal: st.ordinal, request: st.closes.Add(1) - 1}
	if len(s.faults.fire(atFinalize, on)) > 0 {
		return nil, brokenConnection()
	}
	return &storagepb.FinalizeWriteStreamResponse{RowCount: count}, nil
}

// BatchCommitWriteStreams is for PENDING streams, which don't exist here.
func (v *service) BatchCommitWriteStreams(_ context.Context, req *storagepb.BatchCommitWriteStreamsRequest) (*storagepb.BatchCommitWriteStreamsResponse, error) {
	return nil, unsupported(req.GetParent(), "PENDING streams and BatchCommitWriteStreams")
}

// FlushRows is for BUFFERED streams, which don't exist here.
func (v *service) FlushRows(_ context.Context, req *storagepb.FlushRowsRequest) (*storagepb.FlushRowsResponse, error) {
	return nil, unsupported(req.GetWriteStream(), "BUFFERED streams and FlushRows")
}
