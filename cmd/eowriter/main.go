// Command eowriter writes rows to BigQuery, each exactly once.
//
// Begin with "eowriter demo", which needs nothing but itself. "eowriter load" loads files; what it knows is in a ledger,
// which "eowriter ledger" shows and checks. "eowriter emulator" stands in for the service, "eowriter bench" measures.
// Each subcommand has its own file here; what they do is in the packages under internal.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

// run is main with an exit code, so that deferred calls run.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal ends ctx; a second one ends the process at once, as it would have without us.
	context.AfterFunc(ctx, stop)
	return execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
