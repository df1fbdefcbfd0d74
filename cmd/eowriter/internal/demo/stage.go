package demo

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/testdata"
	"github.com/klauspost/compress/gzip"
)

const (
	tableFlag = "demo.flights.y2013"
	tableName = "projects/demo/datasets/flights/tables/y2013"
)

// faults are what goes wrong: about one append in twelve, by chance, and every third reconnection.
var faults = []string{
	"reset-before:p=0.015", // the connection is reset, the rows were not written
	"reset-after:p=0.015",  // the connection is reset, the rows were written
	"close-after:p=0.02",   // the call ends, the rows were written
	"error:p=0.03,code=INTERNAL",
	"stale-end:every=3,lag=1,checks=1", // the service doesn't see the last append yet
}

// stage is where the demo is played: a folder with the files and the ledger, the emulator, and who watches it.
type stage struct {
	opt    Options
	dir    string
	files  []string // names in dir
	rows   int64    // of all files
	schema *storagepb.TableSchema
	emu    *emulator.Server
	watch  *watch
}

func setUp(opt Options) (_ *stage, err error) {
	st := &stage{opt: opt, watch: newWatch()}
	text, err := testdata.FS.ReadFile("flights/schema.json")
	if err != nil {
		return nil, err
	}
	if st.schema, err = rows.ParseSchema(text); err != nil {
		return nil, err
	}
	if st.dir, err = os.MkdirTemp("", "eowriter-demo-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.tearDown())
		}
	}()
	if err := st.unpack(); err != nil {
		return nil, err
	}
	return st, st.startEmulator()
}

// unpack writes the embedded files to the folder.
func (st *stage) unpack() error {
	names, err := fs.Glob(testdata.FS, "flights/*.ndjson.gz")
	if err != nil {
		return err
	}
	if st.opt.Months < 1 || st.opt.Months > len(names) {
		return fmt.Errorf("there are 1 to %d months, not %d", len(names), st.opt.Months)
	}
	for _, name := range names[:st.opt.Months] {
		content, err := testdata.FS.ReadFile(name)
		if err != nil {
			return err
		}
		file := path.Base(name)
		if err := os.WriteFile(filepath.Join(st.dir, file), content, 0o600); err != nil {
			return err
		}
		st.files = append(st.files, file)
		if err := readLines(name, func([]byte) error { st.rows++; return nil }); err != nil {
			return err
		}
	}
	return nil
}

// readLines reads an embedded file, not by way of the writer's own code.
func readLines(name string, line func([]byte) error) error {
	f, err := testdata.FS.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		if err := line(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (st *stage) startEmulator() error {
	opt := emulator.Options{
		Tables:   map[string]*storagepb.TableSchema{tableName: st.schema},
		Seed:     st.opt.Seed,
		OnAppend: st.watch.append,
	}
	for _, spec := range faults {
		f, err := emulator.ParseFault(spec)
		if err != nil {
			return err
		}
		opt.Faults = append(opt.Faults, f)
	}
	emu, err := emulator.Start(opt)
	if err != nil {
		return err
	}
	st.emu = emu
	st.watch.observe(emu)
	return nil
}

// tearDown ends the emulator and removes the folder.
func (st *stage) tearDown() error {
	var err error
	if st.emu != nil {
		err = st.emu.Close()
	}
	return errors.Join(err, os.RemoveAll(st.dir))
}

func (st *stage) ledgerPath() string { return filepath.Join(st.dir, "demo.ledger") }

// openBatches lists what is open in the ledger; the writer has ended.
func (st *stage) openBatches() (open map[place]bool, err error) {
	err = st.readLedger(func(led *ledger.Ledger) error {
		parts, err := led.Partitions()
		if err != nil {
			return err
		}
		open = map[place]bool{}
		for _, p := range parts {
			_, intents, err := led.Partition(p.Key)
			if err != nil {
				return err
			}
			for _, in := range intents {
				open[place{p.Stream, in.Start}] = true
			}
		}
		return nil
	})
	return open, err
}

func (st *stage) readLedger(read func(*ledger.Ledger) error) error {
	led, err := ledger.OpenReadOnly(st.ledgerPath())
	if err != nil {
		return err
	}
	return errors.Join(read(led), led.Close())
}
