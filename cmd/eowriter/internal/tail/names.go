package tail

import (
	"cmp"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// A rotated log has its live name with something behind it (app.log.1, app.log-20260102.gz), or before its extension
// (app-2026-01-02T03-04-05.000.log).

var (
	rotation = regexp.MustCompile(`^[.-]([0-9][0-9A-Za-z_:.+-]*|old|bak)$`)
	number   = regexp.MustCompile(`^[.-][0-9]{1,6}$`)
)

const packed = ".gz"

// suffix returns what was put into the live name to make name of it, without .gz; "": name is no rotated one.
func suffix(live, name string) string {
	name = strings.TrimSuffix(name, packed)
	if rest, ok := strings.CutPrefix(name, live); ok {
		return rest
	}
	ext := filepath.Ext(live)
	stem := strings.TrimSuffix(live, ext)
	if rest, ok := strings.CutPrefix(name, stem); ok && ext != "" {
		if rest, ok = strings.CutSuffix(rest, ext); ok && isStamp(rest) {
			return rest
		}
	}
	return ""
}

// isStamp says that a suffix has a date in it.
func isStamp(suffix string) bool {
	digits := 0
	for _, r := range suffix {
		if unicode.IsDigit(r) {
			digits++
		}
	}
	return digits >= 8 && rotation.MatchString(suffix)
}

// live returns those of the names in one folder that are followed: not compressed files, and not the rotated names of
// others among them.
func live(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return strings.HasSuffix(name, packed) || slices.ContainsFunc(names, func(other string) bool {
			return other != name && rotation.MatchString(suffix(other, name))
		})
	})
}

// rotated is a file in the folder of a log.
type rotated struct {
	path    string
	suffix  string
	written time.Time
	empty   bool
}

// order sorts files of a log, the oldest first: by the time in their names if all have one; by number, if all have; else by
// when they were written.
func order(files []rotated) {
	by := func(a, b rotated) int {
		return cmp.Or(a.written.Compare(b.written), -natural(a.suffix, b.suffix))
	}
	if all(files, func(f rotated) bool { return isStamp(f.suffix) }) {
		by = func(a, b rotated) int { return natural(a.suffix, b.suffix) }
	} else if all(files, func(f rotated) bool { return number.MatchString(f.suffix) }) {
		way := direction(files)
		by = func(a, b rotated) int { return way * natural(a.suffix, b.suffix) }
	}
	slices.SortStableFunc(files, by)
}

func all(files []rotated, is func(rotated) bool) bool {
	return !slices.ContainsFunc(files, func(f rotated) bool { return !is(f) })
}

// direction returns -1 if higher numbers are older, which is usual, and 1 if they are newer. The times say so; that of a
// compressed file may be when it was compressed, so it is compared with those of its kind only, and that of an empty one is
// when it was made, which may be before a program has written its last to the one before.
func direction(files []rotated) int {
	sorted := slices.DeleteFunc(slices.Clone(files), func(f rotated) bool { return f.empty })
	slices.SortFunc(sorted, func(a, b rotated) int { return natural(a.suffix, b.suffix) })
	vote := 0
	for n := 1; n < len(sorted); n++ {
		a, b := sorted[n-1], sorted[n]
		if strings.HasSuffix(a.path, packed) == strings.HasSuffix(b.path, packed) {
			vote += b.written.Compare(a.written)
		}
	}
	if vote > 0 {
		return 1
	}
	return -1
}

// natural compares texts with numbers in them by the numbers' values.
func natural(a, b string) int {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x == 0 || y == 0 {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		m, n := strings.TrimLeft(a[:x], "0"), strings.TrimLeft(b[:y], "0")
		if c := cmp.Or(cmp.Compare(len(m), len(n)), cmp.Compare(m, n)); c != 0 {
			return c
		}
		a, b = a[x:], b[y:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits counts those that a text begins with.
func digits(s string) int {
	n := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if n < 0 {
		return len(s)
	}
	return n
}
