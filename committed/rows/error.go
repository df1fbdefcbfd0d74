package rows

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error says why one JSON object is no row of the table. It is the only type of error that
// Encoder.Append returns.
type Error struct {
	// Line is the line of the object in its file, counted from 1. Append leaves it 0: whoever reads
	// lines fills it in.
	Line int64
	// Path leads to the field, as in items[3].price. Empty for the object as a whole.
	Path string
	// Reason is what is wrong, without any part of the row.
	Reason string
	// Value is the start of the offending JSON, quoted and at most 40 bytes before quoting. Empty
	// when it wouldn't help. It is part of a row: show it to the row's owner, don't log it.
	Value string
}

// Error gives one line: line 12: items[3].price: out of range for INTEGER: "1e99".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		b.WriteString("line ")
		b.WriteString(strconv.FormatInt(e.Line, 10))
		b.WriteString(": ")
	}
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	if e.Value != "" {
		b.WriteString(": ")
		b.WriteString(e.Value)
	}
	return b.String()
}

// under puts a field's name before the path. Paths grow on the way out of the walk, so that rows
// without an error never pay for one.
func (e *Error) under(name string) *Error {
	switch {
	case e.Path == "":
		e.Path = name
	case e.Path[0] == '[':
		e.Path = name + e.Path
	default:
		e.Path = name + "." + e.Path
	}
	return e
}

// underUnknown is under for a name that the row made up: printable and bounded.
func (e *Error) underUnknown(name []byte) *Error {
	q := excerpt(name)
	if plain := q[1 : len(q)-1]; plain == string(name) && !strings.ContainsAny(plain, ".[] ") && plain != "" {
		q = plain
	}
	return e.under(q)
}

// at puts an array index before the path.
func (e *Error) at(i int) *Error { return e.under("[" + strconv.Itoa(i) + "]") }

const maxExcerpt = 40

// excerpt quotes the start of b.
func excerpt(b []byte) string {
	if len(b) <= maxExcerpt {
		return strconv.Quote(string(b))
	}
	cut := maxExcerpt
	for cut > maxExcerpt-utf8.UTFMax && !utf8.RuneStart(b[cut]) {
		cut--
	}
	return strconv.Quote(string(b[:cut]) + "…")
}
