package mutants

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// compiler checks the types of changed packages against what the others are compiled to, which is much faster than
// building them.
type compiler struct {
	files   map[string][]string // by the package's folder, from the root: its files for this platform
	exports map[string]string   // by import path: a file with the compiled package
}

func newCompiler(t testing.TB) *compiler {
	cmd := exec.Command("go", "list", "-deps", "-export", "-json=Dir,ImportPath,Export,GoFiles", "./...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	base, err := filepath.Abs(root)
	require.NoError(t, err)
	c := &compiler{files: map[string][]string{}, exports: map[string]string{}}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p struct {
			Dir, ImportPath, Export string
			GoFiles                 []string
		}
		require.NoError(t, d.Decode(&p))
		c.exports[p.ImportPath] = p.Export
		if folder, err := filepath.Rel(base, p.Dir); err == nil && filepath.IsLocal(folder) {
			c.files[filepath.ToSlash(folder)] = p.GoFiles
		}
	}
	return c
}

// check says why changed files, by their path from the root, do not compile.
func (c *compiler) check(changed map[string][]byte) error {
	folders := map[string]bool{}
	for name := range changed {
		folders[path.Dir(name)] = true
	}
	for folder := range folders {
		fset := token.NewFileSet()
		var files []*ast.File
		for _, name := range c.files[folder] {
			name = path.Join(folder, name)
			var source any // nil: read it
			if text, is := changed[name]; is {
				source = text
			}
			f, err := parser.ParseFile(fset, filepath.Join(root, name), source, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			files = append(files, f)
		}
		if len(files) == 0 {
			return fmt.Errorf("%s has no package", folder)
		}
		config := types.Config{Importer: importer.ForCompiler(fset, "gc", c.open)}
		if _, err := config.Check(folder, fset, files, nil); err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) open(imported string) (io.ReadCloser, error) {
	return os.Open(c.exports[imported])
}
