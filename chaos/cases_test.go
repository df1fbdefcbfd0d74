package chaos

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// citation is "case 24", "cases 38 to 41", "cases 56, 57 and 63".
var (
	citation = regexp.MustCompile(`\b[Cc]ases? (\d+(?:(?:, | and | or | to )\d+)*)`)
	row      = regexp.MustCompile(`(?m)^\| (\d+) \|`)
)

// If it fails, a reader who wants to know what "case 24" is finds nothing.
func TestCitedCases(t *testing.T) {
	text, err := os.ReadFile("../docs/service-facts.md")
	require.NoError(t, err)
	known := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		require.False(t, known[m[1]], "case %s is there twice", m[1])
		known[m[1]] = true
	}
	require.Len(t, known, 102)
	cited := map[string]bool{}
	look := func(path, text string) {
		for _, m := range citation.FindAllStringSubmatch(strings.Join(strings.Fields(text), " "), -1) {
			for _, number := range regexp.MustCompile(`\d+`).FindAllString(m[1], -1) {
				require.True(t, known[number], "%s cites case %s, which docs/service-facts.md doesn't have", path, number)
				cited[number] = true
			}
		}
	}
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
			return err
		case filepath.Ext(path) == ".md":
			text, err := os.ReadFile(path)
			look(path, string(text))
			return err
		case filepath.Ext(path) == ".go":
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			for _, c := range f.Comments {
				look(path, c.Text())
			}
		}
		return nil
	}))
	require.True(t, cited["24"] && cited["52"], "the comments are looked at")
}
