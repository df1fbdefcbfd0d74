package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/rowform"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
	"github.com/spf13/pflag"
)

// byteSize is a flag's value in bytes, written as 1MiB, 500kB or 4096.
type byteSize int64

var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
}

// Set reads a size.
func (s *byteSize) Set(text string) error {
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(n >= 0) || n*u.bytes > math.MaxInt64/2 {
			break
		}
		*s = byteSize(n * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 1MiB", text)
}

// String writes the size with the largest unit that divides it.
func (s *byteSize) String() string {
	for _, u := range []struct {
		suffix string
		bytes  byteSize
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if *s != 0 && *s%u.bytes == 0 {
			return fmt.Sprintf("%d%s", *s/u.bytes, u.suffix)
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Type names the value in --help.
func (s *byteSize) Type() string { return "size" }

// tableName makes projects/P/datasets/D/tables/T of a flag's PROJECT.DATASET.TABLE.
func tableName(text string) (string, error) {
	name, err := tablename.Parse(text)
	if err != nil {
		return "", usageError{err}
	}
	return name, nil
}

// shortTable is the inverse of tableName, or name itself.
func shortTable(name string) string { return tablename.Short(name) }

// printJSON writes one object on one line.
func printJSON(w io.Writer, v any) error {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// addChoices adds the flags for how objects become rows; ignored is what else is done with a field that is left out.
func addChoices(f *pflag.FlagSet, c *rowform.Choices, ignored string) {
	f.BoolVar(&c.IgnoreUnknownFields, "ignore-unknown-fields", false, "leave out fields that the table has no column for"+ignored)
	f.BoolVar(&c.JSONText, "json-as-text", false, "JSON columns take a string with JSON text, instead of any value")
	f.BoolVar(&c.DefaultValues, "default-values", false, "columns that a row leaves out, or gives as null, get their default value expressions")
}
