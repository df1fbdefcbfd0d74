// Package advice has words for people: what a ledger's causes and reasons mean, and what to do about them.
package advice

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
)

// Halt says what a halt means, and what to do before it is resolved.
func Halt(c ledger.HaltCause) (meaning, do string) {
	switch c {
	case ledger.Conflict:
		return "somebody else wrote to its stream, or the service lost rows",
			"find who else writes and end that, compare the table with the open batches, then"
	case ledger.Fenced:
		return "its stream was finalized by another owner of this partition", "go on with the newer ledger; only if there is none, then"
	}
	return "its stream is gone, and with it the answer whether the open batches have landed",
		"look for their rows in the table, then say what you found, with --landed or --not-landed"
}

var reasons = map[ledger.Reason]string{
	ledger.TakeOver:  "the ledger was moved, copied or restored",
	ledger.Aging:     "it was near the end of its time to live",
	ledger.RowErrors: "the service refused rows",
	ledger.TooLarge:  "the service refused a batch for its size",
	ledger.Encoding:  "batches were to be encoded anew",
	ledger.Lagging:   "its end could not be learnt in time",
	ledger.Expired:   "the service had dropped it, and nothing was open",
	ledger.Finished:  "the partition was retired",
	ledger.Resolved:  "it was gone with open batches, and a person said what had landed",
	ledger.Found:     "a person said what had landed, but it was there after all",
	ledger.Skipped:   "a person had a batch skipped",
}

// Reason says why a stream was replaced or given up.
func Reason(r ledger.Reason) string {
	if why := reasons[r]; why != "" {
		return why
	}
	return r.String()
}

// Command is "eowriter ledger VERB" for a partition, as a shell takes it.
func Command(verb, partition, ledgerPath string) string {
	return fmt.Sprintf("eowriter ledger %s --partition %s %s", verb, shellWord(source.DisplayName(partition)), shellWord(ledgerPath))
}

// Look is "eowriter ledger show" for all partitions, as a shell takes it.
func Look(ledgerPath string) string { return "eowriter ledger show " + shellWord(ledgerPath) }

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+-]+$`)

// shellWord quotes a word for a shell, if it needs that.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
