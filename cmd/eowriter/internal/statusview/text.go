package statusview

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/advice"
	"github.com/rivo/uniseg"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Color is how a line stands out, where there are colours.
type Color int

// Colors of lines.
const (
	Plain Color = iota
	Title
	Bad  // needs a person
	Warn // may pass by itself
)

// Line is a line without control characters, whoever chose the names in it.
type Line struct {
	Text  string
	Color Color
}

// Lines is the view as text: first what needs a person, then sums, the ledger, and partitions.
func (v *View) Lines() []Line {
	s := v.Status
	lines := []Line{{fmt.Sprintf("eowriter %s at %s, up %s", s.GetBuild().GetVersion(), v.Target, span(s.GetStarted(), s.GetNow())), Title}}
	lines = append(lines, v.trouble()...)
	lines = append(lines, Line{})
	for _, row := range [][2]string{{"landed", v.landed()}, {"pace", pace(s.GetPace())}, {"on its way", v.onItsWay()}, {"partitions", v.states()}, {"ledger", ledger(s)}} {
		lines = append(lines, Line{fmt.Sprintf("%-11s %s", row[0], row[1]), Plain})
	}
	lines = append(lines, v.table()...)
	for i := range lines {
		lines[i].Text = escape(lines[i].Text)
	}
	return lines
}

var troubles = map[eowriterv1.Attention]struct {
	word  string
	color Color
}{
	eowriterv1.Attention_ATTENTION_IN_DOUBT: {"in doubt", Bad},
	eowriterv1.Attention_ATTENTION_HALTED:   {"halted", Bad},
	eowriterv1.Attention_ATTENTION_WAITING:  {"waiting", Warn},
}

// trouble is what doesn't work, the gravest first.
func (v *View) trouble() (lines []Line) {
	if err := v.Status.GetLedger().GetError(); err != "" {
		lines = append(lines, Line{"the ledger has failed, and the sidecar ends: " + err, Bad})
	}
	person := false
	for _, s := range v.Partitions {
		kind, ok := troubles[s.GetAttention()]
		if !ok {
			break
		}
		p := s.GetPartition()
		text := fmt.Sprintf("%-8s  %s of %s", kind.word, p.GetPartition(), p.GetTable())
		if p.GetOldest() != nil {
			text += fmt.Sprintf(", an append waits for %s", span(p.GetOldest(), v.Status.GetNow()))
		}
		if p.GetRetryAt() != nil {
			text += fmt.Sprintf(", tried again in %s", span(v.Status.GetNow(), p.GetRetryAt()))
		}
		lines = append(lines, Line{text + ": " + p.GetError(), kind.color})
		person = person || kind.color == Bad
	}
	if person {
		lines = append(lines, Line{"to resolve it: stop the sidecar, then " + advice.Look(v.Status.GetLedger().GetPath()), Bad})
	}
	if len(lines) > 0 {
		return append([]Line{{}}, lines...)
	}
	return nil
}

func (v *View) landed() string {
	t := v.Status.GetTotals()
	text := plural(t.GetRows(), "row")
	if t.GetDeadRows() > 0 {
		text += fmt.Sprintf(", %s (%s in the ledger)", plural(t.GetDeadRows(), "dead letter"), number(t.GetLettersWaiting()))
	}
	return text
}

func pace(p *eowriterv1.Pace) string {
	text := fmt.Sprintf("%s rows/s, %s/s, %s appends/s", rate(p.GetRowsPerSecond()), bytes(p.GetBytesPerSecond()), rate(p.GetAppendsPerSecond()))
	return text + took(", landed within", p.GetLandedP50(), p.GetLandedP99())
}

func (v *View) onItsWay() string {
	t, room := v.Status.GetTotals(), v.Status.GetRoom()
	text := fmt.Sprintf("%s of %s appends, %s of %s, %s in flight", number(int64(room.GetAppends())), number(int64(room.GetMaxAppends())),
		bytes(float64(room.GetBytes())), bytes(float64(room.GetMaxBytes())), plural(int64(t.GetInFlight()), "request"))
	if t.GetOldest() != nil {
		text += fmt.Sprintf("; the oldest for %s", span(t.GetOldest(), v.Status.GetNow()))
	}
	return text
}

func (v *View) states() string {
	var each []string
	for _, c := range v.Status.GetTotals().GetStates() {
		each = append(each, fmt.Sprintf("%s %s", number(int64(c.GetPartitions())), state(c.GetState())))
	}
	room := v.Status.GetRoom()
	text := fmt.Sprintf("%s of %s at most", number(int64(room.GetPartitions())), number(int64(room.GetMaxPartitions())))
	if len(each) > 0 {
		text += ": " + strings.Join(each, ", ")
	}
	return text
}

func ledger(s *eowriterv1.GetStatusResponse) string {
	l := s.GetLedger()
	text := fmt.Sprintf("%s, opened %s, %s, rows %s, %s commits/s", l.GetPath(), plural(l.GetIncarnation(), "time"),
		bytes(float64(l.GetFileBytes())), bytes(float64(l.GetSegmentBytes())), rate(l.GetCommitsPerSecond()))
	text += took(", each within", l.GetCommitP50(), l.GetCommitP99())
	if l.GetMoved() {
		text += "; it was moved, copied or restored"
	}
	return text
}

// table has the partitions that are in no trouble.
func (v *View) table() []Line {
	rows := [][]string{{"PARTITION", "TABLE", "STATE", "ROWS/S", "OPEN", "OLDEST", "ROWS", "POSITION"}}
	for _, s := range v.Partitions {
		if _, trouble := troubles[s.GetAttention()]; trouble {
			continue
		}
		p, oldest := s.GetPartition(), ""
		if p.GetOldest() != nil {
			oldest = span(p.GetOldest(), v.Status.GetNow())
		}
		rows = append(rows, []string{cut(p.GetPartition(), 40), cut(p.GetTable(), 40), state(p.GetState()), rate(s.GetRowsPerSecond()),
			number(int64(p.GetQueuedAppends() + p.GetOpenAppends())), oldest, number(p.GetRows()), p.GetPosition()})
	}
	if len(rows) == 1 && v.More == 0 {
		return nil
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i := range row {
			row[i] = escape(row[i])
			widths[i] = max(widths[i], uniseg.StringWidth(row[i]))
		}
	}
	lines := []Line{{}}
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell + strings.Repeat(" ", widths[i]-uniseg.StringWidth(cell)+2))
		}
		color := Plain
		if n == 0 {
			color = Title
		}
		lines = append(lines, Line{strings.TrimRight(b.String(), " "), color})
	}
	if v.More > 0 {
		lines = append(lines, Line{fmt.Sprintf("and %s more", number(int64(v.More))), Plain})
	}
	return lines
}

func state(s eowriterv1.State) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "STATE_"))
}

// took tells of two quantiles, if there are any.
func took(words string, p50, p99 *durationpb.Duration) string {
	if p50 == nil {
		return ""
	}
	return fmt.Sprintf("%s %s (half), %s (99%%)", words, short(p50.AsDuration()), short(p99.AsDuration()))
}

// span is the time between two, or 0.
func span(from, to *timestamppb.Timestamp) string {
	return short(max(0, to.AsTime().Sub(from.AsTime())))
}

// short is a duration with about two digits.
func short(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}

// number is n with its thousands apart.
func number(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func plural(n int64, word string) string {
	if n != 1 {
		word += "s"
	}
	return number(n) + " " + word
}

func rate(f float64) string {
	if f > 0 && f < 10 {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return number(int64(f + 0.5))
}

func bytes(n float64) string {
	for _, u := range []struct {
		name string
		size float64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size {
			return strconv.FormatFloat(n/u.size, 'f', 1, 64) + " " + u.name
		}
	}
	return number(int64(n+0.5)) + " B"
}

// escape makes what a terminal would take for more than text, or not show, visible.
func escape(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// cut is s with at most so many columns of a terminal, if they are more than 0.
func cut(s string, width int) string {
	if width <= 0 || uniseg.StringWidth(s) <= width {
		return s
	}
	var b strings.Builder
	used := 0
	for graphemes := uniseg.NewGraphemes(s); graphemes.Next(); {
		if used += graphemes.Width(); used > width-1 {
			break
		}
		b.WriteString(graphemes.Str())
	}
	return b.String() + "…"
}
