// Package plural puts numbers before words in what people read.
package plural

import "fmt"

// Of is a number with the words for one or for several: Of(1, "row", "rows") is "1 row".
func Of[N int | int64](n N, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

// Rows is a number of rows.
func Rows[N int | int64](n N) string { return Of(n, "row", "rows") }
