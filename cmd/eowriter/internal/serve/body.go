package serve

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	chunk       = 64 << 10 // bytes by which a buffer grows at least
	zstdWindow  = 8 << 20  // bytes of the window that a zstd stream may ask for, the most that RFC 8878 recommends
	gzipMemory  = 64 << 10 // bytes that decompressing gzip takes
	zstdMemory  = 1 << 20  // and zstd, beside its window
	maxZstdHead = 18       // bytes of a zstd frame's header
)

// readBody reads and decompresses the body of a request. Its memory is taken of room before it is used, so neither a large
// body nor one that grows when it is decompressed costs more than there is.
func readBody(r *http.Request, room *ingest.Room, most int64) ([]byte, error) {
	if r.ContentLength > most {
		return nil, tooLarge(most)
	}
	limited := &io.LimitedReader{R: r.Body, N: most + 1}
	var in io.Reader = limited
	size := int64(0) // of what is read, if it is known
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		size = max(r.ContentLength, 0)
	case "gzip", "x-gzip":
		if !room.Grow(gzipMemory) {
			return nil, noRoom()
		}
		z, err := gzip.NewReader(limited)
		if err != nil {
			return nil, invalid(fmt.Errorf("gzip: %w", err))
		}
		in = z
	case "zstd":
		z, err := zstdReader(limited, room)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		in = z
	default:
		return nil, invalid(fmt.Errorf("content-encoding %.50q is not known: gzip, zstd or none", encoding))
	}
	body, err := readAll(in, room, size, most)
	if err != nil && limited.N == 0 {
		return nil, tooLarge(most) // what looks like the end of a compressed body was our limit
	}
	return body, err
}

// zstdReader decompresses zstd after taking room for its window.
func zstdReader(body io.Reader, room *ingest.Room) (*zstd.Decoder, error) {
	in := bufio.NewReader(body)
	head, _ := in.Peek(maxZstdHead) // what is too short says so below
	var h zstd.Header
	window := uint64(zstdWindow)
	if err := h.Decode(head); err == nil && h.WindowSize <= zstdWindow {
		window = h.WindowSize
		if h.SingleSegment {
			window = min(h.FrameContentSize, zstdWindow)
		}
	}
	if !room.Grow(int64(window) + zstdMemory) {
		return nil, noRoom()
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, invalid(fmt.Errorf("zstd: %w", err))
	}
	return z, nil
}

// readAll reads r to its end, size bytes if that is known. What is announced takes nothing before it comes.
func readAll(r io.Reader, room *ingest.Room, size, most int64) ([]byte, error) {
	var buf []byte
	for {
		if len(buf) == cap(buf) {
			more := max(int64(cap(buf)), chunk)
			if rest := size + 1 - int64(cap(buf)); rest > 0 { // and one to find the end
				more = min(more, rest)
			}
			if !room.Grow(more) {
				return nil, noRoom()
			}
			grown := make([]byte, len(buf), int64(cap(buf))+more)
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > most:
			return nil, tooLarge(most)
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, invalid(fmt.Errorf("read the body: %w", err))
		}
	}
}

func tooLarge(most int64) *ingest.Error {
	return &ingest.Error{
		Reason:  eowriterv1.Reason_REASON_TOO_LARGE,
		Message: fmt.Sprintf("the body has more than %d bytes, decompressed; nothing was accepted: make smaller appends", most),
	}
}

func noRoom() *ingest.Error {
	return &ingest.Error{
		Reason: eowriterv1.Reason_REASON_BUSY, RetryAfter: 1e9,
		Message: "no room: rows come faster than they land; nothing was accepted",
	}
}
