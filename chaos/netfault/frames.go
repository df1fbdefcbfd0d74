package netfault

import (
	"bytes"

	"golang.org/x/net/http2"
)

// headerSize is that of an HTTP/2 frame.
const headerSize = 9

// frames finds the DATA frames in one direction of an HTTP/2 connection.
type frames struct {
	left int64 // bytes of the present frame, or of the client's preface, to come
	data int64 // DATA frames with a payload so far, the present one included
}

func newFrames(d Direction) *frames {
	if d == Up {
		return &frames{left: int64(len(http2.ClientPreface))}
	}
	return &frames{}
}

// next takes the header of the frame that b begins with, once it is all there. It returns the payload's length if
// that is the next DATA frame, else 0.
func (f *frames) next(b []byte) (payload int64, whole bool) {
	if len(b) < headerSize {
		return 0, false
	}
	h, err := http2.ReadFrameHeader(bytes.NewReader(b))
	if err != nil {
		return 0, false // it can't be: all of it is there
	}
	f.left = headerSize + int64(h.Length)
	if h.Type != http2.FrameData || h.Length == 0 {
		return 0, true
	}
	f.data++
	return int64(h.Length), true
}

// offset is where in a frame with so much payload a place is.
func (p Place) offset(payload int64) int64 {
	switch p {
	case Before:
		return 0
	case Behind:
		return headerSize + payload
	}
	return headerSize + payload/2
}
