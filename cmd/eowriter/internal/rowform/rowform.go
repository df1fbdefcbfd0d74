// Package rowform has what users choose of how JSON objects become rows, for all commands that encode them.
package rowform

import "github.com/eowriter/eowriter/committed/rows"

// Choices are the options of package rows that users have. The zero value chooses none.
type Choices struct {
	IgnoreUnknownFields bool // leave out fields that the table has no column for, and count them
	JSONText            bool // JSON columns take a string with JSON text, not any value
	DefaultValues       bool // columns that a row leaves out get their default values, not NULL
}

// Options are the choices, for rows.Compile.
func (c Choices) Options() (options []rows.Option) {
	if c.IgnoreUnknownFields {
		options = append(options, rows.IgnoreUnknownFields())
	}
	if c.JSONText {
		options = append(options, rows.JSONAsText())
	}
	if c.DefaultValues {
		options = append(options, rows.DefaultValues())
	}
	return options
}

// Encoder is the version of the encoder with its options: what it makes of a line depends on both, and so batches of an
// earlier run with others are encoded anew.
func (c Choices) Encoder() uint32 {
	version := uint32(rows.Version) << 3
	if c.IgnoreUnknownFields {
		version |= 1
	}
	if c.JSONText {
		version |= 2
	}
	if c.DefaultValues {
		version |= 4
	}
	return version
}
