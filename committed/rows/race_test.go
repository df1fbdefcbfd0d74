//go:build race

package rows_test

// underRace: the race detector makes sync.Pool drop what it holds at random, and with it the decoder
// that jsontext keeps for the values of JSON and GEOGRAPHY columns.
const underRace = true
