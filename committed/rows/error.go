package rows

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind says in one word what is wrong with an object, so that refusals can be grouped and acted on.
type Kind uint8

// The kinds of an Error.
const (
	Syntax         Kind = iota + 1 // the text is not JSON, not one object, or there is more behind it
	InvalidUTF8                    // a string is not UTF-8
	UnknownField                   // the table has no such column: its schema may have moved
	DuplicateField                 // a field is there twice
	MissingField                   // a REQUIRED column has no value
	NullValue                      // null for a REQUIRED column or in an array
	WrongType                      // the column takes no JSON value of this type
	BadValue                       // the column takes values of this type, but not spelt like this
	OutOfRange                     // well spelt, but beyond what the column holds
	TooLong                        // more characters or bytes than the column's max length
	TooFine                        // more digits behind the point than the column holds
	TooDeep                        // a JSON value nested deeper than BigQuery allows
)

var kindNames = [...]string{"", "syntax", "invalid UTF-8", "unknown field", "duplicate field", "missing field", "null", "wrong type", "bad value", "out of range", "too long", "too fine", "too deep"}

// String returns the kind in words, as "unknown field".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Error says why one JSON object is no row of the table. It is the only type of error that
// Encoder.Append returns.
type Error struct {
	// Line is the line of the object in its file, counted from 1. Append leaves it 0: whoever reads
	// lines fills it in.
	Line int64
	Kind Kind
	// Path leads to the field, as in items[3].price. Empty for the object as a whole.
	Path string
	// Column is Path without the indices, as in items.price. Kind, Column and Reason are the same for
	// all rows with the same fault, except for fields that the row made up.
	Column string
	// Reason is what is wrong, without any part of the row.
	Reason string
	// Excerpt is the start of the offending JSON, quoted and at most 40 bytes before quoting. Empty
	// when it wouldn't help. It is part of a row: show it to the row's owner, don't log it.
	Excerpt string
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
	if e.Excerpt != "" {
		b.WriteString(": ")
		b.WriteString(e.Excerpt)
	}
	return b.String()
}

// under puts a field's name before path and column. They grow on the way out of the walk, so that
// rows without an error never pay for one.
func (e *Error) under(name string) *Error {
	switch {
	case e.Path == "":
		e.Path = name
	case e.Path[0] == '[':
		e.Path = name + e.Path
	default:
		e.Path = name + "." + e.Path
	}
	if e.Column == "" {
		e.Column = name
	} else {
		e.Column = name + "." + e.Column
	}
	return e
}

// underUnknown is under for a name that the row made up: printable and bounded.
func (e *Error) underUnknown(name []byte) *Error { return e.under(printable(name)) }

// at puts an array index before the path.
func (e *Error) at(i int) *Error {
	index := "[" + strconv.Itoa(i) + "]"
	if e.Path != "" && e.Path[0] != '[' {
		index += "."
	}
	e.Path = index + e.Path
	return e
}

// problem is what is wrong with a text, as long as it isn't known whose value it is. The zero
// problem: nothing.
type problem struct {
	kind   Kind
	reason string
}

func (b problem) found() bool { return b.kind != 0 }

// with is the Error for a problem of text.
func (b problem) with(text []byte) *Error {
	return &Error{Kind: b.kind, Reason: b.reason, Excerpt: excerpt(text)}
}

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

// printable is a name that a row made up as it stands in paths: quoted unless it is short and plain.
func printable(name []byte) string {
	q := excerpt(name)
	if plain := q[1 : len(q)-1]; plain == string(name) && !strings.ContainsAny(plain, ".[] ") && plain != "" {
		return plain
	}
	return q
}
