package emulator

import (
	"fmt"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Kind names what a fault does. Its text is what --fault takes.
type Kind string

// The kinds of faults. "Ends the RPC" means that the AppendRows call ends with a status: what it hasn't answered may
// have been written or not.
const (
	CloseBefore  Kind = "close-before"
	CloseAfter   Kind = "close-after"
	ErrorBefore  Kind = "error"
	ErrorAfter   Kind = "error-after"
	Abort        Kind = "abort"
	Stall        Kind = "stall"
	ResetBefore  Kind = "reset-before"
	ResetAfter   Kind = "reset-after"
	GoAwayBefore Kind = "goaway"
	GoAwayAfter  Kind = "goaway-after"
	StaleEnd     Kind = "stale-end"
	Finalize     Kind = "finalize"
	Expire       Kind = "expire"
	Intervals    Kind = "intervals"
	InternalEach Kind = "internal-every"
	DropConnect  Kind = "drop-connect"
	RefuseCreate Kind = "refuse-create"
	CreateLost   Kind = "create-lost"
	FinalizeLost Kind = "finalize-lost"
)

// KindInfo is a kind with one line on what it does.
type KindInfo struct {
	Kind Kind
	Does string
}

// KindList lists all kinds in the order of the documentation.
func KindList() []KindInfo {
	list := make([]KindInfo, len(kinds))
	for i, k := range kinds {
		list[i] = k.KindInfo
	}
	return list
}

// point is the moment at which a kind of fault is decided.
type point int

const (
	atOpen      point = iota // the first request of an AppendRows call, before the connection is attached
	atReconnect              // a stream that was connected to before is attached again
	atRequest                // an append, before it is judged
	atCreate                 // CreateWriteStream
	atFinalize               // FinalizeWriteStream
)

type kindRule struct {
	KindInfo
	at    point
	goOn  bool  // the request is judged all the same, and later faults may fire on it too
	every int64 // Every when it is 0, if that isn't 1
}

var kinds = []kindRule{
	{KindInfo{CloseBefore, "end the RPC with UNAVAILABLE without applying the request"}, atRequest, false, 0},
	{KindInfo{CloseAfter, "apply the request, then end the RPC with UNAVAILABLE without answering it"}, atRequest, false, 0},
	{KindInfo{ErrorBefore, "answer with an in-response error (code=, message=) without applying"}, atRequest, false, 0},
	{KindInfo{ErrorAfter, "apply the request, yet answer with an in-response error (code=, message=)"}, atRequest, false, 0},
	{KindInfo{Abort, "end the RPC with the given status (code=, message=) without applying"}, atRequest, false, 0},
	{KindInfo{Stall, "do nothing for delay=, or until the connection ends, then go on"}, atRequest, true, 0},
	{KindInfo{ResetBefore, "TCP reset of the connection (all=true: of every one) without applying"}, atRequest, false, 0},
	{KindInfo{ResetAfter, "apply the request, then TCP reset (all=true: of every connection)"}, atRequest, false, 0},
	{KindInfo{GoAwayBefore, "GOAWAY on every connection, the open RPCs end with UNAVAILABLE, not applied"}, atRequest, false, 0},
	{KindInfo{GoAwayAfter, "apply the request, then GOAWAY as above without answering it"}, atRequest, false, 0},
	{KindInfo{StaleEnd, "after a reconnect the first checks= offset checks see an end lag= appends old"}, atReconnect, false, 0},
	{KindInfo{Finalize, "finalize the stream behind the writer's back before judging the request"}, atRequest, true, 0},
	{KindInfo{Expire, "let the stream expire before judging the request"}, atRequest, true, 0},
	{KindInfo{Intervals, "end an RPC with ABORTED at the request after its every= first ones (default 10)"}, atRequest, false, 10},
	{KindInfo{InternalEach, "answer each every=th request with INTERNAL in-response, not applied (default 10)"}, atRequest, false, 10},
	{KindInfo{DropConnect, "fail the opening of AppendRows with UNAVAILABLE"}, atOpen, false, 0},
	{KindInfo{RefuseCreate, "refuse CreateWriteStream with its quota's RESOURCE_EXHAUSTED"}, atCreate, false, 0},
	{KindInfo{CreateLost, "create the stream, then answer UNAVAILABLE"}, atCreate, false, 0},
	{KindInfo{FinalizeLost, "finalize the stream, then answer UNAVAILABLE"}, atFinalize, false, 0},
}

func ruleOf(k Kind) (kindRule, bool) {
	for _, r := range kinds {
		if r.Kind == k {
			return r, true
		}
	}
	return kindRule{}, false
}

// Fault is something that goes wrong on demand. It fires on requests that match, by a count or by chance; where
// several could fire on one request, the first one in the order of their injection does.
type Fault struct {
	Kind          Kind
	Stream, Table string  // full names to match; empty: any
	After         int64   // let this many matching requests pass first
	Every         int64   // then fire on every n-th (0: each one, or the kind's default)
	Probability   float64 // instead of Every: by chance, keyed by seed, stream and the ordinal on it of what the fault is decided at
	Count         int64   // fire at most so often; 0: no limit

	// Error is the answer of the kinds that answer; nil: what the service says. A StorageError among its details goes
	// to the trailer too. The stream's name is added to its text.
	Error  *status.Status
	Delay  time.Duration // Stall; 0: until the connection ends
	All    bool          // ResetBefore, ResetAfter: every connection
	Lag    int64         // StaleEnd: how many appends older the end is, up to 64; 0 means 1
	Checks int64         // StaleEnd: how many offset checks see it; 0 means 1
}

// Validate says what is wrong with a fault.
func (f Fault) Validate() error {
	switch {
	case f.rule().Kind == "":
		return fmt.Errorf("unknown fault kind %q", string(f.Kind))
	case f.After < 0 || f.Every < 0 || f.Count < 0 || f.Delay < 0 || f.Lag < 0 || f.Checks < 0:
		return fmt.Errorf("fault %s: no number may be negative", f.Kind)
	case f.Lag > endsKept:
		return fmt.Errorf("fault %s: lag is at most %d", f.Kind, endsKept)
	case !(f.Probability >= 0 && f.Probability <= 1):
		return fmt.Errorf("fault %s: a probability is from 0 to 1", f.Kind)
	case f.Error != nil && f.Error.Code() == codes.OK:
		return fmt.Errorf("fault %s: OK is no error", f.Kind)
	}
	return nil
}

func (f Fault) rule() kindRule {
	r, _ := ruleOf(f.Kind)
	return r
}

// answer is the fault's error for entity: its own, or else the given one.
func (f Fault) answer(entity string, otherwise *apiError) *apiError {
	if f.Error == nil {
		return otherwise
	}
	e := errorf(f.Error.Code(), entity, "%s", f.Error.Message())
	for _, d := range f.Error.Details() {
		if detail, ok := d.(*storagepb.StorageError); ok {
			e.storage, e.short = detail.GetCode(), detail.GetErrorMessage()
		}
	}
	return e
}

func brokenConnection() *apiError {
	return errorf(codes.Unavailable, "", "Connection to server broken")
}

func transientInternal(stream string) *apiError {
	return errorf(codes.Internal, stream, "Internal error encountered.")
}

func intervalClose(stream string, every int64) *apiError {
	return errorf(codes.Aborted, stream, "Closing the stream on request intervals: %d", every)
}

// createQuota is the text of case 5.
func createQuota(table string) *apiError {
	return errorf(codes.ResourceExhausted, table, "Exceeds 'CreateWriteStream requests' quota, user_id: "+
		"project0000000000000001_us (status: INSUFFICIENT_TOKENS), you can issue a raise quota request through Google "+
		"Cloud Console. Be sure to include this full error message in the request description. Before requesting an "+
		"increase, please ensure your existing streams have enough utilization in terms of write traffic. For guidelines "+
		"see https://cloud.google.com/bigquery/docs/write-api-best-practices#limit_the_rate_of_stream_creation.")
}
