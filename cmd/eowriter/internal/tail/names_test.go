package tail

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A rotated name must not be followed as a log of its own, or its rows would come twice; a log whose name only looks like
// another's must be.
func TestLiveNames(t *testing.T) {
	for _, c := range []struct{ names, want string }{
		{"app.log app.log.1 app.log.2.gz app.log-20260102 app.log.old", "app.log"},
		{"app.log app-2026-01-02T03-04-05.000.log app-2026-01-02T03-04-05.000.log.gz", "app.log"},
		{"app.log app-1.log app-worker.log api api-gateway api.v2", "app.log app-1.log app-worker.log api api-gateway api.v2"},
		{"app-20260102.log app-20260103.log", "app-20260102.log app-20260103.log"},
		{"0.log 0.log.20260102-030405", "0.log"},
		{"app.log.1", "app.log.1"},
		{"x.gz", ""},
	} {
		require.Equal(t, strings.Fields(c.want), append([]string{}, live(strings.Fields(c.names))...), c.names)
	}
}

// Files must be read in the order in which they were written, however rotated ones are named.
func TestOrder(t *testing.T) {
	for name, c := range map[string]struct {
		files string // with the second at which each was written, the oldest first
	}{
		"numbers":                           {".3.gz@1 .2@2 .1@3"},
		"numbers, more than nine":           {".11@1 .10@2 .9@3"},
		"numbers, compressed late":          {".3.gz@5 .2.gz@6 .1@2"},
		"numbers that grow":                 {".1@1 .2@2 .10@3"},
		"empty ones have no say":            {".3@3 .2@1e .1@4"},
		"dates":                             {"-20260101.gz@9 -20260102@2 -20260103@3"},
		"dates and counters":                {"-2026-01-01-2@1 -2026-01-01-10@1 -2026-01-02-1@1"},
		"something else goes by the time":   {".old@1 .bak@2"},
		"numbers and dates, one after both": {".2@1 .1@2 -20260103@3"},
		"written at once":                   {".3@1 .2@1 .1@1"},
	} {
		t.Run(name, func(t *testing.T) {
			var files []rotated
			for _, f := range strings.Fields(c.files) {
				path, second, _ := strings.Cut(f, "@")
				files = append([]rotated{{path, strings.TrimSuffix(path, packed), time.Unix(int64(second[0]-'0'), 0), strings.HasSuffix(second, "e")}}, files...)
			}
			order(files)
			var got []string
			for _, f := range files {
				got = append(got, f.path)
			}
			var want []string
			for _, f := range strings.Fields(c.files) {
				path, _, _ := strings.Cut(f, "@")
				want = append(want, path)
			}
			require.Equal(t, want, got)
		})
	}
}
