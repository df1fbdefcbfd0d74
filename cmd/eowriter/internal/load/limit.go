package load

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limit is how many rows of a file may become dead letters, over all runs: a count, or a share of the rows read of it.
// The zero value allows none. It is a flag's value.
type Limit struct {
	Count int64
	Share float64 // of the rows, if not 0
}

// leastRows is what a share is of at least, so that one bad row at a file's beginning is not 100 %.
const leastRows = 1000

// Allowed is how many dead letters there may be after so many rows were read.
func (l Limit) Allowed(rows int64) int64 {
	if l.Share == 0 {
		return l.Count
	}
	return int64(math.Ceil(l.Share * float64(max(rows, leastRows))))
}

// None says that no row may become one.
func (l Limit) None() bool { return l == Limit{} }

// most is what PartitionConfig.MaxDead is told, which can't change while the file is read.
func (l Limit) most() int64 {
	if l.Share == 0 {
		return l.Count
	}
	return math.MaxInt64 / 2
}

// Set reads 1000 or 1%.
func (l *Limit) Set(text string) error {
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.ParseFloat(strings.TrimSpace(percent), 64)
		if err != nil || !(p >= 0) || p > 100 {
			return fmt.Errorf("%q is not a share such as 1%%", text)
		}
		*l = Limit{Share: p / 100}
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxCount {
		return fmt.Errorf("%q is neither a number such as 1000 nor a share such as 1%%", text)
	}
	*l = Limit{Count: n}
	return nil
}

const maxCount = 1_000_000_000_000

// String is the inverse of Set.
func (l *Limit) String() string {
	if l.Share != 0 {
		return strconv.FormatFloat(100*l.Share, 'g', 6, 64) + "%"
	}
	return strconv.FormatInt(l.Count, 10)
}

// Type names the value in --help.
func (l *Limit) Type() string { return "limit" }
