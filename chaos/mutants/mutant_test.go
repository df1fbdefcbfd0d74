package mutants

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
	"github.com/stretchr/testify/require"
)

// root is the module's, as seen from this package.
const root = "../.."

// mutant is one deliberate bug.
type mutant struct {
	name  string
	bug   string
	pkg   string // of the test that kills it, as go test takes it
	test  string // its name
	flags []string
	files []*gitdiff.File
}

// readMutants reads all patches, in the order of their names.
func readMutants(t testing.TB) []mutant {
	names, err := filepath.Glob("testdata/*.patch")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	var all []mutant
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		m, err := parse(strings.TrimSuffix(filepath.Base(name), ".patch"), text)
		require.NoError(t, err, name)
		all = append(all, m)
	}
	return all
}

// parse reads a patch.
func parse(name string, text []byte) (mutant, error) {
	m := mutant{name: name}
	files, head, err := gitdiff.Parse(bytes.NewReader(text))
	if err != nil {
		return m, err
	}
	m.files = files
	for line := range strings.Lines(head) {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch field {
		case "Bug":
			m.bug = value
		case "Kills":
			m.pkg, m.test, _ = strings.Cut(value, " ")
		case "Flags":
			m.flags = strings.Fields(value)
		case "":
		default:
			return m, fmt.Errorf("%q is neither Bug nor Kills nor Flags", line)
		}
	}
	if m.bug == "" || m.pkg == "" || m.test == "" || len(files) == 0 {
		return m, fmt.Errorf("a patch needs a bug, the test that kills it, and a change")
	}
	for _, f := range files {
		f.OldName, f.NewName = inTree(f.OldName), inTree(f.NewName)
		if f.OldName != f.NewName || !strings.HasSuffix(f.NewName, ".go") || strings.HasSuffix(f.NewName, "_test.go") {
			return m, fmt.Errorf("%s: a mutant changes files of the module that are no tests", f.NewName)
		}
	}
	return m, nil
}

// inTree takes the a/ or b/ off a name: the library does so only below a header of git's.
func inTree(name string) string { return strings.TrimPrefix(strings.TrimPrefix(name, "a/"), "b/") }

// sources are the mutant's changed files, by their path from the module's root.
func (m mutant) sources() (map[string][]byte, error) {
	changed := map[string][]byte{}
	for _, f := range m.files {
		source, err := os.ReadFile(filepath.Join(root, f.OldName))
		if err != nil {
			return nil, err
		}
		if err := place(f, source); err != nil {
			return nil, fmt.Errorf("%s: %w", f.OldName, err)
		}
		var out bytes.Buffer
		if err := gitdiff.Apply(&out, bytes.NewReader(source), f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.OldName, err)
		}
		changed[f.NewName] = out.Bytes()
	}
	return changed, nil
}

// place moves each fragment to where its lines stand now, which must be one place: the library applies it at exactly
// the line that it names, and other work moves lines.
func place(f *gitdiff.File, source []byte) error {
	lines := slices.Collect(strings.Lines(string(source)))
	for _, fragment := range f.TextFragments {
		var old []string
		for _, l := range fragment.Lines {
			if l.Old() {
				old = append(old, l.Line)
			}
		}
		at := -1
		for i := 0; i+len(old) <= len(lines); i++ {
			if !slices.Equal(lines[i:i+len(old)], old) {
				continue
			}
			if at >= 0 {
				return fmt.Errorf("the lines of fragment %q stand at %d and at %d: give it more context", fragment.Header(), at+1, i+1)
			}
			at = i
		}
		if at < 0 {
			return fmt.Errorf("the lines of fragment %q are not there any more", fragment.Header())
		}
		fragment.OldPosition = int64(at) + 1
	}
	return nil
}

// pattern is what -run takes for exactly this test.
func pattern(test string) string {
	parts := strings.Split(test, "/")
	for i := range parts {
		parts[i] = "^" + regexp.QuoteMeta(parts[i]) + "$"
	}
	return strings.Join(parts, "/")
}

// TestParse gives the reader patches that it must refuse. If it failed, a mutant could be counted that changes nothing,
// changes the test itself, or is applied somewhere else than it was meant to be.
func TestParse(t *testing.T) {
	const head = "Bug: b\nKills: ./x TestX\n"
	diff := func(name, line string) string {
		return fmt.Sprintf("--- a/%s\n+++ b/%s\n@@ -1 +1 @@\n-%s\n+changed\n", name, name, line)
	}
	m, err := parse("x", []byte(head+"Flags: -a -b=1\n"+diff("x.go", "line")))
	require.NoError(t, err)
	require.Equal(t, "x.go", m.files[0].NewName)
	require.Equal(t, "b", m.bug)
	require.Equal(t, "./x", m.pkg)
	require.Equal(t, "TestX", m.test)
	require.Equal(t, []string{"-a", "-b=1"}, m.flags)

	for _, text := range []string{
		head,
		"Bug: b\n" + diff("x.go", "line"),
		"Kills: ./x TestX\n" + diff("x.go", "line"),
		head + "Kill: ./x TestY\n" + diff("x.go", "line"),
		head + diff("x_test.go", "line"),
		head + diff("x.txt", "line"),
		head + "--- /dev/null\n+++ b/x.go\n@@ -0,0 +1 @@\n+new\n",
	} {
		_, err := parse("x", []byte(text))
		require.Error(t, err, text)
	}

	f := m.files[0]
	require.NoError(t, place(f, []byte("1\n2\nline\n")))
	require.EqualValues(t, 3, f.TextFragments[0].OldPosition)
	require.ErrorContains(t, place(f, []byte("line\n2\nline\n")), "at 1 and at 3")
	require.ErrorContains(t, place(f, []byte("1\n2\n3\n")), "not there any more")
	require.Equal(t, `^TestX$/^a\.b$`, pattern("TestX/a.b"))
}
