package powerloss

import (
	"testing"

	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

// If it fails, there is something that a ledger does and that no recording has.
func TestStepsAreAll(t *testing.T) {
	found := map[string]int{}
	w := &world{}
	for n := range 3000 {
		s := next(w, 1, n, false)
		found[s.what]++
		switch s.what {
		case "bind":
			if s.rows != nil {
				found["frozen"]++
			}
			if len(s.intent.Dead) > 0 {
				found["dead"]++
			}
			if s.intent.Rows == 0 {
				found["no rows"]++
			}
			if s.waste > 0 {
				found["given up"]++
			}
		case "seal":
			found[s.seal.Reason.String()]++
		case "resolve":
			if s.word != nil {
				found["word"]++
			}
		case "open":
			if s.part != nil {
				found["expired"]++
			}
		case "settle":
			for i, in := range s.settlement.Rest {
				if !in.Ends() {
					found["split"]++
				}
				if len(in.Without) > 0 {
					found["refused"]++
				}
				if in.From > 0 && i == 0 {
					found["rest of a split batch"]++
				}
			}
		}
		w = w.after(s)
		require.LessOrEqual(t, len(w.Partitions), mostPartitions)
	}
	for _, what := range []string{
		"schema", "open", "bind", "acknowledge", "seal", "settle", "halt", "resolve", "deliver", "retire", "skip",
		"frozen", "dead", "no rows", "given up", "word", "expired", "split", "refused", "rest of a split batch",
		ledger.TakeOver.String(), ledger.Aging.String(), ledger.RowErrors.String(), ledger.TooLarge.String(), ledger.Encoding.String(),
		ledger.Lagging.String(), ledger.Finished.String(), ledger.Resolved.String(),
	} {
		require.Positive(t, found[what], "%s: %v", what, found)
	}
	t.Log(found)
}
