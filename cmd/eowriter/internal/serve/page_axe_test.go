package serve

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// axeRules is axe-core, which knows the rules for accessible pages; empty where npm isn't to be used.
func axeRules(t *testing.T) string {
	if os.Getenv("EOWRITER_TEST_NPM") == "" {
		return ""
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", "axe", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	rules, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	require.NoError(t, err)
	return string(rules)
}

// fits sees that nothing sticks out of the window.
func (p *tab) fits() {
	p.t.Helper()
	require.LessOrEqual(p.t, eval[float64](p, "document.documentElement.scrollWidth - innerWidth"), 0.0, "wider than the window")
}

// check sees that it fits, and that no rule is broken.
func (p *tab) check(rules string) {
	p.t.Helper()
	p.fits()
	if rules == "" {
		return
	}
	p.js(rules)
	broken := eval[json.RawMessage](p,
		"axe.run({resultTypes: ['violations']}).then(r => r.violations.map(v => [v.id, v.help, v.nodes.slice(0, 3).map(n => n.html + ' ' + n.failureSummary)]))", chromedp.EvalAwaitPromise)
	require.Equal(p.t, "[]", string(broken))
}
