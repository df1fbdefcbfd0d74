package recovery

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/eowriter/eowriter/ledger"
)

// rows is a set: rows are the numbers from 0 up, and stand for themselves in a bit each.
type rows = uint8

func setOf(r rows) string {
	var all []string
	for i := range maxRows {
		if r&(1<<i) != 0 {
			all = append(all, fmt.Sprint(i))
		}
	}
	return "{" + strings.Join(all, " ") + "}"
}

func count(r rows) int8 { return int8(bits.OnesCount8(r)) }

// below are the rows before a position.
func below(position uint8) rows { return 1<<position - 1 }

// inOrder are the rows of an intent, those that land and then those that don't.
func inOrder(in *ledger.Intent) []rows {
	all := sequence(in)
	if in.Ends() {
		for _, d := range in.Dead {
			all = append(all, rowIn(d.Content))
		}
	}
	return all
}

// contentOf is a row's text; it is no empty one.
func contentOf(row rows) []byte { return positions[row+1] }

func rowIn(content []byte) rows { return content[0] - 1 }

// sequence are the rows that an intent binds, in their order. A batch's rows stand in
// its digest.
func sequence(in *ledger.Intent) []rows {
	var buf [maxRows]rows
	all := buf[:0]
	for row := range rows(maxRows) {
		if in.Digest[0]&(1<<row) != 0 {
			all = append(all, row)
		}
	}
	for i := len(in.Without) - 1; i >= 0; i-- {
		all = slices.Delete(all, int(in.Without[i]), int(in.Without[i])+1)
	}
	return all[in.From : in.From+in.Rows]
}

// rowsOf is the set of the rows that an intent binds.
func rowsOf(in *ledger.Intent) rows {
	if in.Rows == int64(count(in.Digest[0])) {
		return in.Digest[0]
	}
	var set rows
	for _, row := range sequence(in) {
		set |= 1 << row
	}
	return set
}
