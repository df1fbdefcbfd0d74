package committed

import (
	"errors"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// codec puts a connection's append requests on the wire: what managedwriter says of
// the request, and the rows as the block that they are already, without walking,
// sizing and copying them again for each append. Other messages are left to gRPC's
// own codec. It is passed as a call option, which nothing can bypass.
type codec struct {
	encoding.CodecV2
	next block // the rows of the next request; set by the one that sends
}

func newCodec() *codec { return &codec{CodecV2: encoding.GetCodecV2(protocodec.Name)} }

// Fields of AppendRowsRequest and the messages in it.
const (
	fieldProtoRows    = 4 // AppendRowsRequest.proto_rows
	fieldWriterSchema = 1 // ProtoData.writer_schema
	fieldRows         = 2 // ProtoData.rows
)

// stand is what managedwriter is given for a block: it counts as one row there.
var stand = [][]byte{nil}

// Marshal implements encoding.CodecV2. It takes over the reference to next.
func (c *codec) Marshal(v any) (mem.BufferSlice, error) {
	req, ok := v.(*storagepb.AppendRowsRequest)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	rows := c.next
	if c.next = nil; rows == nil {
		return nil, errors.New("an append request without rows")
	}
	head, err := marshalHead(req, rows.Len())
	if err != nil {
		rows.Free()
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(head), rows}, nil
}

// marshalHead returns the request up to the body of its rows, which come last.
func marshalHead(req *storagepb.AppendRowsRequest, rows int) ([]byte, error) {
	head, err := proto.Marshal(&storagepb.AppendRowsRequest{
		WriteStream:                       req.WriteStream,
		Offset:                            req.Offset,
		TraceId:                           req.TraceId,
		MissingValueInterpretations:       req.MissingValueInterpretations,
		DefaultMissingValueInterpretation: req.DefaultMissingValueInterpretation,
		ClientStats:                       req.ClientStats,
	})
	if err != nil {
		return nil, err
	}
	var schema []byte
	if ws := req.GetProtoRows().GetWriterSchema(); ws != nil {
		b, err := proto.Marshal(ws)
		if err != nil {
			return nil, err
		}
		schema = protowire.AppendBytes(protowire.AppendTag(nil, fieldWriterSchema, protowire.BytesType), b)
	}
	head = protowire.AppendTag(head, fieldProtoRows, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(schema)+1+protowire.SizeBytes(rows)))
	head = append(head, schema...)
	head = protowire.AppendTag(head, fieldRows, protowire.BytesType)
	return protowire.AppendVarint(head, uint64(rows)), nil
}
