package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/statusview"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"
)

const statusHelp = `Show how a sidecar does: first what needs a person, then sums, the ledger, and the partitions.

--socket, or --address, say where the sidecar is; --config may be the sidecar's own file, in which its socket stands. A sidecar
that wants to know who asks is shown the token in --token-file; the certificate of a private authority is trusted if it is in the
file that the variable SSL_CERT_FILE names.

--watch shows it again each second until Ctrl-C, and goes on when the sidecar is started anew: on a terminal always in the
same place, otherwise one after another. There are colours on a terminal unless the variable NO_COLOR is set.

--json prints one object (a line for each with --watch), with all partitions: "status" and "partitions" are the answers to
GetStatus and FindPartitions, whose reference is cmd/eowriter/api/eowriter/v1/status.proto.

Exit code: 0 if the sidecar was asked, 1 if it was not reached, 2 usage. With --check 1 also if a partition (of --table, if that
is given) is halted or waits for something that doesn't work now, or the ledger has failed: for scripts. As a check whether to
restart the sidecar leave out --check: that a partition is halted is mended by no restart.`

// statusFlags are the flags of status as they were given.
type statusFlags struct {
	socket, address, tokenFile, table string
	watch, asJSON, check              bool
	limit                             int
}

func newStatusCommand() *cobra.Command {
	var flags statusFlags
	cmd := &cobra.Command{
		Use:   "status (--socket FILE | --address URL) [flags]",
		Short: "Show how a sidecar does: what needs a person, how much lands, and where each partition is",
		Long:  statusHelp,
		Example: `  eowriter status --socket run/eowriter.sock
  eowriter status --socket run/eowriter.sock --watch --table p.d.orders
  eowriter status --address https://127.0.0.1:8460 --token-file operator.token
  eowriter status --config eowriter.yaml --check >/dev/null || echo 'something needs a person'
  eowriter status --socket run/eowriter.sock --json | jq '.partitions[].partition.position'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.socket, "socket", "", "Unix socket of the sidecar")
	f.StringVar(&flags.address, "address", "", "URL of the sidecar, such as http://127.0.0.1:8460; goes before --socket")
	f.StringVar(&flags.tokenFile, "token-file", "", "file with the token to show")
	f.StringVar(&flags.table, "table", "", "only partitions of this table, PROJECT.DATASET.TABLE")
	f.IntVar(&flags.limit, "limit", 20, "most partitions to list as text, those first that need a person; 0: all")
	f.BoolVar(&flags.watch, "watch", false, "again each second, until Ctrl-C")
	f.BoolVar(&flags.asJSON, "json", false, "print JSON")
	f.BoolVar(&flags.check, "check", false, "end with 1 if something needs a person, or waits")
	_ = cmd.RegisterFlagCompletionFunc("table", flags.tables) // its error: there is one already
	return cmd
}

func (fl *statusFlags) run(cmd *cobra.Command) error {
	target, err := fl.target()
	if err != nil {
		return err
	}
	switch {
	case fl.watch && fl.check:
		return usagef("--check says how it is now: it can't be combined with --watch")
	case fl.limit < 0:
		return usagef("--limit must not be negative")
	}
	query := statusview.Query{Limit: fl.limit}
	if fl.table != "" {
		name, err := tableName(fl.table)
		if err != nil {
			return err
		}
		query.Table = shortTable(name)
	}
	client := statusview.NewClient(target)
	defer client.Close()
	out := cmd.OutOrStdout()
	if fl.asJSON {
		query.Limit = 0
		if fl.watch {
			return watchJSON(cmd, client, query)
		}
	}
	if fl.watch {
		return screenOf(out).Watch(cmd.Context(), client, query)
	}
	view, err := client.Ask(cmd.Context(), query)
	if err != nil {
		return err
	}
	if fl.asJSON {
		err = printView(out, view)
	} else {
		err = screenOf(out).Print(view.Lines())
	}
	if err == nil && fl.check && !view.Fine() {
		err = errReported
	}
	return err
}

// target is the sidecar that the flags name.
func (fl *statusFlags) target() (*statusview.Target, error) {
	t := &statusview.Target{Socket: fl.socket}
	if fl.address != "" {
		u, err := url.Parse(fl.address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
			return nil, usagef("--address %q: want a URL such as http://127.0.0.1:8460", fl.address)
		}
		t.Address = u
	} else if fl.socket == "" {
		return nil, usagef("--socket or --address is needed")
	}
	if fl.tokenFile == "" {
		return t, nil
	}
	if u := t.Address; u != nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, usagef("--token-file: the token would go to %s in plain text: use https", u.Host)
	}
	text, err := os.ReadFile(fl.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("--token-file: %w", err)
	}
	if t.Token = strings.TrimSpace(string(text)); t.Token == "" || strings.ContainsAny(t.Token, "\r\n") {
		return nil, usagef("--token-file %s: want one line with the token", fl.tokenFile)
	}
	return t, nil
}

// screenOf is a terminal, if out is one that can be drawn on.
func screenOf(out io.Writer) *statusview.Screen {
	s := &statusview.Screen{Out: out}
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return s
	}
	s.Colors = os.Getenv("NO_COLOR") == ""
	s.Size = func() (width, height int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width < 1 || height < 2 {
			return 80, 24
		}
		return width, height
	}
	return s
}

// viewJSON is a view as --json prints it.
type viewJSON struct {
	Status     json.RawMessage   `json:"status"`
	Partitions []json.RawMessage `json:"partitions"`
}

func printView(out io.Writer, v *statusview.View) error {
	text := protojson.MarshalOptions{UseProtoNames: true}
	status, err := text.Marshal(v.Status)
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	j := viewJSON{Status: status, Partitions: []json.RawMessage{}}
	for _, p := range v.Partitions {
		one, err := text.Marshal(p)
		if err != nil {
			return fmt.Errorf("write the status: %w", err)
		}
		j.Partitions = append(j.Partitions, one)
	}
	return printJSON(out, j)
}

// watchJSON prints a view each second until Ctrl-C; why there is none goes to stderr, once.
func watchJSON(cmd *cobra.Command, client *statusview.Client, query statusview.Query) error {
	lost := false
	return client.Each(cmd.Context(), query, func(v *statusview.View, err error) error {
		if err != nil && !lost {
			printError(cmd.ErrOrStderr(), fmt.Errorf("%s: %w", time.Now().Format(time.TimeOnly), err))
		}
		if lost = err != nil; lost {
			return nil
		}
		return printView(cmd.OutOrStdout(), v)
	})
}
