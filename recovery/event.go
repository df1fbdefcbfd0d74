package recovery

import (
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
)

// EventKind says what happened.
type EventKind uint8

// The events. Those of the ledger come once for every write that an action asked
// for, in the order of the actions; those of calls once for every action that Next
// returned; Answered once for every Probe and Send of a connection, in their order,
// unless Broken ends the connection first.
const (
	Start EventKind = 1 + iota // the ledger's word on the partition: Partition (nil: unknown), Intents, Suspicious, Aged

	Offered // a caller's batch was accepted (B1): Intent, complete but for Start; its number is NextBatch

	Opened       // ledger: OpenEpoch is durable: Partition, Suspicious
	Bound        // ledger: the oldest Bind is durable
	Acknowledged // ledger: Acknowledge is durable
	Sealed       // ledger: Seal is durable
	Settled      // ledger: Settle is durable: Partition, Suspicious
	Halted       // ledger: Halt is durable
	Forgotten    // ledger: Forget is durable
	Failed       // ledger: a write failed or was refused: Err

	Created    // call: the stream Name was created
	Finalized  // call: the stream is finalized and has Count rows
	CallFailed // call: Create or Finalize failed: Answer
	Connected  // call: connection Conn may be used
	Unreadable // call: the rows for a Send or an Examine are not to be had: Err
	Examined   // call: Contents of the refused rows (of Schema, unless they are the source's own), or Intent as it is encoded anew

	Answered // connection Conn: an answer to the oldest Probe or Send: Answer
	Broken   // connection Conn: it ended, what was in flight has no answer: Answer

	Timer   // the time asked for by Wait is over
	Renewed // the table's schema has changed: the probe and new streams have the writer schema Schema, serialized Descriptor
	Idle    // nothing to do for long: let the connection go
	Yield   // others wait for a connection: let it go when nothing is in flight
	Age     // the stream is near the end of its time to live
	Retire  // the partition is finished: forget it when everything has landed
)

// Event is something that happened, to be given to Machine.Step. Which fields
// count is said at its Kind.
type Event struct {
	Kind       EventKind
	Partition  *ledger.Partition
	Intents    []ledger.Intent
	Suspicious bool // the partition's Owner is not the ledger's identity
	OwnSeal    bool // but the one that sealed it is: Start
	Aged       bool // the stream had no traffic for most of its time to live
	Intent     ledger.Intent
	Name       string
	Count      int64
	Conn       uint64
	Answer     *retry.Answer
	Err        error
	Contents   [][]byte
	Schema     ledger.Fingerprint
	Descriptor []byte
}

// ActionKind says what is to be done.
type ActionKind uint8

// The actions. The first group is returned by Step and must not block, the second by Next.
const (
	OpenEpoch   ActionKind = 1 + iota // ledger: Opening (O2); then Opened
	Bind                              // ledger: Epoch, Intent (B2); then Bound
	Acknowledge                       // ledger: Epoch, Number, End (B6); then Acknowledged
	Seal                              // ledger: Epoch, Seal (R2; F1 if it is for Finished); then Sealed
	Settle                            // ledger: Epoch, Settlement (R4); then Settled
	Halt                              // ledger: Epoch, Halt (H1): the mark of a stop that must outlive this run; then Halted, and Stop
	Forget                            // ledger: Epoch, End (F3): retire the partition; then Forgotten
	Stored                            // the intent of Batch is durable
	Landed                            // Batch is acknowledged, durably: Ack (B7)
	Ready                             // the probe fitted: the partition is open
	Wait                              // a Timer event after a while: Wait, Attempt
	Disconnect                        // give up the connection
	Stop                              // the partition is finished or stuck: Cause; nothing more will come

	Create   // call: CreateWriteStream (R1 if Epoch is the one it ends, O1 if it is 0); then Created or CallFailed
	Connect  // call: a connection Conn to Stream with the writer schema Schema, in place of the one before; then Connected or Broken
	Probe    // send: the probe, encoded with Schema, on connection Conn (O3, R5); then Answered or Broken
	Send     // send: Intent's rows of Batch, encoded with Schema, on connection Conn (B3); then Answered, Broken or Unreadable
	Finalize // call: FinalizeWriteStream of Stream, under Seal (R3, F2); then Finalized or CallFailed

	// call: look at the rows of Intent, all that is left of Batch; then Examined or Unreadable.
	// With Refused: their contents are wanted, in that order. Without: the rows are to be
	// encoded anew; Examined's Intent then has another Of, Bytes, Dead, Without, Schema and
	// Encoder. From > 0 says that some have landed: then Of, Dead and Without must stay.
	Examine
)

// Action is something to do. Which fields count is said at its Kind.
type Action struct {
	Kind       ActionKind
	Epoch      uint64
	Stream     string
	Conn       uint64
	Schema     ledger.Fingerprint
	Batch      uint64
	Intent     ledger.Intent
	Again      bool // Send: not for the first time
	Number     uint64
	End        int64
	Refused    []Refusal
	Opening    *ledger.Opening
	Seal       *ledger.Seal
	Settlement *ledger.Settlement
	Halt       *ledger.Halt
	Ack        Ack
	Wait       WaitKind
	Attempt    int // of the same wait, from 1
	Cause      *Cause
}

// Ack says where a batch landed.
type Ack struct {
	Stream    string
	Epoch     uint64
	Offset    int64 // of its first row; of its last part's first row after a split
	Rows      int64
	Dead      int  // rows of the batch that became dead letters
	Duplicate bool // the service had it already: an earlier append of it had landed
	Unskipped bool // it was to be skipped, and had landed
}

// Refusal is a row that the service refused.
type Refusal struct {
	Row    int64 // among the batch's rows as they were bound first
	Input  int64 // among its input rows
	Reason string
}

// WaitKind says what a Wait is for; the owner knows how long that takes.
type WaitKind uint8

const (
	Backoff     WaitKind = 1 + iota // before trying again
	Lag                             // for a lagging view of the stream's end to catch up
	Propagation                     // for a changed schema to reach the service's backends
)

// Cause is why a partition stopped.
type Cause struct {
	Verdict Verdict // Conflict, Fenced, InDoubt, Blocked, Refused, Unknown, Changed; Done after Retire
	Epoch   uint64
	Stream  string
	Offset  int64  // where in the stream it was noticed
	Detail  string // what was seen and what was expected
	Err     error  // what the service, the ledger or the source said, if anything
	Class   retry.Class
	Schema  ledger.Fingerprint // the writer schema of the connection, if there was one: what ExtraFields and Mismatch are about
}
