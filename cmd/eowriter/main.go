// Command eowriter writes rows to BigQuery, each exactly once.
//
// Begin with "eowriter demo", which needs nothing but itself. "eowriter load" loads files, "eowriter serve" takes rows
// from programs in any language, "eowriter status" shows how it does; what they know is in a ledger, which "eowriter ledger" shows, checks and mends;
// "eowriter schema" shows what a table takes. "eowriter emulator" stands in for the service, "eowriter chaos" tries to
// break the writer, "eowriter bench" measures.
// Each subcommand has its own file here; what they do is in the packages under internal.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(run()) }

// again is how long after the first signal another one is not yet a second one: some programs that pass signals on,
// timeout(1) for one, send them to the process and to its group.
const again = 500 * time.Millisecond

// run is main with an exit code, so that deferred calls run.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal ends ctx; a second one ends the process at once, as it would have without us.
	context.AfterFunc(ctx, func() { time.AfterFunc(again, stop) })
	return execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
