package ledger

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Limits that callers keep to themselves: a write beyond them is refused.
const (
	MaxReason   = 4 << 10   // bytes of Rejected.Message and Dead.Reason
	MaxRejected = 100_000   // rows named in a seal
	MaxSkip     = 200       // bytes of Intent.Skip: each of the batch's letters repeats it
	MaxFile     = 2<<30 - 1 // bytes of the ledger's file: a commit that needs more fails, and the ledger with it
)

// Limits on what one record may hold. A write beyond them is refused.
const (
	maxTable      = 1024     // bytes of Key.Table
	maxName       = 200      // bytes of Key.Name
	maxStream     = 1024     // bytes of a stream's name
	maxPosition   = 64 << 10 // bytes of a source position
	maxParts      = 10_000   // of one batch
	maxDetail     = 4 << 10  // bytes of Seal.Detail and Halt.Detail
	maxDead       = 10 << 20 // dead rows of one batch
	maxContent    = 32 << 20 // bytes of Dead.Content
	maxDescriptor = 8 << 20  // bytes; AppendRows carries it, and ends at 10 MiB
	maxOffset     = 1 << 62  // where the probe appends: real rows stay below
)

// badKey says what is wrong with a key, or nothing.
func badKey(k Key) string {
	if len(k.Table) == 0 || len(k.Table) > maxTable || !plain(k.Table) {
		return fmt.Sprintf("the table's name must be 1 to %d bytes of UTF-8 without control characters", maxTable)
	}
	if len(k.Name) == 0 || len(k.Name) > maxName || !plain(k.Name) {
		return fmt.Sprintf("the partition's name must be 1 to %d bytes of UTF-8 without control characters", maxName)
	}
	return ""
}

func plain(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

func badStream(name string) string {
	if name == "" || len(name) > maxStream {
		return fmt.Sprintf("a stream's name must have 1 to %d bytes, not %d", maxStream, len(name))
	}
	return ""
}

// badIntent says what is wrong with an intent by itself.
func badIntent(in *Intent) string {
	switch {
	case in.Start < 0 || in.Rows < 0 || in.Start > maxOffset-in.Rows:
		return fmt.Sprintf("offsets [%d, %d+%d) are no range below 2^62", in.Start, in.Start, in.Rows)
	case in.Rows == 0 && len(in.Dead) == 0:
		return "an intent without rows and without dead letters"
	case in.From < 0 || in.Of > maxOffset || in.From > in.Of-in.Rows:
		return fmt.Sprintf("rows [%d, %d+%d) are not inside a batch of %d", in.From, in.From, in.Rows, in.Of)
	case in.Bytes < 0:
		return "a negative number of bytes"
	case len(in.Before) > maxPosition || len(in.After) > maxPosition:
		return fmt.Sprintf("a position is longer than %d bytes", maxPosition)
	case len(in.Parts) > maxParts:
		return fmt.Sprintf("more than %d parts", maxParts)
	case in.Payload.Segment == 0 && in.Payload != Payload{}:
		return "a payload without a segment"
	case in.Payload.Offset < 0 || in.Payload.Length < 0:
		return "a payload at a negative place"
	case len(in.Skip) > MaxSkip || in.Skip != "" && in.Rows == 0:
		return fmt.Sprintf("a reason to skip of more than %d bytes, or nothing to skip", MaxSkip)
	}
	if bad := badDead(in); bad != "" {
		return bad
	}
	return badParts(in)
}

func badDead(in *Intent) string {
	if len(in.Dead) == 0 && len(in.Without) == 0 {
		return ""
	}
	switch {
	case len(in.Dead) > maxDead || len(in.Without) > maxDead:
		return fmt.Sprintf("more than %d dead rows", maxDead)
	case len(in.Dead) > 0 && !in.Ends():
		return "dead letters before the batch's last part"
	case in.Ends() && len(in.Dead) < len(in.Without):
		return "refused rows that are no dead letters"
	}
	for i := range in.Dead {
		d := &in.Dead[i]
		switch {
		case d.Row < 0 || i > 0 && d.Row <= in.Dead[i-1].Row:
			return "the dead rows are not in order"
		case len(d.Reason) > MaxReason || len(d.Content) > maxContent:
			return fmt.Sprintf("dead row %d has a reason of more than %d or a content of more than %d bytes", d.Row, MaxReason, maxContent)
		}
	}
	for i, row := range in.Without {
		if row < 0 || row >= in.Whole() || i > 0 && row <= in.Without[i-1] {
			return "the refused rows are not in order inside the batch"
		}
	}
	return ""
}

func badParts(in *Intent) string {
	if len(in.Parts) == 0 {
		return ""
	}
	left := in.Whole()
	for i := range in.Parts {
		p := &in.Parts[i]
		if p.Rows < 0 || p.Rows > left {
			return fmt.Sprintf("the rows of part %d don't fit the batch", i)
		}
		if len(p.Before) > maxPosition || len(p.After) > maxPosition {
			return fmt.Sprintf("a position of part %d is longer than %d bytes", i, maxPosition)
		}
		left -= p.Rows
	}
	if left != 0 {
		return fmt.Sprintf("the parts carry %d rows less than the batch", left)
	}
	return ""
}

func badSeal(s *Seal) string {
	if s.Reason != Finished {
		if bad := badStream(s.Successor); bad != "" {
			return bad
		}
	}
	switch {
	case s.Reason == Finished && s.Successor != "":
		return "a finished partition has no successor"
	case s.Reason < TakeOver || s.Reason > Skipped || s.Reason == Expired:
		return fmt.Sprintf("reason %d is none for a seal", s.Reason)
	case len(s.Detail) > maxDetail:
		return fmt.Sprintf("a detail of more than %d bytes", maxDetail)
	case len(s.Rejected) > MaxRejected:
		return fmt.Sprintf("more than %d rejected rows", MaxRejected)
	}
	for i := range s.Rejected {
		if s.Rejected[i].Offset < 0 || len(s.Rejected[i].Message) > MaxReason {
			return fmt.Sprintf("rejected row %d has a negative offset or a message of more than %d bytes", i, MaxReason)
		}
	}
	return ""
}

func badHalt(h *Halt) string {
	switch {
	case h.Cause < Conflict || h.Cause > InDoubt:
		return fmt.Sprintf("%v is none for a halt", h.Cause)
	case h.Offset < 0:
		return fmt.Sprintf("a halt at offset %d", h.Offset)
	case len(h.Detail) > maxDetail:
		return fmt.Sprintf("a detail of more than %d bytes", maxDetail)
	}
	return ""
}
