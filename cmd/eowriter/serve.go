package main

import (
	"fmt"
	"net"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/guard"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/serve"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tail"
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
become dead letters if the append asks for that. The ledger keeps them, see "eowriter ledger letters", and with
--dead-letters they are delivered, those of all partitions, each exactly once: to a file (one JSON object a line, readable
for its owner only; moved away while the sidecar runs, a new one is made) or to a table, as by "eowriter load", whose help
says more. Letters that can't be delivered wait in the ledger, and are tried again.

Socket and port speak gRPC, gRPC-Web and Connect (service eowriter.v1.Writer, whose reference is
cmd/eowriter/api/eowriter/v1/eowriter.proto), and plain HTTP:

` + serve.RowsHelp + `

` + tailHelp + `

The socket is for its owner: it stands in a folder of mode 0700, which is made. A port is taken on loopback only, and by it
comes whoever is on the machine, unless there are --tls-cert and --tls-key, and who comes is asked who it is: by
--tls-client-ca (each client shows a certificate that one of these has signed), by --tokens, or both. --tokens is a file of who is known,
by the SHA-256 of a token ("Authorization: Bearer TOKEN") or by a name in its certificate, and of what each may do:

  clients:
    - name: shop
      sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b   # printf %s TOKEN | sha256sum
      tables: [my-project.shop.*]     # writes to them, and knows of them
    - name: backup
      certificate: backup.internal    # common name, DNS name or URI
      tables: [my-project.audit.log]
    - name: prometheus
      sha256: 486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7
      operator: true                  # status, metrics, all partitions

These files are read again when they change; one that makes no sense is logged, and changes nothing. The socket asks nobody.
Health, and the status page's own files, are anybody's. --admin-listen takes what is for operators off --listen.

Standard output has a line for each address when requests are taken; the log goes to standard error.

For those who operate it: /metrics is for Prometheus (docs/metrics.md lists what is there; deploy/ has alert rules and a dashboard),
/healthz says that the process answers, and /readyz whether it can do its work: 503 and why if it can't. With --otlp-endpoint
metrics go to an OpenTelemetry collector, too, and each append is traced, with its steps as events and a request's traceparent as its
parent; the variables OTEL_EXPORTER_OTLP_HEADERS, …_CERTIFICATE, …_TIMEOUT, …_COMPRESSION, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME and
OTEL_RESOURCE_ATTRIBUTES then count. None of them, nor the log, has values of rows.

SIGTERM and Ctrl-C let land what was accepted, for --drain-timeout; what is left then is named, stays in the ledger, and
lands after the next start. A partition that is halted, since only a person can say what is right, is named in the log at
each start; the others go on. To resolve it: stop the sidecar, do what "eowriter ledger show" says about it, start the sidecar
again ("eowriter ledger" needs the ledger for itself). When the ledger can't be written any more the sidecar ends with exit code 1, for whoever
started it to start it again.`

const defaultConnections = 500 // the library's own

// serveFlags are the flags of serve as they were given.
type serveFlags struct {
	opt         serve.Options
	service     serviceFlags
	log         logFlags
	batchBytes  byteSize
	appendBytes byteSize
	partition   byteSize
	total       byteSize
	deadLetters string
	check       bool
	files       guard.Files
	tail        []string
}

func newServeCommand() *cobra.Command {
	d := ingest.Defaults()
	flags := serveFlags{batchBytes: byteSize(d.BatchBytes), appendBytes: byteSize(d.AppendBytes), partition: byteSize(d.PartitionBytes), total: byteSize(d.TotalBytes)}
	flags.opt.Ingest, flags.opt.Tail = d, tail.Defaults()
	cmd := &cobra.Command{
		Use:   "serve --ledger FILE [--socket FILE] [--listen HOST:PORT] [flags]",
		Short: "Serve programs in any language: rows pushed on a local socket land exactly once",
		Long:  serveHelp,
		Example: `  eowriter serve --ledger orders.ledger --socket run/eowriter.sock
  eowriter serve --config eowriter.yaml --check-config
  printf '{"id": 1}\n{"id": 2}\n' | curl --unix-socket run/eowriter.sock --data-binary @- \
    'http://localhost/v1/tables/p.d.orders/partitions/orders-0/rows?position=2'
  curl --unix-socket run/eowriter.sock http://localhost/v1/tables/p.d.orders/partitions/orders-0
  eowriter serve --ledger logs.ledger --socket run/eowriter.sock --tail '/var/log/shop/*.log=p.d.events'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd) },
	}
	f, in := cmd.Flags(), &flags.opt.Ingest
	f.StringVar(&flags.opt.Ledger, "ledger", "", "file that remembers what was accepted and what has landed; made if there is none")
	f.StringVar(&flags.opt.Socket, "socket", "", "Unix socket to listen on, in a folder of its own")
	f.StringVar(&flags.opt.Listen, "listen", "", "HOST:PORT to listen on, on loopback unless clients are asked who they are; port 0: any free one")
	f.StringVar(&flags.opt.AdminListen, "admin-listen", "", "HOST:PORT for operators alone: status page, metrics, health, and calls that only read; without it --listen has them")
	f.StringArrayVar(&flags.tail, "tail", nil, "GLOB=PROJECT.DATASET.TABLE: follow the logs of newline-delimited JSON that match; may be repeated")
	f.StringVar(&flags.files.Cert, "tls-cert", "", "file with the ports' certificate and those that signed it, PEM")
	f.StringVar(&flags.files.Key, "tls-key", "", "file with its key, PEM")
	f.StringVar(&flags.files.ClientCA, "tls-client-ca", "", "file with the certificates that sign clients' certificates, PEM: clients must show one")
	f.StringVar(&flags.files.Tokens, "tokens", "", "file of who may come by the ports, and what each may do, YAML")
	f.IntVar(&flags.opt.MaxConnections, "max-connections", 2000, "most connections of socket and ports each; beyond, a new one takes the place of the one idle for longest")
	f.IntVar(&flags.opt.MaxRequests, "max-requests", 2000, "most requests at the same time by socket and ports each; beyond, they are refused with 429")
	f.BoolVar(&flags.opt.Pprof, "pprof", false, "profiles at /debug/pprof/, by the socket and on loopback")
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
	f.StringVar(&flags.deadLetters, "dead-letters", "", "file or PROJECT.DATASET.TABLE that gets the rows that are refused")
	f.IntVar(&flags.opt.Connections, "connections", defaultConnections, "most connections to BigQuery at the same time, for which partitions take turns; a project has 1000 a region, 10000 in us and eu")
	f.Int64Var(&in.MaxDead, "max-dead-letters", in.MaxDead, "most dead letters of a partition; 0: a row that BigQuery refuses stops it")
	addChoices(f, &in.Choices, "")
	f.DurationVar(&in.OpenWait, "open-wait", in.OpenWait, "how long an append waits for its partition to be opened before it is refused with 503")
	f.DurationVar(&flags.opt.ContactTimeout, "contact-timeout", 10*time.Second, "how long to try at the start to reach the service; 0: start without")
	f.DurationVar(&flags.opt.DrainTimeout, "drain-timeout", 25*time.Second, "how long to let land what was accepted, at the end")
	f.StringVar(&flags.opt.Collector, "otlp-endpoint", "", "URL of an OpenTelemetry collector for metrics and traces (OTLP over HTTP), such as http://127.0.0.1:4318")
	flags.log.add(f)
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
	if opt.Tail.Globs, err = tailGlobs(fl.tail); err != nil {
		return err
	}
	if fl.files != (guard.Files{}) {
		if err := checkFiles(fl.files); err != nil {
			return err
		}
		if opt.Guard, err = guard.Open(fl.files); err != nil {
			return err
		}
	}
	if opt.DeadLetters, opt.DeadTable, err = fileOrTable(fl.deadLetters); err != nil {
		return err
	}
	if err := checkServe(opt); err != nil {
		return err
	}
	if opt.Log, err = fl.log.logger(cmd.ErrOrStderr()); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if fl.check {
		_, err := fmt.Fprintln(out, "the configuration makes sense")
		return err
	}
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
	case opt.Connections < 1 || opt.Connections > 10_000:
		return usagef("--connections must be from 1 to 10000")
	case opt.MaxConnections < 1 || opt.MaxRequests < 1:
		return usagef("--max-connections and --max-requests must be at least 1")
	case in.MaxPartitions < 1:
		return usagef("--max-partitions must be at least 1")
	case in.MaxDead < 0:
		return usagef("--max-dead-letters must not be negative")
	case in.Linger < 0 || in.OpenWait < 0 || opt.ContactTimeout < 0 || opt.DrainTimeout < 0:
		return usagef("--linger, --open-wait, --contact-timeout and --drain-timeout must not be negative")
	}
	if err := checkCollector(opt.Collector); err != nil {
		return err
	}
	if err := checkListen("listen", opt.Listen, opt.Guard); err != nil {
		return err
	}
	return checkListen("admin-listen", opt.AdminListen, opt.Guard)
}

// checkFiles refuses files that don't go together.
func checkFiles(f guard.Files) error {
	switch {
	case (f.Cert == "") != (f.Key == ""):
		return usagef("--tls-cert and --tls-key need each other")
	case f.ClientCA != "" && f.Cert == "":
		return usagef("--tls-client-ca needs --tls-cert and --tls-key")
	}
	return nil
}

// checkListen refuses what isn't an address of this machine, unless who comes by it is asked who it is.
func checkListen(flag, address string, g *guard.Guard) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return usagef("--%s %q: want HOST:PORT", flag, address)
	}
	if !loopback(host) && !g.Strict() {
		return usagef("--%s %s: %s", flag, address, serve.OnlyLoopback)
	}
	return nil
}
