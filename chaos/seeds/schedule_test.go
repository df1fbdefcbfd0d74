package seeds

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/stretchr/testify/require"
)

// Schedule is a scenario. The zero value of a field is the plainest choice.
type Schedule struct {
	Seed       uint64 // of the faults by chance, and of the service's pace
	Rows       int64  // of each partition's source
	BatchRows  int64  // what the source's contents go by; see workload.Shape
	Partitions []Partition
	Service    Service
	Faults     []string `json:",omitempty"` // emulator.ParseFault; armed until the last run
	Runs       []Run    // of the writer; one more follows, without faults, in which all has to land
	Retire     []End    `json:",omitempty"` // runs after that which retire the partitions, with the same faults; the last has none
}

// Partition is one partition. Its table is its own: see tableOf.
type Partition struct {
	Frozen bool `json:",omitempty"`
	Dirty  bool `json:",omitempty"` // some rows are refused
}

// Service says how the service behaves.
type Service struct {
	Latency        Duration // of everything on its way to the service
	Pace           Duration // what a request takes at most
	SoftLimit      bool     `json:",omitempty"` // big batches are refused
	AbortFollowers bool     `json:",omitempty"`
	RowsFirst      bool     `json:",omitempty"`
	MaxConnections int      `json:",omitempty"`
	IdleTimeout    Duration `json:",omitempty"`
	StreamTTL      Duration `json:",omitempty"`
	Delay          Duration `json:",omitempty"` // until a change of a table has reached the backends
	Jitter         Duration `json:",omitempty"`
}

// Run is one run of the writer: it resumes every partition and offers what the source has by then.
type Run struct {
	Upto           int64    // rows that each source has by then
	Batch          int64    // rows of each append
	Pause          Duration `json:",omitempty"` // of each source after a batch
	Window         int      `json:",omitempty"`
	WindowBytes    int64    `json:",omitempty"`
	MaxConnections int      `json:",omitempty"`
	IdleTimeout    Duration `json:",omitempty"`
	AnswerTimeout  Duration `json:",omitempty"`
	StreamAge      Duration `json:",omitempty"`
	CreateRate     float64  `json:",omitempty"`
	CreateBurst    int      `json:",omitempty"`
	Encoder        uint32   `json:",omitempty"` // its version; 0: 1
	Follow         bool     `json:",omitempty"` // rows are encoded for the newest schema of the table
	Faults         []string `json:",omitempty"` // armed when it begins
	Rests          []Rest   `json:",omitempty"`
	End            End      `json:",omitzero"`
	Then           []Then   `json:",omitempty"` // between this run and the next, in order
}

// Rest is a moment at which a partition's source is silent.
type Rest struct {
	Partition int
	Row       int64    // before the first batch that begins at this row or later
	For       Duration `json:",omitempty"`
	Alter     bool     `json:",omitempty"` // the table gets one more column then
	Reopen    bool     `json:",omitempty"` // the partition is closed then, and opened again
	Grace     Duration `json:",omitempty"` // of that closing
	Foreign   bool     `json:",omitempty"` // somebody else writes to the partition's stream, of which nothing is open then
}

// End says how a run ends, if not all has landed before: then it is closed.
type End struct {
	Kill      bool           `json:",omitempty"` // like a process; otherwise the writer is closed
	After     Duration       `json:",omitempty"` // when
	Grace     Duration       `json:",omitempty"` // of closing: what is open by then stays
	Partition int            `json:",omitempty"` // of At
	At        workload.Point `json:",omitzero"`  // instead of After
	Zombie    Duration       `json:",omitempty"` // after the kill, what was on its way to the service arrives
}

// Then is what happens between two runs.
type Then struct {
	What  What
	For   Duration `json:",omitempty"` // of Silence
	Whole bool     `json:",omitempty"` // of Restore: with the companion file
}

// What happens between two runs.
type What string

const (
	Silence What = "silence" // nothing, for some time
	Alter   What = "alter"   // each table gets one more column
	Resolve What = "resolve" // a person says what has landed of the streams that are in doubt
	Skip    What = "skip"    // a person gives up the oldest open batch of each partition
	Move    What = "move"    // the ledger is moved to another file
	Keep    What = "keep"    // a copy of the ledger is put aside
	Restore What = "restore" // that copy is put back in its place
)

// Duration is a time.Duration that JSON has as text.
type Duration time.Duration

// MarshalText writes it like time.Duration.String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

const tablePrefix = "projects/p/datasets/d/tables/t"

// tableOf is the table of a partition, which no other writes to.
func tableOf(partition int) string { return tablePrefix + strconv.Itoa(partition) }

func (s Schedule) shape() workload.Shape {
	return workload.Shape{Partitions: len(s.Partitions), Rows: s.Rows, BatchRows: s.BatchRows}
}

// source is the source of a partition, as a version of the encoder gives it.
func (s Schedule) source(partition int, encoder uint32) workload.Source {
	return workload.Source{Shape: s.shape(), Partition: partition, Dirty: s.Partitions[partition].Dirty, Encoder: max(encoder, 1)}
}

// check says what keeps the schedule from being played.
func (s Schedule) check() error {
	if s.Rows < 1 || s.BatchRows < 1 || len(s.Partitions) == 0 {
		return fmt.Errorf("schedule: %d rows, %d a batch, %d partitions", s.Rows, s.BatchRows, len(s.Partitions))
	}
	specs := s.Faults
	for i, r := range s.Runs {
		if r.Batch < 1 {
			return fmt.Errorf("schedule: run %d: batches of %d rows", i, r.Batch)
		}
		for _, rest := range r.Rests {
			if rest.Partition < 0 || rest.Partition >= len(s.Partitions) {
				return fmt.Errorf("schedule: run %d rests for partition %d", i, rest.Partition)
			}
		}
		specs = append(specs[:len(specs):len(specs)], r.Faults...)
	}
	for _, spec := range specs {
		if _, err := emulator.ParseFault(spec); err != nil {
			return fmt.Errorf("schedule: %w", err)
		}
	}
	return nil
}

func readSchedule(file string) (s Schedule, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	if s, err = parseSchedule(text); err != nil {
		return s, fmt.Errorf("read schedule %s: %w", file, err)
	}
	return s, nil
}

func parseSchedule(text []byte) (s Schedule, err error) {
	if err := json.Unmarshal(text, &s); err != nil {
		return s, err
	}
	return s, s.check()
}

// If it fails, a schedule that somebody edited takes the player down, or is not the one that is saved again.
func FuzzSchedule(f *testing.F) {
	for seed := range uint64(4) {
		f.Add([]byte(text(Generate(seed))))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSchedule(b)
		if err != nil {
			return
		}
		for _, r := range s.Runs {
			for _, rest := range r.Rests {
				s.source(rest.Partition, r.Encoder)
			}
		}
		again, err := parseSchedule([]byte(text(s)))
		require.NoError(t, err)
		require.Equal(t, text(s), text(again))
	})
}

// save writes the schedule to a new file in a folder and returns the file's name.
func (s Schedule) save(folder string) (string, error) {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(folder, fmt.Sprintf("seed-%d-*.json", s.Seed))
	if err != nil {
		return "", err
	}
	_, err = f.Write(append(text, '\n'))
	if closed := f.Close(); err == nil {
		err = closed
	}
	return f.Name(), err
}
