package netfault

import (
	"errors"
	"fmt"
	"time"
)

// Kind names what a fault does. Its text is what --wire takes.
type Kind string

// The kinds of faults. Each begins at a place of a connection, in one direction or both.
const (
	RST      Kind = "rst"
	FIN      Kind = "fin"
	HalfOpen Kind = "half-open"
	Stall    Kind = "stall"
	Slow     Kind = "slow"
	Limit    Kind = "limit"
	Latency  Kind = "latency"
	Zombie   Kind = "zombie"
)

// KindInfo is a kind with one line on what it does.
type KindInfo struct {
	Kind Kind
	Does string
}

var kinds = []KindInfo{
	{RST, "reset both sides after exactly those bytes"},
	{FIN, "end both sides in good order after exactly those bytes; what comes later is dropped"},
	{HalfOpen, "drop all that comes, in both directions, and tell no side of the other's end; after delay= reset both"},
	{Stall, "read nothing more in this direction, for delay= or until the other direction ends"},
	{Slow, "pass on chunk= bytes at a time (default 1), delay= apart, with jitter=, for for= bytes"},
	{Limit, "pass on rate= bytes a second, for for= bytes"},
	{Latency, "hold back what comes for delay=, give or take jitter=, for for= bytes"},
	{Zombie, "keep what the client sends; when it is gone, wait for delay= and jitter=, or to be told, and deliver it then"},
}

// KindList lists all kinds in the order of the documentation.
func KindList() []KindInfo { return append([]KindInfo(nil), kinds...) }

// shapes says that a kind changes how bytes pass, not whether.
func (k Kind) shapes() bool { return k == Slow || k == Limit || k == Latency }

// Direction is a direction of a connection, or both.
type Direction string

// Directions. The zero value means Both for Limit and Latency, and Up for the others.
const (
	Up   Direction = "up"   // from the client to the service
	Down Direction = "down" // from the service to the client
	Both Direction = "both" // each by itself: for Stall and the kinds that shape
)

// Place is a place at a DATA frame.
type Place string

// Places. The zero value means Middle.
const (
	Before Place = "before" // its first byte, which is its header's
	Middle Place = "middle" // after half of its payload
	Behind Place = "behind" // its last byte
)

// Fault is something that goes wrong with connections. Several may go wrong with one.
type Fault struct {
	Kind Kind

	// Which connections, of those that are accepted from its injection on.
	After       int64   // let this many pass first
	Every       int64   // then every n-th; 0: each
	Probability float64 // instead of Every: by chance, keyed by seed and the connection's number
	Count       int64   // at most so many; 0: no limit. A connection counts that ends before the fault's place.

	// Where on a connection.
	Direction Direction
	Bytes     int64 // after exactly so many bytes in that direction
	Frame     int64 // instead: at the n-th HTTP/2 DATA frame with a payload in that direction, from 1
	Place     Place // where at that frame
	Spread    int64 // up to so many bytes, or frames, later, by chance

	// How. Delay, Jitter: see the kinds; a delay is uniform within Delay ± Jitter, and never negative.
	Delay, Jitter time.Duration
	For           int64 // shaping kinds: for so many bytes; 0: as long as the connection lasts
	Chunk         int64 // Slow: bytes at a time; 0 means 1
	Rate          int64 // Limit: bytes a second
}

// most bounds every number, so that sums don't overflow.
const most = 1 << 50

// Validate says what is wrong with a fault.
func (f Fault) Validate() error {
	if err := f.validate(); err != nil {
		return fmt.Errorf("wire fault %q: %w", string(f.Kind), err)
	}
	return nil
}

func (f Fault) validate() error {
	known := false
	for _, k := range kinds {
		known = known || k.Kind == f.Kind
	}
	if !known {
		return errors.New("unknown kind")
	}
	for _, n := range []int64{f.After, f.Every, f.Count, f.Bytes, f.Frame, f.Spread, int64(f.Delay), int64(f.Jitter), f.For, f.Chunk, f.Rate} {
		if n < 0 || n > most {
			return errors.New("a number is negative or too large")
		}
	}
	switch {
	case !(f.Probability >= 0 && f.Probability <= 1):
		return errors.New("a probability is from 0 to 1")
	case f.Direction != "" && f.Direction != Up && f.Direction != Down && f.Direction != Both:
		return errors.New("a direction is up, down or both")
	case f.Direction == Both && !f.Kind.shapes() && f.Kind != Stall:
		return errors.New("it happens once on a connection: say in which direction its place is")
	case f.Direction == Down && f.Kind == Zombie:
		return errors.New("only what the client sends is kept")
	case f.Bytes > 0 && f.Frame > 0:
		return errors.New("it begins after bytes or at a frame, not both")
	case f.Place != "" && (f.Frame == 0 || f.Place != Before && f.Place != Middle && f.Place != Behind):
		return errors.New("a place is before, middle or behind, of a frame")
	case (f.Kind == Limit) != (f.Rate > 0):
		return errors.New("limit, and nothing else, needs a rate")
	case f.Kind == Latency && f.Delay == 0 && f.Jitter == 0:
		return errors.New("a latency needs a delay or a jitter")
	case f.Chunk > 0 && f.Kind != Slow, f.For > 0 && !f.Kind.shapes():
		return errors.New("it has no chunk, or no length")
	}
	return nil
}

// directions are those in which the fault is planned.
func (f Fault) directions() []Direction {
	switch {
	case f.Direction == Both, f.Direction == "" && (f.Kind == Limit || f.Kind == Latency):
		return []Direction{Up, Down}
	case f.Direction == "":
		return []Direction{Up}
	}
	return []Direction{f.Direction}
}
