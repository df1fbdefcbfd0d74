package recovery

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// constant are the fields that no snapshot has, with why.
var constant = map[string]string{
	"opt": "each machine of the model has the same", "schema": "there is one", "out": "valid until the next step", "verdict": "the same",
	"ID": "one partition", "Key": "one partition", "Mode": "one partition", "Machine": "of Owner: Nonce tells",
	"FileSystem": "of Owner: Nonce tells", "Inode": "of Owner: Nonce tells",
	"Schema": "there is one", "Encoder": "there is one", "Descriptor": "there is one",
	"Last": "for repeated requests", "Rows of part": "a statistic", "Delivered": "none is delivered", "Created": "for people", "Updated": "for people",
	"Detail": "for people", "At": "for people", "Offset of Halt": "for people", "Message": "for people", "Reason of Dead": "for people",
	"Reason of refused": "for people", "Bytes": "for the source's memory", "Parts": "the source's", "Payload": "replayable rows have none",
	"Epoch of cause": "for people", "Stream of cause": "for people", "Offset of cause": "for people", "Err": "for people", "Class": "for people",
	"head": "0 when read",
}

// fill gives every field a value that is not zero.
func fill(t *testing.T, v reflect.Value, in, name string) {
	if constant[name] != "" || constant[name+" of "+in] != "" {
		return
	}
	v = reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
	if name == "Skip" {
		v.SetString(skipReason)
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int8:
		v.SetInt(3)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(3)
	case reflect.String:
		v.SetString("s1")
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), in, name)
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[[]byte]() {
			v.SetBytes(positions[3])
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), in, name)
	case reflect.Array:
		n := v.Len()
		if name == "Digest" {
			n = 1 // a set of rows
		}
		for i := range n {
			fill(t, v.Index(i), in, name)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), name, v.Type().Field(i).Name)
		}
	default:
		require.Fail(t, "no value", "%s of %s", name, in)
	}
}

// If it fails, the machine has a field that the model's states don't have: states that
// go on differently are taken for one, and the search misses what comes of it. Add it to
// snapshot, and to normalize if it counts up; or to constant, with the reason.
func TestModelCodec(t *testing.T) {
	m := &Machine{}
	fill(t, reflect.ValueOf(m).Elem(), "", "machine")
	m.flight.buf = []uint64{3, probeOrdinal}
	require.NotNil(t, m.rotation)
	c := &codec{}
	m.snapshot(c)
	read := &Machine{}
	r := &codec{b: c.b, reading: true}
	read.snapshot(r)
	require.Equal(t, len(c.b), r.at)
	require.Equal(t, m, read)
}

// asIs returns a copy of a state that nothing was taken off.
func (s *state) asIs() *state {
	c := &codec{}
	for i := range s.used {
		c.met = append(c.met, byte(i))
	}
	s.codeFields(c)
	copied := newState(s.bounds)
	copied.read(c.b)
	return copied
}

// If it fails, normalize makes states the same that go on differently: the search misses
// some. A state that is normalized after every move goes beside one that never is.
func TestModelNormal(t *testing.T) {
	b := bounds{
		rows: 6, batch: 3, window: 3, limit: 2, bad: 1 << 2, delays: 2, crashes: unlimited, ages: unlimited, lags: unlimited,
		errors: unlimited, breaks: unlimited, finalize: 1, expiries: 1, restores: 2, reverts: 1, copies: 1, skips: 1, words: unlimited,
	}
	seen := map[moveKind]int{}
	seeds := uint64(400)
	if underRace {
		seeds = 100
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 1))
		b.push = seed%4 == 0
		raw, normal := newState(&b), newState(&b)
		var names []byte // of normal's streams in raw
		for range 80 {
			c := &codec{}
			normal.code(c)
			was := names
			names = nil
			for _, old := range c.met {
				names = append(names, was[old])
			}
			normal.read(c.b)
			moves := slices.DeleteFunc(normal.moves(nil), func(m move) bool {
				return m.arg != 255 && (m.kind == crashed || m.kind == broke || m.kind == restored) // by the order of requests
			})
			if len(moves) == 0 {
				break
			}
			if random.IntN(10) > 0 { // or nothing comes to much
				if well := slices.DeleteFunc(slices.Clone(moves), func(m move) bool { return m.kind > offered }); len(well) > 0 {
					moves = well
				}
			}
			m := moves[random.IntN(len(moves))]
			inRaw := m
			if m.kind == arrived {
				r := normal.delayed[m.arg]
				r.stream = streamNames[names[indexOf(r.stream)]]
				at := slices.Index(raw.delayed, r)
				require.GreaterOrEqual(t, at, 0)
				inRaw.arg = uint8(at)
			}
			require.Contains(t, raw.moves(nil), inRaw, "seed %d: %s", seed, normal.words(m))
			seen[m.kind]++
			raw.take(inRaw)
			normal.take(m)
			for len(names) < normal.used {
				names = append(names, byte(raw.used-1))
			}
			require.Equal(t, normal.wrong, raw.wrong, "seed %d", seed)
			x, y := &codec{}, &codec{}
			normal.asIs().code(x)
			raw.asIs().code(y)
			require.Equal(t, x.b, y.b, "seed %d, after %s\n%s\n%s", seed, m, normal, raw)
			if raw.wrong != "" || raw.used == maxStreams {
				break
			}
		}
	}
	for kind := range moveKinds {
		if underRace {
			break // too few seeds
		}
		require.Positive(t, seen[kind], "%s never happened", moveNames[kind])
	}
}
