package demo

import (
	"bytes"
	"fmt"
	"path"
	"sort"

	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
)

// compare holds the table's rows against the input, which is encoded anew: the bytes of each file's rows must be in
// the streams of its partition, one after another.
func (st *stage) compare() (Report, error) {
	enc, err := rows.Compile(st.schema)
	if err != nil {
		return Report{}, err
	}
	streams, err := st.streamsOf()
	if err != nil {
		return Report{}, err
	}
	table := map[string][][]byte{} // by stream
	var r Report
	for _, row := range st.emu.Rows(tableName) {
		table[row.Stream] = append(table[row.Stream], row.Data)
		r.RowsInTable++
	}
	r.Streams = int64(len(table))
	for _, file := range st.files {
		var want, got [][]byte
		err := readLines(path.Join("flights", file), func(line []byte) error {
			row, err := enc.Append(nil, line)
			want = append(want, row)
			return err
		})
		if err != nil {
			return Report{}, fmt.Errorf("%s: %w", file, err)
		}
		for _, stream := range streams[file] {
			got = append(got, table[stream]...)
			delete(table, stream)
		}
		r.RowsRead += int64(len(want))
		d := differ(want, got)
		r.Duplicates += d.surplus
		r.Lost += d.missing
		r.OutOfOrder += d.disorder
	}
	for _, left := range table { // in a stream that no partition has
		r.Duplicates += int64(len(left))
	}
	return r, nil
}

// streamsOf lists each partition's streams in the order of their epochs.
func (st *stage) streamsOf() (map[string][]string, error) {
	streams := map[string][]string{}
	err := st.readLedger(func(led *ledger.Ledger) error {
		retired, err := led.Retired()
		if err != nil {
			return err
		}
		sort.SliceStable(retired, func(i, j int) bool { return retired[i].Epoch < retired[j].Epoch })
		for _, old := range retired {
			streams[old.Key.Name] = append(streams[old.Key.Name], old.Stream)
		}
		parts, err := led.Partitions()
		for _, p := range parts {
			streams[p.Key.Name] = append(streams[p.Key.Name], p.Stream)
		}
		return err
	})
	return streams, err
}

// difference is what distinguishes two sequences of rows.
type difference struct {
	surplus  int64 // rows of got beyond those of want: written twice, or never in the input
	missing  int64 // rows of want that got doesn't have
	disorder int64 // rows of got that stand behind one that comes after them in want
}

func differ(want, got [][]byte) (d difference) {
	if len(want) == len(got) {
		same := true
		for i := range want {
			same = same && bytes.Equal(want[i], got[i])
		}
		if same {
			return difference{}
		}
	}
	places := map[string][]int{} // where want has a row, not yet found in got
	for i, row := range want {
		places[string(row)] = append(places[string(row)], i)
	}
	last, found := -1, int64(0)
	for _, row := range got {
		left := places[string(row)]
		if len(left) == 0 {
			d.surplus++
			continue
		}
		if left[0] < last {
			d.disorder++
		}
		last = max(last, left[0])
		places[string(row)] = left[1:]
		found++
	}
	d.missing = int64(len(want)) - found
	return d
}
