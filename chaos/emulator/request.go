package emulator

import (
	"errors"
	"io"

	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

var errMalformed = errors.New("malformed AppendRowsRequest")

// request is an AppendRowsRequest taken apart without building it: rows are copied once, end to end, into memory of
// their own, or only counted when they are not kept. One request is reused for a whole connection.
type request struct {
	keep bool // copy the rows; set by the connection, survives reset

	size        int // bytes of the message
	stream      string
	hasOffset   bool
	offset      int64
	hasSchema   bool
	schema      []byte // a serialized DescriptorProto
	unsupported string // what the request asks for and this emulator can't do
	count       int64
	rowBytes    int64
	rows        [][]byte // sub-slices of one allocation; nil unless keep
	arena       []byte
	missing     missing
	form        *form // of the rows; set by the connection
}

// codec decodes AppendRows requests into request and leaves everything else to the ordinary codec.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(grpcproto.Name)} }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	req, ok := v.(*request)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	return req.decode(data)
}

func (r *request) decode(data mem.BufferSlice) error {
	*r = request{keep: r.keep, size: data.Len()}
	if r.size > maxRequest {
		return nil // judged by its size alone
	}
	reader := data.Reader()
	defer reader.Close()
	w := walker{reader}
	return w.message(r.size, func(num protowire.Number, size int) error {
		switch num {
		case 1:
			b, err := w.bytes(size)
			r.stream = string(b)
			return err
		case 2:
			r.hasOffset = true
			return w.message(size, func(num protowire.Number, v int) error {
				if num == -1 {
					r.offset = int64(v)
					return nil
				}
				return w.skipField(num, v)
			})
		case 4:
			return r.decodeProtoData(w, size)
		case 5:
			r.unsupported = "Arrow rows"
		case 7:
			return r.missing.decodeColumn(w, size)
		case -8:
			r.missing.standard = interpretation(int32(size))
		}
		return w.skipField(num, size)
	})
}

func (r *request) decodeProtoData(w walker, size int) error {
	return w.message(size, func(num protowire.Number, size int) error {
		switch num {
		case 1: // ProtoSchema
			r.hasSchema = true
			return w.message(size, func(num protowire.Number, size int) (err error) {
				if num == 1 {
					r.schema, err = w.bytes(size)
					return err
				}
				return w.skipField(num, size)
			})
		case 2: // ProtoRows
			if r.keep && r.arena == nil {
				r.arena = make([]byte, 0, size)
			}
			return w.message(size, func(num protowire.Number, size int) error {
				if num != 1 {
					return w.skipField(num, size)
				}
				r.count++
				r.rowBytes += int64(size)
				if !r.keep {
					return w.skip(size)
				}
				return r.keepRow(w, size)
			})
		}
		return w.skipField(num, size)
	})
}

func (r *request) keepRow(w walker, size int) error {
	at := len(r.arena)
	if cap(r.arena)-at < size { // only when ProtoRows came in pieces
		r.arena, at = make([]byte, 0, size), 0
	}
	r.arena = r.arena[:at+size]
	row := r.arena[at : at+size : at+size]
	r.rows = append(r.rows, row)
	_, err := io.ReadFull(w.Reader, row)
	return err
}

// walker reads protocol-buffer fields out of a chain of buffers.
type walker struct{ *mem.Reader }

// message calls field for each field of the next size bytes. For a length-delimited field the second argument is the
// number of bytes that follow, which field must consume; a varint field comes with its number negated and its value,
// consumed already.
func (w walker) message(size int, field func(num protowire.Number, size int) error) error {
	if size > w.Remaining() {
		return errMalformed
	}
	stop := w.Remaining() - size
	for w.Remaining() > stop {
		tag, err := w.varint()
		if err != nil {
			return err
		}
		num, typ := protowire.DecodeTag(tag)
		if !num.IsValid() {
			return errMalformed
		}
		switch typ {
		case protowire.BytesType:
			n, err := w.varint()
			if err != nil {
				return err
			}
			// The length itself may have ended beyond the message: then nothing is left.
			if n > uint64(max(w.Remaining()-stop, 0)) {
				return errMalformed
			}
			if err := field(num, int(n)); err != nil {
				return err
			}
		case protowire.VarintType:
			v, err := w.varint()
			if err != nil {
				return err
			}
			if err := field(-num, int(v)); err != nil {
				return err
			}
		case protowire.Fixed32Type, protowire.Fixed64Type:
			n := 4
			if typ == protowire.Fixed64Type {
				n = 8
			}
			if err := w.skip(n); err != nil {
				return err
			}
		default: // no message of the API has groups
			return errMalformed
		}
	}
	if w.Remaining() != stop {
		return errMalformed
	}
	return nil
}

func (w walker) varint() (v uint64, err error) {
	for shift := 0; shift < 64; shift += 7 {
		b, err := w.ReadByte()
		if err != nil {
			return 0, errMalformed
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errMalformed
}

func (w walker) bytes(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(w.Reader, b)
	return b, err
}

func (w walker) skip(n int) error {
	if _, err := w.Discard(n); err != nil {
		return errMalformed
	}
	return nil
}

// skipField passes over a field that message announced.
func (w walker) skipField(num protowire.Number, size int) error {
	if num < 0 {
		return nil
	}
	return w.skip(size)
}
