// Package rows turns JSON objects into the protocol-buffer rows that BigQuery's Storage Write API
// takes, strictly and from the table's schema alone.
//
// Get the schema from the service (GetWriteStream with view FULL) or from a file with ParseSchema,
// call Compile once per schema, send Encoder.Descriptor with the first append, and call
// Encoder.Append for every object. An Encoder is safe for concurrent use.
//
// Nothing is guessed and nothing is dropped: an unknown field, a wrong type, a number that doesn't
// fit, invalid UTF-8, a field given twice and a missing REQUIRED field are each an *Error that names
// the path, the column and the Kind. Field names match case-insensitively, as BigQuery's do. With
// IgnoreUnknownFields unknown fields are left out and counted.
//
//	type           JSON that is accepted
//	STRING         a string, of at most the column's max length in characters
//	BYTES          base64, standard or URL, padded or not, of at most the max length in bytes; or an
//	               array of bytes as numbers
//	INTEGER        a number without a fractional part (1e3 and 1.0 are integers), or a string of one
//	FLOAT          a number, a string of one, or NaN, Inf, Infinity as a string in any case
//	NUMERIC        a number or a string of one, exactly: with more digits behind the point than the
//	BIGNUMERIC     type holds (9 and 38) it is refused. With a declared scale that many are stored,
//	               rounded by the service as the column says; what the precision doesn't hold then
//	               is refused
//	BOOL           true, false, 1, 0, or as a string in any case true, t, yes, y, 1, false, f, no, n, 0
//	TIMESTAMP      date, T or space, time, zone: RFC 3339 or BigQuery's canonical form. The zone is Z,
//	               an offset, or a name as in 2006-01-02 15:04:05.999999 Europe/Berlin; without one
//	               it is UTC, as in BigQuery. A time that the clocks there skipped is refused, of two
//	               it is the first. Or an integer: microseconds since 1970-01-01 UTC
//	TIMESTAMP(12)  the same with up to twelve digits of fraction
//	DATE           "YYYY-MM-DD", or an integer: days since 1970-01-01
//	TIME           "HH:MM:SS.ffffff", or an integer in the civil encoding
//	DATETIME       date, T or space, time, without a zone, or an integer in the civil encoding
//	INTERVAL       "years-months days hours:minutes:seconds.ffffff", each part with a sign if need be
//	GEOGRAPHY      WKT or GeoJSON in a string, or a GeoJSON object; the service looks into it
//	JSON           any value, sent without white space; with JSONAsText a string of JSON
//	RANGE          {"start": a, "end": b} or "[a, b)"; null, absent and UNBOUNDED mean no bound
//	RECORD         an object
//	REPEATED       an array without null
//
// A string of a number may have a plus sign, leading zeros, and no digits on one side of the point.
// Months, days, hours, minutes and seconds may have one digit; seconds may be absent, and so may a
// TIMESTAMP's or DATETIME's time. Digits behind the microsecond are refused, also zeros.
//
// An absent field and null both mean NULL, for REPEATED both mean empty. What stands for an absent
// column, NULL or its default value, is the service's to say.
//
// The object is walked once and wire bytes are appended as it goes: no tree, no reflection, no heap.
// The scanner is our own because no strict token reader is as fast as the whole encoder has to be
// (ARCHITECTURE.md compares them); escapes and the values of JSON columns are jsontext's, and the
// tests hold every decision against jsontext, encoding/json, math/big and time.
package rows

// Version is the encoder's version. It is raised whenever the same JSON and the same schema would
// give other bytes, so that rows bound by an older encoder are not compared with newer ones.
//
// 2: a TIMESTAMP(12) is text, was microseconds. All other bytes are as in 1.
const Version uint32 = 2
