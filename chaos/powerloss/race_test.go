//go:build race

package powerloss

// underRace says that the race detector slows every process down. It finds its races in
// the tests of package ledger; here a few images do.
const underRace = true
