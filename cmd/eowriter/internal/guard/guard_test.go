package guard

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// replace puts a file into another's place, as who writes certificates does.
func replace(t *testing.T, path, text string) {
	t.Helper()
	writes(text, 0o600)(t, path+".new")
	require.NoError(t, os.Rename(path+".new", path))
}

const shopRights = "tables: [p.shop.*]"

// opened is a Guard with a list of clients.
func opened(t *testing.T, clients string) (g *Guard, path string) {
	path = filepath.Join(t.TempDir(), "tokens")
	replace(t, path, "clients:\n"+clients)
	g, err := Open(Files{Tokens: path})
	require.NoError(t, err)
	return g, path
}

func withToken(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	return r
}

func withCertificate(r *http.Request, cert x509.Certificate) *http.Request {
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{&cert}}
	return r
}

// Who shows nothing, or something that isn't known, must stay outside; a token goes before a certificate, so that a wrong one
// is told instead of being covered up.
func TestWho(t *testing.T) {
	g, _ := opened(t, entry("shop", shopToken, shopRights)+
		"  - {name: backup, certificate: backup.internal, tables: [p.audit.log]}\n"+
		"  - {name: job, certificate: 'spiffe://x/job', tables: [p.job.t]}\n")
	backup := x509.Certificate{Subject: pkix.Name{CommonName: "backup.internal"}}
	job := x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "x", Path: "/job"}}}
	for _, test := range []struct {
		name   string
		r      *http.Request
		err    error
		writes string
	}{
		{"nothing", withToken(""), errNone, ""},
		{"another scheme", withToken("Basic " + shopToken), errNone, ""},
		{"no token behind the scheme", withToken("Bearer "), errNone, ""},
		{"short", withToken("Bearer " + shopToken[:minToken-1]), errShort, ""},
		{"unknown", withToken("Bearer " + otherToken), errUnknown, ""},
		{"the digest itself", withToken("Bearer " + digestOf(shopToken)), errUnknown, ""},
		{"known", withToken("Bearer " + shopToken), nil, "p.shop.orders"},
		{"scheme in small letters", withToken("bearer  " + shopToken), nil, "p.shop.orders"},
		{"common name", withCertificate(withToken(""), backup), nil, "p.audit.log"},
		{"DNS name", withCertificate(withToken(""), x509.Certificate{DNSNames: []string{"x", "backup.internal"}}), nil, "p.audit.log"},
		{"URI", withCertificate(withToken(""), job), nil, "p.job.t"},
		{"a certificate without names", withCertificate(withToken(""), x509.Certificate{}), errUnknown, ""},
		{"a certificate that isn't known", withCertificate(withToken(""), x509.Certificate{DNSNames: []string{"x"}}), errUnknown, ""},
		{"token before certificate", withCertificate(withToken("Bearer "+shopToken), backup), nil, "p.shop.orders"},
		{"wrong token with a good certificate", withCertificate(withToken("Bearer "+otherToken), backup), errUnknown, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := g.Who(test.r)
			require.ErrorIs(t, err, test.err)
			if test.err != nil {
				require.Nil(t, c)
				return
			}
			for _, table := range []string{"p.shop.orders", "p.audit.log", "p.job.t"} {
				require.Equal(t, table == test.writes, c.MayAppend(table), table)
				require.Equal(t, table == test.writes, c.MaySee(table), table)
			}
			require.False(t, c.MaySee(""), "all tables")
		})
	}
}

// An operator looks at everything, and writes only to the tables it has. Nobody is asked where there are no tokens.
func TestRights(t *testing.T) {
	g, _ := opened(t, entry("admin", adminToken, "operator: true")+entry("both", shopToken, "operator: true, tables: [p.d.t]"))
	admin, err := g.Who(withToken("Bearer " + adminToken))
	require.NoError(t, err)
	both, err := g.Who(withToken("Bearer " + shopToken))
	require.NoError(t, err)
	for _, table := range []string{"", "p.d.t", "p.x.y"} {
		require.True(t, admin.MaySee(table) && both.MaySee(table), table)
		require.False(t, admin.MayAppend(table), table)
		require.Equal(t, table == "p.d.t", both.MayAppend(table), table)
	}
	require.Same(t, admin, From(With(t.Context(), admin)))

	open, err := Open(Files{})
	require.NoError(t, err)
	nobody, err := open.Who(withToken(""))
	require.NoError(t, err)
	require.True(t, nobody == nil && nobody.MayAppend("p.d.t") && nobody.MaySee("") && From(t.Context()) == nil)
}

// logged is a log that is read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

// watched has a Guard look at its files all the time.
func watched(t *testing.T, g *Guard, distrusted func()) *logged {
	g.every = time.Millisecond
	log := &logged{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Watch(ctx, slog.New(slog.NewTextHandler(log, nil)), distrusted)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return log
}

const wait = time.Minute // longer than any machine takes

// A list that changes must take effect without a restart, also for who was let in before: a token that is taken out because
// it was stolen ends at once. One that makes no sense must change nothing, and be told once and not every other second.
func TestReload(t *testing.T) {
	g, path := opened(t, entry("shop", shopToken, shopRights))
	thief, err := g.Who(withToken("Bearer " + shopToken))
	require.NoError(t, err)
	require.True(t, thief.MayAppend("p.shop.orders") && thief.MaySee("p.shop.orders"))
	log := watched(t, g, func() { t.Error("no certificates have changed") })

	replace(t, path, "clients: [{name: shop}]")
	require.Eventually(t, func() bool { return log.count("make no sense") == 1 }, wait, time.Millisecond)
	require.True(t, thief.MayAppend("p.shop.orders"), "what was before is in force")

	replace(t, path, "clients:\n"+entry("shop", otherToken, shopRights))
	require.Eventually(t, func() bool { return !thief.MayAppend("p.shop.orders") }, wait, time.Millisecond)
	require.False(t, thief.MaySee("p.shop.orders"))
	_, err = g.Who(withToken("Bearer " + shopToken))
	require.ErrorIs(t, err, errUnknown)
	_, err = g.Who(withToken("Bearer " + otherToken))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return log.count("were read again") == 1 }, wait, time.Millisecond)

	require.NoError(t, os.Chmod(path, 0o644))
	require.Eventually(t, func() bool { return log.count("make no sense") == 2 }, wait, time.Millisecond)
	require.Equal(t, 1, log.count("others may read or change"), "told once")
	require.Zero(t, log.count(otherToken)+log.count(digestOf(otherToken)), "secrets in the log")
}

// Kubernetes keeps a secret's files in a folder, and changes which one a symbolic link points to: no file that was opened
// changes.
func TestReloadKubernetes(t *testing.T) {
	dir := t.TempDir()
	version := func(name, clients string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		replace(t, filepath.Join(dir, name, "tokens"), "clients:\n"+clients)
		require.NoError(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("..1", entry("shop", shopToken, shopRights))
	require.NoError(t, os.Symlink(filepath.Join("..data", "tokens"), filepath.Join(dir, "tokens")))
	g, err := Open(Files{Tokens: filepath.Join(dir, "tokens")})
	require.NoError(t, err)
	watched(t, g, func() {})
	version("..2", entry("shop", otherToken, shopRights))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "..1")))
	require.Eventually(t, func() bool { _, err := g.Who(withToken("Bearer " + otherToken)); return err == nil }, wait, time.Millisecond)
}
