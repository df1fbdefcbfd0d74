//go:build !race

package rows_test

const underRace = false
