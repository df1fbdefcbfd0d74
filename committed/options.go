package committed

import (
	"time"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
	"golang.org/x/time/rate"
	"google.golang.org/api/option"
)

// Options configure a Writer. The zero value of a field means its default.
type Options struct {
	// ClientOptions reach the service: endpoint, credentials. option.WithGRPCConn is
	// not supported: the writer needs interceptors on its connections.
	ClientOptions []option.ClientOption
	Events        Events

	WindowRequests  int   // open batches of a partition, those of earlier runs too; default 256: a slow disk should not be waited for
	WindowBytes     int64 // their bytes; default 32 MiB; one batch always fits
	MaxRequestBytes int64 // rows, descriptor and names of one append; default 9.5 MiB: some projects have 10 MiB, others 20

	MaxConnections int           // at the same time; default 500 (the quota is 1,000 a region)
	IdleTimeout    time.Duration // a connection unused for so long is let go; default 60 s
	AnswerTimeout  time.Duration // without any answer for so long, a connection counts as broken; default 3 min (the service itself gives up after 2)
	CallTimeout    time.Duration // of one create, get or finalize call; default 60 s
	StreamAge      time.Duration // a stream without traffic for so long is replaced; default 60 h (the service drops it after 3 days)

	CreateRate  rate.Limit // streams created per second; default 2.5 (the quota is 10,000 an hour)
	CreateBurst int        // default 50

	Backoff retry.Policy // between tries; default retry.DefaultPolicy()
}

func (o Options) withDefaults() Options {
	setDefault(&o.WindowRequests, 256)
	setDefault(&o.WindowBytes, 32<<20)
	setDefault(&o.MaxRequestBytes, 19<<19)
	setDefault(&o.MaxConnections, 500)
	setDefault(&o.IdleTimeout, time.Minute)
	setDefault(&o.AnswerTimeout, 3*time.Minute)
	setDefault(&o.CallTimeout, time.Minute)
	setDefault(&o.StreamAge, 60*time.Hour)
	setDefault(&o.CreateRate, 2.5)
	setDefault(&o.CreateBurst, 50)
	setDefault(&o.Backoff, retry.DefaultPolicy())
	return o
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Events are told what happens. Any may be nil. They are called with a partition's
// lock held (but for the beginning of B1, in the caller's goroutine), in order: they must
// be quick and must not call the partition.
type Events struct {
	// Step is called when a numbered step begins and when it is done. Steps are
	// listed in Steps and Endings. B4 is the service's and never seen here.
	Step func(StepEvent)
	// Sent is called for every append handed to the client; again tells a replay
	// from the first time.
	Sent func(key ledger.Key, in ledger.Intent, again bool)
	// Landed is called for every batch that was acknowledged, also those of an
	// earlier run. Ack.Duplicate tells that an ambiguous answer was settled.
	Landed func(key ledger.Key, ack Ack)
	// Connected is called when a connection to the partition's stream may be used.
	Connected func(key ledger.Key)
	// Answered is called when an answer has been judged (B5), or a connection has ended.
	// Nothing is told of a connection that was given up before.
	Answered func(key ledger.Key, a Answered)
	// Waiting is called before the partition waits to try again, with what it waits for.
	Waiting func(key ledger.Key, kind recovery.WaitKind, attempt int, delay time.Duration)
	// Sealed is called when a stream is to be replaced, durably (R2), or its partition is finished (F1).
	Sealed func(key ledger.Key, epoch uint64, seal ledger.Seal)
	// SchemaChanged is called when Partition.Schema has changed, with the new one.
	SchemaChanged func(key ledger.Key, schema *Schema)
	// SchemaUnusable is called when the table has a new schema that no writer schema can be
	// derived from, or that can't be asked for while the partition waits for it. The
	// partition goes on with the one before.
	SchemaUnusable func(key ledger.Key, err error)
}

// Answered is what came back, and what it was judged to mean.
type Answered struct {
	Class   retry.Class
	Verdict recovery.Verdict // 0: it was about nothing that awaited an answer
	Append  bool             // it was about an append, not about a probe or the connection alone
	Broken  bool             // the connection has ended
}

// StepEvent is a moment in the life of a batch, a stream or a partition.
type StepEvent struct {
	Key  ledger.Key
	Step Step
	Done bool // false: about to begin
}

// Step is the number of a step in the life of a batch, a stream or a partition, as ARCHITECTURE.md has them.
type Step string

// Steps are the numbered steps of writing, in their order. For each there is a crash test.
var Steps = []Step{O1, O2, O3, B1, B2, B3, B4, B5, B6, B7, R1, R2, R3, R4, R5}

// Endings are the steps of a partition that is retired, or that stops with a mark. For each
// there is a crash test, too.
var Endings = []Step{F1, F2, F3, H1}

const (
	O1 Step = "O1" // create the first stream
	O2 Step = "O2" // its name is durable
	O3 Step = "O3" // probe it
	B1 Step = "B1" // accept a batch
	B2 Step = "B2" // bind: the intent is durable
	B3 Step = "B3" // send the append
	B4 Step = "B4" // the service applies it
	B5 Step = "B5" // judge the answer
	B6 Step = "B6" // acknowledge: durable
	B7 Step = "B7" // resolve the caller's result
	R1 Step = "R1" // create the successor
	R2 Step = "R2" // seal: durable
	R3 Step = "R3" // finalize
	R4 Step = "R4" // settle: durable
	R5 Step = "R5" // probe the successor
	F1 Step = "F1" // seal as finished: durable
	F2 Step = "F2" // finalize
	F3 Step = "F3" // the ledger forgets the partition: durable
	H1 Step = "H1" // the mark of a stop is durable
)
