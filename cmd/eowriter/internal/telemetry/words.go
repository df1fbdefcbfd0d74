package telemetry

import (
	"strings"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
)

// word makes the value of a label of what is in words.
func word(text string) string { return strings.NewReplacer(" ", "_", "-", "_").Replace(text) }

func reasonText(r eowriterv1.Reason) string {
	return strings.ToLower(strings.TrimPrefix(r.String(), "REASON_"))
}

func stateText(s eowriterv1.State) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "STATE_"))
}
