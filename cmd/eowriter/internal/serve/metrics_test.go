package serve

import (
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

// If it fails, an alert never fires or a panel stays empty: its metric isn't there.
func TestDeployedQueries(t *testing.T) {
	there := families(newRig(t, nil).busy())
	for _, path := range []string{"prometheus/eowriter.rules.yml", "prometheus/eowriter.rules_test.yml", "grafana/eowriter.json"} {
		text, err := os.ReadFile(root("deploy", path))
		require.NoError(t, err)
		names := used(string(text))
		require.NotEmpty(t, names)
		for _, name := range names {
			require.Contains(t, there, name, path)
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
}
