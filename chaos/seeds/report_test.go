package seeds

import (
	"fmt"
	"io"
)

// report tells of a failure: what it was, the schedule, the last events, and how it is played again. file is where
// the smallest schedule is, or "".
func report(w io.Writer, s Schedule, f *Failure, events []string, file string) {
	fmt.Fprintf(w, "seed %d: %s in run %d: %s\n\nthe last %d events:\n", s.Seed, f.Kind, f.Run, f.Detail, len(events))
	for _, e := range events {
		fmt.Fprintln(w, e)
	}
	fmt.Fprintf(w, "\nthe schedule: %s\n\nagain:\n  go test ./chaos/seeds -run TestSeeds -seeds 1 -seed %d\n", text(s), s.Seed)
	if file != "" {
		fmt.Fprintf(w, "  go test ./chaos/seeds -run TestReplay -v -schedule %s\n", file)
	}
}
