// Package rows turns JSON objects into the protocol-buffer rows that BigQuery's Storage Write API
// takes, strictly and from the table's schema alone.
//
// Get the schema from the service (GetWriteStream with view FULL) or from a file with ParseSchema,
// call Compile once per schema, send Encoder.Descriptor with the first append, and call
// Encoder.Append for every object. An Encoder never changes and is safe for concurrent use.
//
// Nothing is guessed and nothing is dropped: an unknown field, a wrong type, a number that doesn't
// fit, invalid UTF-8, a field given twice and a missing REQUIRED field are each an *Error that names
// the path. Field names match case-insensitively, as BigQuery's do.
//
//	type       JSON that is accepted
//	STRING     a string, of at most the column's max length in characters
//	INTEGER    a number without a fractional part (1e3 and 1.0 are integers), or a string of one
//	FLOAT      a number, a string of one, "NaN", "Infinity", "-Infinity"
//	BOOL       true, false, "true", "false"
//	TIMESTAMP  RFC 3339 with at most six digits of fraction and T or a space between date and time;
//	           or an integer: microseconds since 1970-01-01 UTC
//	DATE       "YYYY-MM-DD"
//	RECORD     an object
//	REPEATED   an array without null
//
// An absent field and null both mean NULL, for REPEATED both mean empty.
//
// The object is walked once and wire bytes are appended as it goes: no tree, no reflection, no heap.
// The scanner is our own because a token reader alone (jsontext, 251 MB/s on the flights data) is
// slower than the whole encoder has to be; the tests hold every decision against jsontext and
// encoding/json.
package rows

// Version is the encoder's version. It is raised whenever the same JSON and the same schema would
// give other bytes, so that rows bound by an older encoder are not compared with newer ones.
const Version uint32 = 1
