package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/tail"
)

const tailHelp = `--tail 'GLOB=PROJECT.DATASET.TABLE' has the sidecar follow logs of newline-delimited JSON by itself: each line that a
program writes to a file whose path matches the pattern (* ? [a-z], no **) lands in the table exactly once, and nothing of
the rows is kept in the ledger. Each path is a partition of its own, named by the absolute path; a new log is read from
its beginning, as it is when it is first seen. The pattern names the live files. What was rotated away (app.log.1,
app.log-20260102, app-2026-01-02.log, each also as .gz, in the folder of the log) is found by its content and read to
its end before the next file, also after a restart; a rotated file is complete when nobody has written to it for 5
seconds. Renaming and copying (copytruncate) both work; renaming is better, as copying itself can lose lines. A line
counts when its newline is there; one of more than 4 MiB, or that is no row of the table, becomes a dead letter, up to
--max-dead-letters. What was removed or truncated before it was read is reported: in the log, and in the partition's
state.`

// tailGlobs reads the values of --tail.
func tailGlobs(values []string) (globs []tail.Glob, err error) {
	for _, v := range values {
		at := strings.LastIndexByte(v, '=')
		if at <= 0 {
			return nil, usagef("--tail %q: want GLOB=PROJECT.DATASET.TABLE", v)
		}
		g := tail.Glob{Pattern: v[:at]}
		if g.Table, err = tableName(v[at+1:]); err != nil {
			return nil, err
		}
		if _, err := filepath.Match(g.Pattern, ""); err != nil {
			return nil, usagef("--tail %s: not a pattern: %w", g.Pattern, err)
		}
		if g.Pattern, err = filepath.Abs(g.Pattern); err != nil {
			return nil, fmt.Errorf("--tail %s: %w", g.Pattern, err)
		}
		globs = append(globs, g)
	}
	return globs, nil
}
