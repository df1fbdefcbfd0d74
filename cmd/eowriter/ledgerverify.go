package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"sync"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/advice"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

const verifyHelp = `Ask the service, for every partition of a ledger, where its stream ends, and say what a start would make of that.
Nothing is changed: the ledger is read only, and the question is an append that the service refuses for its offset.

  fits         the stream ends where the ledger says, or with batches that have landed without the ledger knowing it yet
  lags         the service still shows an end before what was acknowledged; a start asks for longer, then finalizes the stream
               and believes its final count
  gone         the stream is gone, and nothing was open: a start makes a new one
  replacing    the stream is finalized by this ledger's own seal: a start finishes replacing it
  conflict     the stream does not hold what the ledger says: a start will stop
  fenced       the stream is finalized by somebody else: a start will stop
  in doubt     the stream is gone with open batches: a start will stop, unless a person has said what landed
  halted       an earlier run has stopped for good: a start won't ask; what the service says is shown all the same
  blocked      the service refuses: permission, a missing table, a wrong schema
  unreachable  the service did not answer within --timeout

Exit code 1 if a partition would stop, or could not be asked.

The probe needs the permissions of load. If somebody else is writing to a stream at this moment, that connection may be
cut: the service lets one connection write.`

// verifyFlags are the flags of ledger verify as they were given.
type verifyFlags struct {
	service serviceFlags
	path    string
	name    string
	timeout time.Duration
	asJSON  bool
}

func newLedgerVerifyCommand() *cobra.Command {
	var flags verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [--partition NAME] [--endpoint HOST:PORT --insecure] LEDGER",
		Short: "Ask the service whether every partition's stream is as the ledger says",
		Long:  verifyHelp,
		Example: `  eowriter ledger verify flights.ledger
  eowriter ledger verify --partition flights-2013-01.ndjson.gz --json flights.ledger
  eowriter ledger verify --endpoint 127.0.0.1:9060 --insecure flights.ledger`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return readLedger(flags.path, args, func(led *ledger.Ledger) error {
				return flags.run(cmd.Context(), cmd.OutOrStdout(), led)
			})
		},
	}
	ledgerFlag(cmd, &flags.path)
	f := cmd.Flags()
	f.StringVar(&flags.name, "partition", "", "only partitions of this name")
	f.DurationVar(&flags.timeout, "timeout", 30*time.Second, "how long to try to reach the service, for each partition")
	f.BoolVar(&flags.asJSON, "json", false, "print one JSON object")
	flags.service.add(f)
	return cmd
}

// verifyView is what ledger verify prints, as JSON or as text.
type verifyView struct {
	Ledger     string         `json:"ledger"`
	Partitions []verifiedView `json:"partitions"`
	Stops      int            `json:"stops"` // partitions that would stop, or could not be asked
}

type verifiedView struct {
	Partition string `json:"partition"`
	Table     string `json:"table"`
	Stream    string `json:"stream"`
	Verdict   string `json:"verdict"`
	Stops     bool   `json:"stops"` // a start would stop, or it could not be asked
	Acked     int64  `json:"acked"`
	Next      int64  `json:"next"`
	End       int64  `json:"end"`    // of the stream; -1: the service did not say
	Open      int    `json:"open"`   // batches
	Landed    int    `json:"landed"` // those of them that have landed
	What      string `json:"what"`
	Error     string `json:"error,omitempty"` // the service's words
}

func (f *verifyFlags) run(ctx context.Context, out io.Writer, led *ledger.Ledger) error {
	w, err := openWriter(ctx, led, &f.service)
	if err != nil {
		return err
	}
	view, err := f.verify(ctx, led, w)
	if err = errors.Join(err, w.Close(ctx)); err != nil {
		return err
	}
	if f.asJSON {
		err = printJSON(out, view)
	} else {
		err = view.print(out)
	}
	if err == nil && view.Stops > 0 {
		err = errReported
	}
	return err
}

// openWriter returns a writer that gives up soon where load would go on trying.
func openWriter(ctx context.Context, led *ledger.Ledger, service *serviceFlags) (*committed.Writer, error) {
	client, err := service.options()
	if err != nil {
		return nil, err
	}
	return committed.Open(ctx, led, committed.Options{ClientOptions: client, Backoff: retry.Policy{Initial: 100 * time.Millisecond, Max: 2 * time.Second, Multiplier: 2}})
}

// probes at a time.
const verifyParallel = 16

func (f *verifyFlags) verify(ctx context.Context, led *ledger.Ledger, w *committed.Writer) (*verifyView, error) {
	all, err := led.Partitions()
	if err != nil {
		return nil, err
	}
	view := &verifyView{Ledger: led.Path(), Partitions: []verifiedView{}}
	schemas := tableSchemas{w: w, timeout: f.timeout, known: map[string]*tableSchema{}}
	var g errgroup.Group
	g.SetLimit(verifyParallel)
	var found []ledger.Partition
	for _, p := range all {
		if f.name == "" || named(p, f.name) {
			found = append(found, p)
		}
	}
	if f.name != "" && len(found) == 0 {
		return nil, fmt.Errorf("%s: no partition %q", led.Path(), f.name)
	}
	view.Partitions = make([]verifiedView, len(found))
	for i, p := range found {
		g.Go(func() error {
			schema := schemas.of(ctx, p.Key.Table)
			ctx, cancel := context.WithTimeout(ctx, f.timeout)
			defer cancel()
			v, err := w.Verify(ctx, p.Key, schema)
			if err == nil {
				view.Partitions[i] = verified(led, &v)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i := range view.Partitions {
		if view.Partitions[i].Stops {
			view.Stops++
		}
	}
	return view, nil
}

// tableSchemas asks for the schema of each table once.
type tableSchemas struct {
	w       *committed.Writer
	timeout time.Duration

	mu    sync.Mutex // guards known
	known map[string]*tableSchema
}

type tableSchema struct {
	once   sync.Once
	schema *committed.Schema
}

// of returns a table's schema; nil if the service does not tell: the probe is then encoded as the last batch was.
func (s *tableSchemas) of(ctx context.Context, table string) *committed.Schema {
	s.mu.Lock()
	t := s.known[table]
	if t == nil {
		t = &tableSchema{}
		s.known[table] = t
	}
	s.mu.Unlock()
	t.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		t.schema, _ = s.w.TableSchema(ctx, table) // why not, the probe will tell
	})
	return t.schema
}

// verified says in words what a start would do.
func verified(led *ledger.Ledger, v *committed.Verification) verifiedView {
	p := &v.Partition
	open := len(batches(v.Open))
	view := verifiedView{
		Partition: source.DisplayName(p.Key.Name), Table: shortTable(p.Key.Table), Stream: path.Base(p.Stream),
		Acked: p.Acked, Next: p.Next, End: v.End, Open: open, Landed: v.Landed,
	}
	if v.Err != nil && v.End < 0 {
		view.Error = v.Err.Error()
	}
	view.Verdict, view.What, view.Stops = verdictWords(v, open)
	switch {
	case p.Halt != nil:
		what, do := advice.Halt(p.Halt.Cause)
		view.Stops = true
		view.What = fmt.Sprintf("halted, %s: %s; now the service says: %s (%s). %s: eowriter ledger resolve", p.Halt.Cause, what, view.Verdict, view.What, do)
		view.Verdict = "halted"
	case v.Verdict == recovery.InDoubt && p.Resolution != nil:
		view.Stops = false
		view.What = "the stream is gone; a start goes by what a person said has landed"
	case v.Verdict == recovery.Acked && p.Seal != nil:
		view.What += fmt.Sprintf("; the stream is being replaced (%s): a start finishes that, and its final count decides", p.Seal.Reason)
	case v.Verdict == recovery.Acked && suspicious(led, p):
		view.What += "; the ledger was moved, copied or restored: a start takes the stream over"
	}
	return view
}

// verdictWords are a verdict's name, what it means, and whether a start would stop.
func verdictWords(v *committed.Verification, open int) (name, what string, stops bool) {
	switch v.Verdict {
	case recovery.Acked:
		switch {
		case open == 0:
			return "fits", "the stream ends where the ledger says", false
		case v.Landed == 0:
			return "fits", plural.Of(open, "open batch, which has not landed: a start sends it", "open batches, none of which has landed: a start sends them"), false
		}
		return "fits", fmt.Sprintf("%d of %d open batches landed: a start acknowledges those and sends the rest", v.Landed, open), false
	case recovery.AskAgain:
		return "lags", "the service shows an end before what was acknowledged: ask again later; if it stays so, rows are missing, and a start will stop with a conflict", true
	case recovery.Uncounted:
		return "fits", "the service does not say where the stream ends: a start finalizes it and believes its final count", false
	case recovery.FinishRotation:
		return "replacing", "the stream is finalized by this ledger's own seal: a start finishes replacing it", false
	case recovery.NewEpoch:
		return "gone", "the stream is gone, and nothing was open: a start makes a new one", false
	case recovery.Conflict:
		return "conflict", "the stream does not hold what the ledger says: find who else writes to it", true
	case recovery.Fenced:
		return "fenced", "somebody else finalized the stream: go on with the newer ledger, if there is one", true
	case recovery.InDoubt:
		return "in doubt", "the stream is gone: start the writer, which marks it; then look into the table, and eowriter ledger resolve", true
	case recovery.Again:
		return "unreachable", "the service could not be asked: look at endpoint and network, and ask again", true
	case recovery.Propagate:
		return "blocked", "the table has not all columns that the probe has: give it them back, or wait if they are new", true
	}
	return "blocked", "the service refuses: see that the table is there and the account may write to it", true
}

func (v *verifyView) print(out io.Writer) error {
	for i := range v.Partitions {
		p := &v.Partitions[i]
		end := fmt.Sprint(p.End)
		if p.End < 0 {
			end = "unknown"
		}
		text := fmt.Sprintf("%s of %s: %s: %s (end %s, acknowledged %d, bound %d)\n", source.Printable(p.Partition), p.Table, p.Verdict, source.Printable(p.What), end, p.Acked, p.Next)
		if p.Error != "" {
			text += "  " + source.Printable(p.Error) + "\n"
		}
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%s, %d would stop or could not be asked; nothing was changed\n", plural.Of(len(v.Partitions), "partition", "partitions"), v.Stops)
	return err
}
