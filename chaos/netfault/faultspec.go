package netfault

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxFaultSpec bounds the text of a fault, in bytes.
const maxFaultSpec = 4096

// key is a key of a fault's text with the field that it sets.
type key struct {
	name  string
	field any // *int64, *float64, *time.Duration, *Direction or *Place
}

func (f *Fault) keys() []key {
	return []key{
		{"after", &f.After}, {"every", &f.Every}, {"p", &f.Probability}, {"count", &f.Count},
		{"dir", &f.Direction}, {"bytes", &f.Bytes}, {"frame", &f.Frame}, {"place", &f.Place}, {"spread", &f.Spread},
		{"delay", &f.Delay}, {"jitter", &f.Jitter}, {"for", &f.For}, {"chunk", &f.Chunk}, {"rate", &f.Rate},
	}
}

// ParseFault reads the text form of a fault:
//
//	kind[:key=value,...]
//
// Keys are after, every, p (a probability), count, dir (up, down, both), bytes, frame, place (before, middle, behind),
// spread, delay and jitter (as in 1.5s), for, chunk and rate (bytes a second). Kinds are listed by KindList.
func ParseFault(spec string) (Fault, error) {
	if len(spec) > maxFaultSpec {
		return Fault{}, fmt.Errorf("wire fault: longer than %d bytes", maxFaultSpec)
	}
	kind, rest, more := strings.Cut(spec, ":")
	f := Fault{Kind: Kind(kind)}
	seen := map[string]bool{}
	for more {
		var pair string
		pair, rest, more = strings.Cut(rest, ",")
		name, text, ok := strings.Cut(pair, "=")
		if !ok || seen[name] {
			return Fault{}, fmt.Errorf("wire fault %q: %q is not one key=value", spec, pair)
		}
		seen[name] = true
		if err := f.set(name, text); err != nil {
			return Fault{}, fmt.Errorf("wire fault %q: %w", spec, err)
		}
	}
	if err := f.Validate(); err != nil {
		return Fault{}, err
	}
	return f, nil
}

func (f *Fault) set(name, text string) (err error) {
	for _, k := range f.keys() {
		if k.name != name {
			continue
		}
		switch v := k.field.(type) {
		case *int64:
			*v, err = strconv.ParseInt(text, 10, 64)
		case *float64:
			*v, err = strconv.ParseFloat(text, 64)
		case *time.Duration:
			*v, err = time.ParseDuration(text)
		case *Direction:
			*v = Direction(text)
		case *Place:
			*v = Place(text)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	return fmt.Errorf("unknown key %q", name)
}

// String is the text form that ParseFault reads.
func (f Fault) String() string {
	var pairs []string
	for _, k := range f.keys() {
		text := ""
		switch v := k.field.(type) {
		case *int64:
			text = strconv.FormatInt(*v, 10)
		case *float64:
			text = strconv.FormatFloat(*v, 'g', -1, 64)
		case *time.Duration:
			text = v.String()
		case *Direction:
			text = string(*v)
		case *Place:
			text = string(*v)
		}
		if text != "" && text != "0" && text != "0s" {
			pairs = append(pairs, k.name+"="+text)
		}
	}
	if len(pairs) == 0 {
		return string(f.Kind)
	}
	return string(f.Kind) + ":" + strings.Join(pairs, ",")
}
