package workload

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/protobuf/encoding/protowire"
)

// Table is what a table holds, as the oracle takes it, without the rows that somebody
// else wrote (ForeignRow). An error says that a row is in no source.
func (s Shape) Table(rows []emulator.Row) ([]chaos.Row, error) {
	table := make([]chaos.Row, 0, len(rows))
	names, foreign := s.Names(), ForeignRow()
	for _, r := range rows {
		if bytes.Equal(r.Data, foreign) {
			continue
		}
		p, i, err := s.rowOf(r.Data)
		if err == nil && p >= len(names) {
			err = fmt.Errorf("there is no partition %d", p)
		}
		if err != nil {
			return nil, fmt.Errorf("row %d of %s: %w", r.Offset, r.Stream, err)
		}
		table = append(table, chaos.Row{Stream: r.Stream, Offset: r.Offset, Partition: names[p], Index: i})
	}
	return table, nil
}

// State is what a closed ledger holds.
type State struct {
	Identity   ledger.Identity
	Partitions []ledger.Partition
	Open       map[string][]ledger.Intent // by partition's name
	Retired    []ledger.Retired
	Violations []ledger.Violation
	Dead       []ledger.Dead // letters, and what open intents have
}

// ReadLedger reads a closed ledger without opening it for writing, which would count.
func ReadLedger(path string) (s State, err error) {
	led, err := ledger.OpenReadOnly(path)
	if err != nil {
		return State{}, err
	}
	defer func() { err = errors.Join(err, led.Close()) }()
	s = State{Identity: led.Identity(), Open: map[string][]ledger.Intent{}}
	if s.Partitions, err = led.Partitions(); err != nil {
		return State{}, err
	}
	for _, p := range s.Partitions {
		_, open, err := led.Partition(p.Key)
		if err != nil {
			return State{}, err
		}
		s.Open[p.Key.Name] = open
		letters, err := led.Letters(p.ID, 0, 1<<30)
		if err != nil {
			return State{}, err
		}
		for _, l := range letters {
			s.Dead = append(s.Dead, l.Dead)
		}
		for _, in := range open {
			s.Dead = append(s.Dead, in.Dead...)
		}
	}
	if s.Retired, err = led.Retired(); err != nil {
		return State{}, err
	}
	s.Violations, err = led.Check()
	return s, err
}

// AddTo adds what the ledger claims to a history.
func (s State) AddTo(h *chaos.History) error {
	for _, p := range s.Partitions {
		rows, err := RowsAt(p.Position)
		if err != nil {
			return err
		}
		h.Positions[p.Key.Name], h.Epochs[p.Stream] = rows, p.Epoch
	}
	for _, d := range s.Dead {
		dead, err := deadRow(d)
		if err != nil {
			return err
		}
		h.Dead = append(h.Dead, dead)
	}
	for _, r := range s.Retired {
		h.Epochs[r.Stream] = r.Epoch
	}
	return nil
}

// deadRow says which row of which partition a dead row is.
func deadRow(d ledger.Dead) (chaos.Dead, error) {
	content := d.Content
	if d.Schema != (ledger.Fingerprint{}) {
		if field, _, n := protowire.ConsumeTag(content); field == 1 { // its id: nothing was wrong with it
			id, _ := protowire.ConsumeVarint(content[n:])
			return chaos.Dead{Partition: Name(int(id >> 32)), Index: int64(id & (1<<32 - 1))}, nil
		} else if n >= 0 {
			content, _ = protowire.ConsumeBytes(content[n:])
		}
	}
	p, i := 0, int64(0)
	if _, err := fmt.Sscanf(string(content), "%d %d", &p, &i); err != nil {
		return chaos.Dead{}, fmt.Errorf("a dead letter holds %q", d.Content)
	}
	return chaos.Dead{Partition: Name(p), Index: i}, nil
}

// BoundOf is the position, in rows, up to which a partition has bound batches.
func BoundOf(p ledger.Partition, open []ledger.Intent) (int64, error) {
	if n := len(open); n > 0 {
		return RowsAt(open[n-1].After)
	}
	return RowsAt(p.Position)
}
