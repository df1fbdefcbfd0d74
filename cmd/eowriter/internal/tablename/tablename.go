// Package tablename turns the names that people write for tables, PROJECT.DATASET.TABLE, into those of the service and back.
package tablename

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Parse makes projects/P/datasets/D/tables/T of PROJECT.DATASET.TABLE. The project of an old domain has a colon and a dot
// of its own (example.com:p), so dataset and table are what the last two dots divide.
func Parse(text string) (string, error) {
	parts := strings.Split(text, ".")
	n := len(parts)
	odd := func(r rune) bool {
		return r == '/' || unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar
	}
	if n < 3 || strings.ContainsFunc(text, odd) || slices.Contains(parts, "") || len(text) > 1000 {
		return "", fmt.Errorf("table %.100q: want PROJECT.DATASET.TABLE", text)
	}
	return fmt.Sprintf("projects/%s/datasets/%s/tables/%s", strings.Join(parts[:n-2], "."), parts[n-2], parts[n-1]), nil
}

// Short is the inverse of Parse, or name itself.
func Short(name string) string {
	p := strings.Split(name, "/")
	if len(p) != 6 {
		return name
	}
	return p[1] + "." + p[3] + "." + p[5]
}
