package netfault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

// If it fails, --wire means something else than its help says.
func TestParseFault(t *testing.T) {
	f, err := ParseFault("slow:after=1,every=2,p=0.5,count=3,dir=both,frame=5,place=behind,spread=6,delay=1.5s,jitter=2ms,for=7,chunk=8")
	require.NoError(t, err)
	require.Equal(t, Fault{Kind: Slow, After: 1, Every: 2, Probability: 0.5, Count: 3, Direction: Both, Frame: 5, Place: Behind,
		Spread: 6, Delay: 1500 * time.Millisecond, Jitter: 2 * time.Millisecond, For: 7, Chunk: 8}, f)
	f, err = ParseFault("limit:bytes=9,rate=10")
	require.NoError(t, err)
	require.Equal(t, Fault{Kind: Limit, Bytes: 9, Rate: 10}, f)

	for _, k := range KindList() {
		require.NotEmpty(t, k.Does)
		f := Fault{Kind: k.Kind}
		if k.Kind == Limit {
			f.Rate = 1
		}
		if k.Kind == Latency {
			f.Delay = 1
		}
		require.NoError(t, f.Validate())
		require.True(t, k.Kind == Limit || k.Kind == Latency || f.String() == string(k.Kind))
	}
	for _, bad := range []string{"", "nonsense", "rst:", "rst:bytes", "rst:bytes=x", "rst:bytes=-1", "rst:every=1,every=2",
		"rst:p=2", "rst:p=NaN", "rst:unknown=1", "rst:dir=sideways", "rst:dir=both", "zombie:dir=down", "rst:bytes=1,frame=1",
		"rst:place=middle", "rst:frame=1,place=above", "limit", "slow:rate=1", "latency", "rst:chunk=1", "rst:for=1",
		"rst:bytes=99999999999999999999", "rst:spread=9000000000000000000"} {
		_, err := ParseFault(bad)
		require.Error(t, err, bad)
	}
}

// If it fails, a fault that is printed can't be given again.
func FuzzParseFault(f *testing.F) {
	for _, k := range KindList() {
		f.Add(string(k.Kind))
	}
	f.Add("rst:every=97,count=20,p=0.01,dir=down,bytes=12")
	f.Add("slow:after=1,every=2,p=0.5,count=3,dir=both,frame=5,place=behind,spread=6,delay=1.5s,jitter=2ms,for=7,chunk=8")
	f.Add("limit:rate=10")
	f.Fuzz(func(t *testing.T, spec string) {
		one, err := ParseFault(spec)
		if err != nil {
			return
		}
		require.NoError(t, one.Validate())
		two, err := ParseFault(one.String())
		require.NoError(t, err, one.String())
		require.Equal(t, one, two)
	})
}

// If it fails, a cut comes at another byte than it says: what a test means to prove by its place, it doesn't.
func TestCutAtExactlyThisByte(t *testing.T) {
	for _, kind := range []Kind{RST, FIN} {
		for _, at := range []int{0, 1, 8, 9, 1000, 65_535, 65_536, 300_000} {
			t.Run(fmt.Sprint(kind, at, "up"), func(t *testing.T) {
				s := newService(t, true)
				p := faulty(t, s, fmt.Sprintf("%s:bytes=%d", kind, at))
				conn, err := tryDial(t, p)
				if err == nil {
					err = send(conn, text(400_000))
				}
				if err == nil {
					_, err = conn.Read(make([]byte, 1))
				}
				requireEnd(t, kind, err)
				r := s.end(0)
				require.True(t, bytes.Equal(text(400_000)[:at], r.bytes), "%d bytes came", len(r.bytes))
				requireEnd(t, kind, r.err)
				require.Equal(t, map[string]int64{string(kind): 1}, p.FaultCounts())
			})
			t.Run(fmt.Sprint(kind, at, "down"), func(t *testing.T) {
				s := newService(t, false)
				p := faulty(t, s, fmt.Sprintf("%s:dir=down,bytes=%d", kind, at))
				conn, err := tryDial(t, p)
				var got []byte
				if err == nil {
					go func() { _ = send(conn, text(400_000)) }()
					got, err = io.ReadAll(conn)
				}
				require.True(t, bytes.Equal(text(400_000)[:at], got), "%d bytes came", len(got))
				requireEnd(t, kind, err)
				s.end(0)
			})
		}
	}
}

// requireEnd requires the end that a kind leads to; nil and EOF are good order.
func requireEnd(t *testing.T, kind Kind, err error) {
	t.Helper()
	switch {
	case kind == RST:
		require.True(t, errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE), "%v", err)
	case err != nil:
		require.ErrorIs(t, err, io.EOF)
	}
}

// If it fails, somebody is told of a half-open connection's end, or it never ends.
func TestHalfOpen(t *testing.T) {
	s := newService(t, true)
	p := faulty(t, s, "half-open:bytes=5")
	conn := dial(t, p)
	_ = send(conn, []byte("1234"))
	waitFor(t, "some arrives", func() bool { return len(s.got(0).bytes) == 4 })
	_ = send(s.got(0).conn, []byte("answer"))
	answer := make([]byte, 6)
	_, err := io.ReadFull(conn, answer)
	require.NoError(t, err)
	_ = send(conn, []byte("5678"))
	waitFor(t, "it is dark", func() bool { return p.all()[0].fated() == dark })
	_ = send(s.got(0).conn, []byte("never heard"))
	silent(t, conn)
	require.NoError(t, conn.Close())
	silent(t, dial(t, p)) // a moment in which nothing happens to the first
	require.False(t, s.got(0).ended)
	require.Equal(t, "12345", string(s.got(0).bytes))

	s = newService(t, false)
	p = faulty(t, s, "half-open:dir=down,bytes=5,delay=10ms")
	conn = dial(t, p)
	_ = send(conn, []byte("12345678"))
	got, err := io.ReadAll(conn)
	require.Equal(t, "12345", string(got))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.ErrorIs(t, s.end(0).err, syscall.ECONNRESET)
}

// If it fails, a direction that stalls takes the other one with it, or loses what it held up.
func TestStall(t *testing.T) {
	s := newService(t, true)
	p := faulty(t, s, "stall:bytes=3")
	conn := dial(t, p)
	_ = send(conn, []byte("123456"))
	waitFor(t, "some arrives", func() bool { return len(s.got(0).bytes) == 3 })
	_ = send(s.got(0).conn, []byte("still"))
	answer := make([]byte, 5)
	_, err := io.ReadFull(conn, answer)
	require.NoError(t, err)
	require.NoError(t, s.got(0).conn.CloseWrite()) // ends it
	require.NoError(t, conn.CloseWrite())
	require.Equal(t, "123456", string(s.end(0).bytes))

	p = faulty(t, s, "stall:bytes=3,delay=20ms")
	conn = dial(t, p)
	_ = send(conn, []byte("123456"))
	begun := time.Now()
	waitFor(t, "the rest arrives", func() bool { return len(s.got(1).bytes) == 6 })
	require.Greater(t, time.Since(begun), 10*time.Millisecond)
}

// If it fails, a stalled direction is read on: the sender never feels it.
func TestStallPressesBack(t *testing.T) {
	s := newService(t, true)
	p := faulty(t, s, "stall")
	conn := dial(t, p)
	require.NoError(t, conn.SetWriteDeadline(time.Now().Add(500*time.Millisecond)))
	_, err := conn.Write(make([]byte, 256<<20))
	require.ErrorContains(t, err, "timeout")
	require.Empty(t, s.got(0).bytes)
}

// If it fails, bytes that are slowed come in other pieces, too fast, or not as they were.
func TestShapes(t *testing.T) {
	for _, c := range []struct {
		spec  string
		bytes int
		least time.Duration
	}{
		{"slow", 5000, 0},
		{"slow:delay=1ms", 30, 30 * time.Millisecond},
		{"slow:delay=1ms,jitter=1ms,chunk=100,for=3000,dir=down", 100_000, 0},
		{"slow:delay=1ms,dir=both,chunk=100,bytes=1000", 2000, 10 * time.Millisecond},
		{"limit:rate=200000", 10_000, 50 * time.Millisecond},
		{"limit:rate=200000,dir=up,for=5000", 1_000_000, 25 * time.Millisecond},
		{"latency:delay=15ms", 100, 30 * time.Millisecond},
		{"latency:delay=5ms,jitter=5ms,dir=down", 1_000_000, 0},
	} {
		t.Run(c.spec, func(t *testing.T) {
			s := newService(t, false)
			p := faulty(t, s, c.spec)
			conn := dial(t, p)
			begun := time.Now()
			go func() { _ = send(conn, text(c.bytes)) }()
			got := make([]byte, c.bytes)
			_, err := io.ReadFull(conn, got)
			require.NoError(t, err)
			require.True(t, bytes.Equal(text(c.bytes), got))
			require.GreaterOrEqual(t, time.Since(begun), c.least)
			require.NoError(t, conn.CloseWrite())
			require.NoError(t, s.end(0).err)
		})
	}
}

// If it fails, what was slowed does not come byte by byte.
func TestSlowIsByteByByte(t *testing.T) {
	s := newService(t, true)
	p := faulty(t, s, "slow:dir=down,delay=2ms,chunk=3,bytes=4")
	conn := dial(t, p)
	_ = send(conn, []byte("x"))
	waitFor(t, "it is there", func() bool { return len(s.got(0).bytes) == 1 })
	_ = send(s.got(0).conn, text(16))
	buf := make([]byte, 100)
	for left := 16; left > 0; {
		n, err := conn.Read(buf)
		require.NoError(t, err)
		require.LessOrEqual(t, n, 4)
		left -= n
	}
}

// preface and frame are what an HTTP/2 client sends.
var preface = []byte(http2.ClientPreface)

func frame(kind http2.FrameType, payload []byte) []byte {
	n := len(payload)
	return append([]byte{byte(n >> 16), byte(n >> 8), byte(n), byte(kind), 0, 0, 0, 0, 1}, payload...)
}

// If it fails, a cut at a frame comes somewhere else: a test of a torn request would be one of a lost or a whole one.
func TestFrames(t *testing.T) {
	one, two, three := frame(http2.FrameData, text(100)), frame(http2.FrameData, text(20)), frame(http2.FrameData, text(3000))
	up := bytes.Join([][]byte{preface, frame(http2.FrameSettings, nil), frame(http2.FrameHeaders, text(50)), one,
		frame(http2.FrameData, nil), two, frame(http2.FrameWindowUpdate, text(4)), three}, nil)
	for _, c := range []struct {
		at   string
		want int
	}{
		{"frame=1,place=before", bytes.Index(up, one)},
		{"frame=1", bytes.Index(up, one) + 9 + 50},
		{"frame=1,place=behind", bytes.Index(up, one) + len(one)},
		{"frame=2,place=before", bytes.Index(up, two)},
		{"frame=2,place=middle", bytes.Index(up, two) + 9 + 10},
		{"frame=3", bytes.Index(up, three) + 9 + 1500},
		{"frame=3,place=behind", len(up)},
	} {
		for _, piece := range []int{1, 7, len(up)} {
			t.Run(fmt.Sprintf("%s in pieces of %d", c.at, piece), func(t *testing.T) {
				s := newService(t, true)
				conn := dial(t, faulty(t, s, "fin:"+c.at, "rst:frame=9"))
				for b := up; len(b) > 0; b = b[min(piece, len(b)):] {
					_ = send(conn, b[:min(piece, len(b))])
				}
				require.Equal(t, up[:c.want], s.end(0).bytes)
			})
		}
	}

	s := newService(t, true)
	conn := dial(t, faulty(t, s, "fin:frame=2,place=before,dir=down"))
	_ = send(conn, []byte("x"))
	waitFor(t, "it is there", func() bool { return len(s.got(0).bytes) == 1 })
	answers := bytes.Join([][]byte{frame(http2.FrameSettings, nil), one, frame(http2.FrameWindowUpdate, text(4)), two}, nil)
	_ = send(s.got(0).conn, answers)
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, answers[:bytes.Index(answers, two)], got)
}

// If it fails, an end inside a frame's header, or before a frame that a fault waits for, loses bytes.
func TestFrameThatNeverComes(t *testing.T) {
	s := newService(t, true)
	sent := append(append([]byte{}, preface...), frame(http2.FrameData, text(30))[:5]...)
	conn := dial(t, faulty(t, s, "rst:frame=1"))
	_ = send(conn, sent)
	require.NoError(t, conn.CloseWrite())
	require.Equal(t, sent, s.end(0).bytes)
	require.NoError(t, s.got(0).err)
}

// If it fails, a fault reaches a connection that it wasn't for.
func TestOthersAreLeftAlone(t *testing.T) {
	s := newService(t, false)
	p := faulty(t, s, "rst:bytes=3,after=1,every=2,count=2", "half-open:bytes=3,after=5,count=1")
	want := []bool{true, true, false, true, false, false, true, true} // 3 and 5 are reset, 6 is half open
	var all sync.WaitGroup
	for _, fine := range want {
		conn := dial(t, p)
		exchange(t, conn, []byte("1")) // accepted, in this order
		all.Go(func() {
			_ = send(conn, []byte("23456"))
			if fine {
				got := make([]byte, 5)
				_, err := io.ReadFull(conn, got)
				require.NoError(t, err)
				return
			}
			_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			got, err := io.ReadAll(conn)
			require.Error(t, err)
			require.LessOrEqual(t, len(got), 2)
		})
	}
	all.Wait()
	require.Equal(t, map[string]int64{"rst": 2, "half-open": 1}, p.FaultCounts())
	p.ClearFaults()
	exchange(t, dial(t, p), []byte("123456"))
}

// If it fails, a seed does not bring a connection's history back, or every seed brings the same.
func TestReplay(t *testing.T) {
	faults := []string{"fin:p=0.3,bytes=100,spread=1000", "stall:p=0.5,bytes=10,spread=50,delay=100us,jitter=90us",
		"slow:every=2,dir=both,bytes=5,spread=500,chunk=50,for=300,delay=10us,jitter=10us", "rst:p=0.2,frame=1,spread=3",
		"zombie:p=0.2,bytes=200,spread=300,delay=1us"}
	// history plays thirty connections that send the same, so many bytes at a time.
	history := func(seed uint64, width int) map[int64][]Event {
		s := newService(t, true)
		var mu sync.Mutex
		got := map[int64][]Event{}
		opt := Options{Seed: seed, OnFault: func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			got[e.Connection] = append(got[e.Connection], e)
		}}
		for _, spec := range faults {
			f, err := ParseFault(spec)
			require.NoError(t, err)
			opt.Faults = append(opt.Faults, f)
		}
		p := start(t, s, opt)
		sent := append(bytes.Clone(preface), bytes.Repeat(frame(http2.FrameData, text(400)), 5)...)
		var all sync.WaitGroup
		for range 30 {
			conn := dial(t, p)
			all.Go(func() {
				for b := sent; len(b) > 0; b = b[min(width, len(b)):] {
					if _, err := conn.Write(b[:min(width, len(b))]); err != nil {
						break
					}
				}
				_ = conn.CloseWrite()
			})
		}
		all.Wait()
		waitFor(t, "all have come and ended", func() bool {
			p.mu.Lock()
			accepted := p.accepted
			p.mu.Unlock()
			return accepted == 30 && p.Connections() == 0 && p.Zombies() == 0
		})
		require.NoError(t, p.Close())
		return got
	}
	first := history(1, 10_000)
	require.Greater(t, len(first), 15)
	require.Equal(t, first, history(1, 10_000))
	require.Equal(t, first, history(1, 33))
	require.NotEqual(t, first, history(2, 10_000))
}

// If it fails, what passes is changed, or a cut comes elsewhere, when frames come in odd pieces and other faults shape
// the same bytes.
func TestPropertyPrefixPasses(t *testing.T) {
	s := newService(t, true)
	conns := 0
	rapid.Check(t, func(t *rapid.T) {
		sent, data := bytes.Clone(preface), []int(nil) // where DATA frames with a payload begin
		for range rapid.IntRange(0, 8).Draw(t, "frames") {
			kind := rapid.SampledFrom([]http2.FrameType{http2.FrameData, http2.FrameHeaders, http2.FramePing}).Draw(t, "type")
			size := rapid.IntRange(0, 300).Draw(t, "payload")
			if kind == http2.FrameData && size > 0 {
				data = append(data, len(sent))
			}
			sent = append(sent, frame(kind, text(size))...)
		}
		cut := rapid.IntRange(0, len(sent)).Draw(t, "cut")
		end := Fault{Kind: FIN, Bytes: int64(cut)}
		if len(data) > 0 && rapid.Bool().Draw(t, "at a frame") {
			i := rapid.IntRange(0, len(data)-1).Draw(t, "which")
			end.Bytes, end.Frame = 0, int64(i+1)
			end.Place = rapid.SampledFrom([]Place{Before, Behind}).Draw(t, "place")
			if cut = data[i]; end.Place == Behind {
				cut += headerSize + int(sent[cut])<<16 + int(sent[cut+1])<<8 + int(sent[cut+2])
			}
		}
		faults := []Fault{end, {Kind: RST, Frame: 100}}
		for range rapid.IntRange(0, 3).Draw(t, "shapes") {
			faults = append(faults, rapid.SampledFrom([]Fault{
				{Kind: Slow, Bytes: 10, For: 40}, {Kind: Slow, Frame: 2, Chunk: 7, Place: Before},
				{Kind: Latency, Delay: 10 * time.Microsecond, Jitter: 10 * time.Microsecond},
				{Kind: Limit, Rate: 1 << 20, For: 100, Spread: 50}, {Kind: Stall, Bytes: 30, Delay: time.Microsecond},
			}).Draw(t, "shape"))
		}
		p, err := Start(s.listener.Addr().String(), Options{Seed: rapid.Uint64().Draw(t, "seed"), Faults: faults})
		require.NoError(t, err)
		defer p.Close()
		conn, err := net.Dial("tcp", p.Addr())
		require.NoError(t, err)
		defer conn.Close()
		piece := rapid.IntRange(1, len(sent)).Draw(t, "piece")
		for b := sent; len(b) > 0; b = b[min(piece, len(b)):] {
			_ = send(conn, b[:min(piece, len(b))])
		}
		r := s.end(conns)
		conns++
		require.NoError(t, r.err)
		require.Equal(t, string(sent[:cut]), string(r.bytes))
	})
}
