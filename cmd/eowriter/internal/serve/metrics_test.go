package serve

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/eowriter/eowriter/chaos/emulator"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// get reads a page for operators.
func (g *rig) get(path string) (int, string) {
	req, err := http.NewRequest(http.MethodGet, "http://localhost"+path, nil)
	require.NoError(g.t, err)
	status, text, _ := do(g.t, g.client(false), req)
	return status, text
}

// secret is in all rows of a busy run.
const secret = "sEcReTvAlUe"

// busy has a sidecar do a bit of everything, and returns its metrics.
func (g *rig) busy() string {
	c := g.client(false)
	row := func(n int) io.Reader { return strings.NewReader(fmt.Sprintf(`{"n": %d, "s": %q}`, n, secret)) }
	want := func(status int, path string, body io.Reader) {
		g.t.Helper()
		got, text, _ := push(g.t, c, rowsOf+path, body)
		require.Equal(g.t, status, got, text)
	}
	want(200, "a/rows?position=1", row(0))
	want(200, "a/rows?position=1", row(0))
	want(200, "a/rows?expect=1&position=2&ack=stored", row(1))
	want(412, "a/rows?expect=7&position=8", row(1))
	want(422, "a/rows?expect=2&position=3", strings.NewReader(`{"n": "`+secret+`"}`))
	want(200, "a/rows?expect=2&position=3&bad-rows=dead-letters", strings.NewReader(`{"n": 3}`+"\n"+`{"n": "`+secret+`"}`))
	g.srv.Inject(emulator.Fault{Kind: emulator.ResetAfter, Count: 1})
	want(200, "a/rows?expect=3&position=4", row(4))
	g.pushRefused()
	g.srv.Inject(emulator.Fault{Kind: emulator.ErrorBefore, Error: status.New(codes.InvalidArgument, "what is "+secret), Count: 1})
	want(503, "c/rows?position=1", row(1))
	require.Eventually(g.t, func() bool { return strings.Contains(g.log.String(), "partition stopped") }, 30*time.Second, time.Millisecond)
	code, text := g.get("/metrics")
	require.Equal(g.t, 200, code)
	return text
}

// pushRefused appends a message that only the service refuses: a dead letter.
func (g *rig) pushRefused() {
	a := appendOne("b", 0)
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: kind.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	}
	row := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	row = protowire.AppendString(protowire.AppendTag(row, 2, protowire.BytesType), secret)
	a.Rows = &eowriterv1.Rows{Kind: &eowriterv1.Rows_Proto{Proto: &eowriterv1.ProtoRows{
		Descriptor_: &descriptorpb.DescriptorProto{Name: proto.String("Row"), Field: []*descriptorpb.FieldDescriptorProto{
			field("n", 1, descriptorpb.FieldDescriptorProto_TYPE_INT64), field("short", 2, descriptorpb.FieldDescriptorProto_TYPE_STRING),
		}},
		Messages: [][]byte{row},
	}}}
	_, err := g.writer().Append(g.t.Context(), connect.NewRequest(a))
	require.NoError(g.t, err)
}

// family is a metric as it is exposed.
type family struct{ name, kind, help, labels string }

var series = regexp.MustCompile(`^([a-z_0-9]+)(?:\{(.*)\})? `)

// families reads the text format; the labels are their names, sorted, without those of histograms.
func families(text string) map[string]*family {
	all := map[string]*family{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(rest, " ")
			all[name] = &family{name: name, help: help}
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			all[name].kind = kind
			continue
		}
		m := series.FindStringSubmatch(line)
		f := all[m[1]]
		if f == nil {
			f = all[regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(m[1], "")]
		}
		var labels []string
		for _, l := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(m[2], -1) {
			if l[1] != "le" {
				labels = append(labels, l[1])
			}
		}
		slices.Sort(labels)
		f.labels = strings.Join(labels, ", ")
	}
	return all
}

func root(parts ...string) string {
	return filepath.Join(append([]string{"..", "..", "..", ".."}, parts...)...)
}

// If it fails, docs/metrics.md tells of metrics that there aren't, or leaves some out, or has another kind, label or meaning.
func TestMetricsPage(t *testing.T) {
	page, err := os.ReadFile(root("docs", "metrics.md"))
	require.NoError(t, err)
	var told, exposed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(eowriter_[a-z_]+)` \\| (\\w+) \\| ([a-z, ]*) ?\\| (.*) \\|$").FindAllStringSubmatch(string(page), -1) {
		told = append(told, fmt.Sprintf("| `%s` | %s | %s | %s |", m[1], m[2], strings.TrimSpace(m[3]), m[4]))
	}
	for _, f := range families(newRig(t, nil).busy()) {
		if strings.HasPrefix(f.name, "eowriter_") {
			exposed = append(exposed, fmt.Sprintf("| `%s` | %s | %s | %s |", f.name, f.kind, f.labels, f.help))
		}
	}
	slices.Sort(exposed)
	slices.Sort(told)
	require.Equal(t, strings.Join(exposed, "\n"), strings.Join(told, "\n"))
}

// used are the metrics that a text's queries name.
func used(text string) (names []string) {
	for _, name := range regexp.MustCompile(`\b(eowriter|process|go)_[a-z_]+`).FindAllString(text, -1) {
		names = append(names, regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, ""))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// wanted are the labels with values that a text's queries want, but for those that come with what they tell of.
func wanted(text string) (labels []string) {
	for _, m := range regexp.MustCompile(`\b(state|cause|reason|acknowledge|kind)[!=]~?\\?"([a-z_|]+)`).FindAllStringSubmatch(text, -1) {
		for value := range strings.SplitSeq(m[2], "|") {
			labels = append(labels, fmt.Sprintf("%s=%q", m[1], value))
		}
	}
	return labels
}

// If it fails, an alert never fires or a panel stays empty: its metric isn't there, or has no such label.
func TestDeployedQueries(t *testing.T) {
	text := newRig(t, nil).busy()
	there := families(text)
	for _, path := range []string{"prometheus/eowriter.rules.yml", "prometheus/eowriter.rules_test.yml", "grafana/eowriter.json"} {
		queries, err := os.ReadFile(root("deploy", path))
		require.NoError(t, err)
		names := used(string(queries))
		require.NotEmpty(t, names)
		for _, name := range names {
			require.Contains(t, there, name, path)
		}
		labels := wanted(string(queries))
		require.NotEmpty(t, labels)
		for _, label := range labels {
			require.Contains(t, text, label, path)
		}
	}
}

// panel is one of the dashboard.
type panel struct {
	ID          int
	Type, Title string
	Datasource  struct{ UID string }
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		Expr       string
		Datasource struct{ UID string }
	}
}

func dashboard(t *testing.T) []panel {
	text, err := os.ReadFile(root("deploy", "grafana", "eowriter.json"))
	require.NoError(t, err)
	var d struct {
		UID, Title string
		Templating struct{ List []struct{ Name, Type string } }
		Panels     []panel
	}
	require.NoError(t, json.Unmarshal(text, &d))
	require.NotEmpty(t, d.UID)
	require.Equal(t, "datasource", d.Templating.List[0].Type)
	return d.Panels
}

// If it fails, the dashboard doesn't look as it should after an import, or asks a data source that isn't there.
func TestDashboard(t *testing.T) {
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range dashboard(t) {
		require.False(t, ids[p.ID], p.Title)
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				require.Empty(t, cells[cell], "%s covers another panel", p.Title)
				require.Less(t, cell[0], 24, p.Title)
				cells[cell] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			require.Equal(t, "${datasource}", target.Datasource.UID, p.Title)
		}
	}
}

// If it fails, Prometheus refuses the alert rules, they fire at the wrong time, or what /metrics exposes is not to its taste.
func TestPromtool(t *testing.T) {
	if os.Getenv("EOWRITER_TEST_PROMTOOL") != "1" {
		t.Skip("EOWRITER_TEST_PROMTOOL=1 runs it: it needs promtool, of Debian's prometheus")
	}
	promtool := func(in string, args ...string) {
		cmd := exec.Command("promtool", args...)
		cmd.Dir, cmd.Stdin = root("deploy", "prometheus"), strings.NewReader(in)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "promtool %s: %s", args, out)
	}
	promtool("", "check", "rules", "eowriter.rules.yml")
	promtool("", "test", "rules", "eowriter.rules_test.yml")
	promtool(newRig(t, nil).busy(), "check", "metrics")

	// Queries of the dashboard, as rules.
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for _, p := range dashboard(t) {
		for n, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*", "$table", ".*").Replace(target.Expr)
			rules = append(rules, rule{fmt.Sprintf("panel_%d_%d", p.ID, n), expr})
		}
	}
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "panels", "rules": rules}}}) // JSON is YAML
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "panels.yml")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	promtool("", "check", "rules", path)
}
