package ledger

import (
	"fmt"
	"time"
)

// Key names a partition: an ordered sequence of batches into one table.
type Key struct {
	Table string // projects/P/datasets/D/tables/T
	Name  string // 1 to 200 bytes of UTF-8 without control characters
}

// ID is the ledger's short name of a partition. It is assigned when the
// partition's first epoch is opened and never used again for another one.
type ID uint32

// Mode says how a partition's batches can be sent again after a restart.
type Mode uint8

const (
	// Frozen partitions keep the encoded rows of open intents in the ledger's
	// segments: for sources that cannot be read twice.
	Frozen Mode = 1
	// Replayable partitions keep only positions and digests: the source is asked
	// for the rows of an open intent again.
	Replayable Mode = 2
)

// String returns the mode in words.
func (m Mode) String() string {
	switch m {
	case Frozen:
		return "frozen"
	case Replayable:
		return "replayable"
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// Digest identifies a batch's content: xxh3-128 of what the source gave.
type Digest [16]byte

// Fingerprint identifies a writer schema: xxh3-128 of its serialized descriptor.
type Fingerprint [16]byte

// Identity tells one place of a ledger file from another. Nonce is drawn anew
// whenever the incarnation number does not fit the companion file, so that a file
// restored in its place is not taken for the one that was there (invariant 8).
type Identity struct {
	Machine    string // /etc/machine-id, or else the host name
	FileSystem uint64 // st_dev
	Inode      uint64
	Nonce      uint64
}

// Partition is what the ledger knows of a partition, as one transaction left it.
type Partition struct {
	ID   ID
	Key  Key
	Mode Mode

	// Owner is the identity under which the stream was opened or taken over. A
	// partition whose Owner is not the ledger's Identity is suspicious.
	Owner Identity

	Epoch  uint64 // counts the streams owned so far; the first is 1
	Stream string // the stream of Epoch
	Seal   *Seal  // not nil: this stream is being replaced
	Halt   *Halt  // not nil: stopped until Resolve; only a person can say what is right

	// Resolution is not nil between a Resolve with a person's word and the rotation that
	// carries it out, or the first write that shows that it need not be.
	Resolution *Resolution

	Acked    int64  // every row of the stream below it has landed
	Next     int64  // the end of the last open intent, or Acked
	Position []byte // where the source resumes: reached by the last acknowledged batch

	Schema  Fingerprint // of the newest batch, or of the opening
	Encoder uint32      // version of the encoder that made the newest batch
	Last    *Append     // the last acknowledged append that has a position, for repeated requests
	Rows    int64       // rows acknowledged over all epochs

	// Dead counts the input rows that became dead letters, over all epochs. The
	// ledger still has the letters numbered above Delivered.
	Dead, Delivered int64

	Created time.Time // when the first epoch was opened
	Updated time.Time // when this record was written
}

// Append is an acknowledged append of a partition.
type Append struct {
	Before, After []byte // positions
	Digest        Digest
	Stream        string
	Epoch         uint64
	Offset        int64
	Rows          int64
	Parts         []Part // of the batch, as in Intent: any of their producers may ask once more
}

// Intent binds the offsets [Start, Start+Rows) of the partition's stream to rows
// of one batch. It is written once and never changed in its epoch (invariant 1). One
// without rows is of a batch that has nothing but dead letters: nothing is sent for it.
type Intent struct {
	Number uint64 // grows from one of the partition's open intents to the next
	Start  int64
	Rows   int64
	Bytes  int64  // of the encoded rows
	Digest Digest // of the whole batch

	// From and Of place the rows in their batch: rows [From, From+Rows) of Of.
	// They differ from 0 and Rows only after a batch was split; the position moves
	// to After when the last part is acknowledged.
	From, Of int64

	// Without lists the rows that the service refused, in growing order: their indices
	// among the batch's rows as they were bound first. From, Rows and Of count the
	// others.
	Without []int64

	// Dead has the batch's rows that do not land. They become letters when the batch
	// is acknowledged, so only its last part has them.
	Dead []Dead

	// Skip, if not empty, is a person's order, and its reason: unless the batch turns out
	// to have landed, the next Settle makes dead rows of all that is left of it. All its
	// open parts have it.
	Skip string

	Before, After []byte      // source positions around the batch
	Schema        Fingerprint // the writer schema that the rows were encoded with
	Encoder       uint32
	Parts         []Part  // the producer appends that the batch carries, if several
	Payload       Payload // Frozen: where the whole batch's encoded rows are
}

// End is the offset after the intent's last row.
func (in *Intent) End() int64 { return in.Start + in.Rows }

// Ends says that the intent is the last part of its batch, or the whole.
func (in *Intent) Ends() bool { return in.From+in.Rows == in.Of }

// Whole is the number of rows that the batch was bound with first.
func (in *Intent) Whole() int64 { return in.Of + int64(len(in.Without)) }

// Dead is an input row that does not land.
type Dead struct {
	Row     int64 // its index among the batch's input rows, those that the encoder refused included
	Service bool  // refused by the service, else by the encoder
	Reason  string
	Content []byte

	// Schema is zero when Content is as the source had it. Otherwise Content is the
	// encoded row, for the source's own is not to be had, and this its writer schema.
	Schema Fingerprint
}

// Letter is a dead letter, waiting to be delivered.
type Letter struct {
	Number        int64  // counts the partition's letters from 1
	Before, After []byte // source positions around its batch
	At            time.Time
	Dead
}

// Part is one of several producer appends that share a batch.
type Part struct {
	Rows          int64
	Digest        Digest
	Before, After []byte
}

// Payload refers to one batch's rows in a segment file. The zero value means none.
type Payload struct {
	Segment uint32 // 0: none
	Offset  int64  // of the frame in the segment
	Length  int64  // of the frame, header included

	// Frame is the frame's number, never given twice in a ledger's life. The
	// frame's header repeats it, so that bytes of an earlier use of the same place
	// are not taken for these rows.
	Frame uint64
}

// Seal is the durable word that a stream will be finalized, by whom, and what
// succeeds it (R2).
type Seal struct {
	Successor string   // stream made by R1
	Owner     Identity // who seals; the successor's owner
	Reason    Reason
	Detail    string     // for people: what led to it
	Rejected  []Rejected // rows that the service refused
	At        time.Time
}

// Reason says why a stream was replaced or given up.
type Reason uint8

const (
	TakeOver  Reason = 1 // the ledger was moved, copied or restored
	Aging     Reason = 2 // near the end of the stream's time to live
	RowErrors Reason = 3 // the service refused rows
	TooLarge  Reason = 4 // the service refused a batch for its size
	Encoding  Reason = 5 // the encoder changed
	Lagging   Reason = 6 // the stream's end could not be learnt in time
	Expired   Reason = 7 // the service had dropped the stream; nothing was open
	Finished  Reason = 8 // Retire

	Resolved Reason = 9  // the stream is gone with open intents; a person said what has landed
	Found    Reason = 10 // a person said what has landed, but the stream is there after all
	Skipped  Reason = 11 // a person had a batch skipped
)

var reasons = [...]string{"", "take-over", "aging", "row errors", "too large", "encoding", "lagging", "expired", "finished",
	"resolved", "found", "skipped"}

// String returns the reason in words.
func (r Reason) String() string {
	if r != 0 && int(r) < len(reasons) {
		return reasons[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Rejected is one row that the service refused.
type Rejected struct {
	Offset  int64 // in the sealed stream
	Message string
}

// Retired is a stream that is not used any more.
type Retired struct {
	Key    Key
	Epoch  uint64
	Stream string
	Rows   int64 // the stream's final row count; -1 when the service had dropped it
	Reason Reason
	At     time.Time
}
