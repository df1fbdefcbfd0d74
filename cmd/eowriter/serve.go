package main

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/serve"
	"github.com/spf13/cobra"
)

const serveHelp = `Serve programs in any language: they hand over rows on a local socket, and each row lands in a table exactly once.

A producer divides its rows into appends to a partition, an ordered sequence of rows into one table, and gives each a
position: a token of its own, such as the offset in its source up to which the append reaches. An append names the
position that it brings the partition to, and the one that it expects the partition to be at. A producer that starts
asks for the partition's position and goes on from there; one that gets no answer sends the same append again. So
nothing is lost and nothing lands twice, whoever dies: producer, sidecar or connection. An append without positions is
taken as it is, and its answer says at_least_once.

An append is answered when it has landed in BigQuery, or, if it asks for that, when it is stored: durable in the ledger,
to land later, also if the sidecar is killed and started again. When rows come faster than they land, appends are
refused with 429 (RESOURCE_EXHAUSTED) and Retry-After. Rows that are none of the table's make the whole append fail, or
become dead letters if the append asks for that: the ledger keeps them, see "eowriter ledger letters".

Socket and port speak gRPC, gRPC-Web and Connect (service eowriter.v1.Writer, whose reference is
cmd/eowriter/api/eowriter/v1/eowriter.proto), and plain HTTP:

` + serve.RowsHelp + `

The socket is for its owner: it stands in a folder of mode 0700, which is made. A port is taken on loopback only.
Standard output has a line for each address when requests are taken; the log goes to standard error.

SIGTERM and Ctrl-C let land what was accepted, for --drain-timeout; what is left then is named, stays in the ledger, and
lands after the next start. When the ledger can't be written any more the sidecar ends with exit code 1, for whoever
started it to start it again.`

// serveFlags are the flags of serve as they were given.
type serveFlags struct {
	opt         serve.Options
	service     serviceFlags
	batchBytes  byteSize
	appendBytes byteSize
	partition   byteSize
	total       byteSize
	check       bool
}

func newServeCommand() *cobra.Command {
	d := ingest.Defaults()
	flags := serveFlags{batchBytes: byteSize(d.BatchBytes), appendBytes: byteSize(d.AppendBytes), partition: byteSize(d.PartitionBytes), total: byteSize(d.TotalBytes)}
	flags.opt.Ingest = d
	cmd := &cobra.Command{
		Use:   "serve --ledger FILE [--socket FILE] [--listen HOST:PORT] [flags]",
		Short: "Serve programs in any language: rows pushed on a local socket land exactly once",
		Long:  serveHelp,
		Example: `  eowriter serve --ledger orders.ledger --socket run/eowriter.sock
  eowriter serve --config eowriter.yaml --check-config
  printf '{"id": 1}\n{"id": 2}\n' | curl --unix-socket run/eowriter.sock --data-binary @- \
    'http://localhost/v1/tables/p.d.orders/partitions/orders-0/rows?position=2'
  curl --unix-socket run/eowriter.sock http://localhost/v1/tables/p.d.orders/partitions/orders-0`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd) },
	}
	f, in := cmd.Flags(), &flags.opt.Ingest
	f.StringVar(&flags.opt.Ledger, "ledger", "", "file that remembers what was accepted and what has landed; made if there is none")
	f.StringVar(&flags.opt.Socket, "socket", "", "Unix socket to listen on, in a folder of its own")
	f.StringVar(&flags.opt.Listen, "listen", "", "HOST:PORT on loopback to listen on; port 0: any free one")
	f.StringVar(&flags.opt.AdminListen, "admin-listen", "", "HOST:PORT for operators alone: health, and calls that only read; without it --listen has them")
	f.BoolVar(&flags.check, "check-config", false, "only say whether flags, variables and --config make sense")
	f.DurationVar(&in.Linger, "linger", in.Linger, "how long an append may wait for others to share a request, while the partition has one on its way")
	f.IntVar(&in.BatchRows, "batch-rows", in.BatchRows, "most rows that share a request")
	f.Var(&flags.batchBytes, "batch-bytes", "most bytes of encoded rows that share a request, up to 9MiB")
	f.IntVar(&in.AppendRows, "append-rows", in.AppendRows, "most rows of an append")
	f.Var(&flags.appendBytes, "append-bytes", "most bytes of an append's rows, decompressed, up to 9MiB")
	f.Var(&flags.partition, "partition-memory", "most bytes of rows that a partition may have accepted and not landed")
	f.Var(&flags.total, "memory", "most bytes of rows that all partitions together may have accepted and not landed")
	f.IntVar(&in.PartitionAppends, "partition-appends", in.PartitionAppends, "most appends that a partition may have accepted and not landed")
	f.IntVar(&in.TotalAppends, "appends", in.TotalAppends, "most appends that all partitions together may have accepted and not landed")
	f.IntVar(&flags.opt.StreamAppends, "stream-appends", 64, "most appends of an AppendStream that may be unanswered")
	f.IntVar(&in.MaxPartitions, "max-partitions", in.MaxPartitions, "most partitions, those in the ledger included; a partition is made by its first append")
	f.Int64Var(&in.MaxDead, "max-dead-letters", in.MaxDead, "most dead letters of a partition; 0: a row that BigQuery refuses stops it")
	addChoices(f, &in.Choices, "")
	f.DurationVar(&in.OpenWait, "open-wait", in.OpenWait, "how long an append waits for its partition to be opened before it is refused with 503")
	f.DurationVar(&flags.opt.ContactTimeout, "contact-timeout", 10*time.Second, "how long to try at the start to reach the service; 0: start without")
	f.DurationVar(&flags.opt.DrainTimeout, "drain-timeout", 25*time.Second, "how long to let land what was accepted, at the end")
	flags.service.add(f)
	return cmd
}

func (fl *serveFlags) run(cmd *cobra.Command) (err error) {
	opt := &fl.opt
	in := &opt.Ingest
	in.BatchBytes, in.AppendBytes, in.PartitionBytes, in.TotalBytes = int64(fl.batchBytes), int64(fl.appendBytes), int64(fl.partition), int64(fl.total)
	if opt.ClientOptions, err = fl.service.options(); err != nil {
		return err
	}
	if err := checkServe(opt); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if fl.check {
		_, err := fmt.Fprintln(out, "the configuration makes sense")
		return err
	}
	opt.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	opt.Ready = func(addresses []string) {
		for _, a := range addresses {
			fmt.Fprintln(out, a)
		}
	}
	return serve.Run(cmd.Context(), *opt)
}

// checkServe checks the command line.
func checkServe(opt *serve.Options) error {
	in := &opt.Ingest
	switch {
	case opt.Ledger == "":
		return usagef("--ledger is needed")
	case opt.Socket == "" && opt.Listen == "":
		return usagef("--socket or --listen is needed")
	case in.BatchRows < 1 || in.BatchRows > 1_000_000:
		return usagef("--batch-rows must be from 1 to 1000000")
	case in.BatchBytes < 1 || in.BatchBytes > maxBatchBytes:
		return usagef("--batch-bytes must be from 1 to 9MiB")
	case in.AppendRows < 1 || in.AppendRows > 1_000_000:
		return usagef("--append-rows must be from 1 to 1000000")
	case in.AppendBytes < 1 || in.AppendBytes > maxBatchBytes:
		return usagef("--append-bytes must be from 1 to 9MiB")
	case in.PartitionBytes < in.AppendBytes:
		return usagef("--partition-memory must be at least --append-bytes")
	case in.TotalBytes < in.PartitionBytes:
		return usagef("--memory must be at least --partition-memory")
	case in.PartitionAppends < 1 || in.TotalAppends < in.PartitionAppends:
		return usagef("--partition-appends must be at least 1, and --appends at least as many")
	case opt.StreamAppends < 1 || opt.StreamAppends > 10_000:
		return usagef("--stream-appends must be from 1 to 10000")
	case in.MaxPartitions < 1:
		return usagef("--max-partitions must be at least 1")
	case in.MaxDead < 0:
		return usagef("--max-dead-letters must not be negative")
	case in.Linger < 0 || in.OpenWait < 0 || opt.ContactTimeout < 0 || opt.DrainTimeout < 0:
		return usagef("--linger, --open-wait, --contact-timeout and --drain-timeout must not be negative")
	}
	if err := checkListen("listen", opt.Listen); err != nil {
		return err
	}
	return checkListen("admin-listen", opt.AdminListen)
}

// checkListen refuses what isn't an address of this machine.
func checkListen(flag, address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return usagef("--%s %q: want HOST:PORT", flag, address)
	}
	if !loopback(host) {
		return usagef("--%s %s: only on loopback, such as 127.0.0.1:8460: others could write rows and read positions", flag, address)
	}
	return nil
}
