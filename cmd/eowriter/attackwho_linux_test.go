package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{t, cert, key}
}

func (a *authority) pem() string { return pemOf("CERTIFICATE", a.cert.Raw) }

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// issue makes a certificate for servers on loopback, or clients.
func (a *authority) issue(name string, serial int64) (cert, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &private.PublicKey, a.key)
	require.NoError(a.t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(a.t, err)
	return pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", secret)
}

// client shows a certificate; "": none.
func (a *authority) client(name string) *http.Client {
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AddCert(a.cert)
	if name != "" {
		cert, err := tls.X509KeyPair(pair(a.issue(name, 7)))
		require.NoError(a.t, err)
		config.Certificates = []tls.Certificate{cert}
	}
	tr := &http.Transport{TLSClientConfig: config}
	a.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func pair(cert, key string) ([]byte, []byte) { return []byte(cert), []byte(key) }

// guarded is a sidecar whose port is behind TLS, certificates and tokens.
type guarded struct {
	*attacked
	ca     *authority
	folder string // of its files
}

const (
	shopToken  = "shop-0123456789abcdefghij"
	otherToken = "other-0123456789abcdefghi"
	adminToken = "admin-0123456789abcdefghi"
)

// clientList has, of three tokens, those that are named, and a certificate.
func clientList(names ...string) string {
	list := "clients:\n- {name: backup, certificate: backup.internal, tables: [p.d.t]}\n"
	for _, name := range names {
		entry := map[string][2]string{
			"shop": {shopToken, "tables: [p.d.*]"}, "other": {otherToken, "tables: [p.x.*, p.d.tt]"}, "admin": {adminToken, "operator: true"},
		}[name]
		list += fmt.Sprintf("- {name: %s, sha256: %x, %s}\n", name, sha256.Sum256([]byte(entry[0])), entry[1])
	}
	return list
}

func attackGuarded(t *testing.T) *guarded {
	g := &guarded{ca: newAuthority(t), folder: t.TempDir()}
	cert, key := g.ca.issue("sidecar", 1)
	for name, text := range map[string]string{"cert": cert, "key": key, "ca": g.ca.pem(), "tokens": clientList("shop", "other", "admin")} {
		g.replace(t, name, text)
	}
	t.Cleanup(func() { // after the sidecar has ended
		for _, token := range []string{shopToken, otherToken, adminToken, shopToken[:10]} {
			require.NotContains(t, g.errs.String(), token, "a secret is in the log")
		}
	})
	g.attacked = attack(t, "--listen", "127.0.0.1:0", "--tls-cert", g.path("cert"), "--tls-key", g.path("key"),
		"--tls-client-ca", g.path("ca"), "--tokens", g.path("tokens"))
	require.True(t, strings.HasPrefix(g.ports[0], "https://"))
	return g
}

func (g *guarded) path(name string) string { return filepath.Join(g.folder, name) }

// replace changes a file as a whole.
func (g *guarded) replace(t *testing.T, name, text string) {
	require.NoError(t, os.WriteFile(g.path("new"), []byte(text), 0o600))
	require.NoError(t, os.Rename(g.path("new"), g.path(name)))
}

// ask makes a request; an error is that of a connection which isn't let in.
func (g *guarded) ask(c *http.Client, token, path, body string) (status int, text string, err error) {
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequest(method, g.ports[0]+path, strings.NewReader(body))
	require.NoError(g.ca.t, err)
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(all), err
}

const (
	writerService = "/eowriter.v1.Writer/"
	statusService = "/eowriter.v1.Status/"
	oneRow        = `{"n": 0, "s": "new"}`
	appendOne     = `{"table": "p.d.t", "partition": "new", "rows": {"json": {"objects": ["eyJuIjogMH0="]}}}`
)

// Whoever isn't known must learn and change nothing, and who is known no more than what is said of it.
func TestAttackTokens(t *testing.T) {
	g := attackGuarded(t)
	g.goesOn(t) // partition good is there to be seen
	nobody, backup := g.ca.client("nobody"), g.ca.client("backup.internal")
	good := "/v1/tables/p.d.t/partitions/good"
	for _, test := range []struct {
		name, token, path, body string
		c                       *http.Client
		status                  int
	}{
		{"no token", "", rowsPath, oneRow, nobody, 401},
		{"wrong token", "wrong-0123456789abcdefghi", rowsPath, oneRow, nobody, 401},
		{"short token", shopToken[:10], rowsPath, oneRow, nobody, 401},
		{"wrong token of one with a good certificate", "wrong-0123456789abcdefghi", rowsPath, oneRow, backup, 401},
		{"no token, position", "", good, "", nobody, 401},
		{"no token, call", "", writerService + "ListPartitions", "{}", nobody, 401},
		{"no token, status", "", statusService + "GetStatus", "{}", nobody, 401},
		{"no token, metrics", "", "/metrics", "", nobody, 401},
		{"no token, profiles", "", "/debug/pprof/", "", nobody, 401},
		{"no token, health", "", "/healthz", "", nobody, 200},
		{"no token, page", "", "/", "", nobody, 200},
		{"other table, rows", otherToken, rowsPath, oneRow, nobody, 403},
		{"other table, append", otherToken, writerService + "Append", appendOne, nobody, 403},
		{"other table, position", otherToken, good, "", nobody, 403},
		{"other table, get", otherToken, writerService + "GetPartition", `{"table": "p.d.t", "partition": "good"}`, nobody, 403},
		{"other table, list", otherToken, writerService + "ListPartitions", `{"table": "p.d.t"}`, nobody, 403},
		{"other table, drain", otherToken, writerService + "Drain", `{"table": "p.d.t"}`, nobody, 403},
		{"drain all", otherToken, writerService + "Drain", `{}`, nobody, 403},
		{"own tables, status", shopToken, statusService + "GetStatus", "{}", nobody, 403},
		{"own tables, find", shopToken, statusService + "FindPartitions", "{}", nobody, 403},
		{"own tables, describe", shopToken, statusService + "DescribePartition", `{"table": "p.d.t", "partition": "good"}`, nobody, 403},
		{"own tables, metrics", shopToken, "/metrics", "", nobody, 403},
		{"operator, rows", adminToken, rowsPath, oneRow, nobody, 403},
		{"operator, status", adminToken, statusService + "GetStatus", "{}", nobody, 200},
		{"operator, metrics", adminToken, "/metrics", "", nobody, 200},
		{"operator, profiles are off", adminToken, "/debug/pprof/", "", nobody, 404},
		{"own tables, rows", shopToken, "/v1/tables/p.d.t/partitions/new/rows", oneRow, nobody, 200},
		{"own tables, append", shopToken, writerService + "Append", appendOne, nobody, 200},
		{"certificate, rows", "", "/v1/tables/p.d.t/partitions/new/rows", oneRow, backup, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, text, err := g.ask(test.c, test.token, test.path, test.body)
			require.NoError(t, err)
			require.Equal(t, test.status, status, text)
			if status > 400 {
				require.NotContains(t, text, "good", "what it may not know is in the answer")
			}
		})
	}
	for token, sees := range map[string]bool{otherToken: false, shopToken: true, adminToken: true} {
		status, text, err := g.ask(nobody, token, writerService+"ListPartitions", "{}")
		require.NoError(t, err)
		require.Equal(t, 200, status, text)
		require.Equal(t, sees, strings.Contains(text, `"good"`), text)
	}
}

// A connection that isn't secured as it must be must get nowhere.
func TestAttackTLS(t *testing.T) {
	g := attackGuarded(t)
	plain, err := http.Get("http://" + g.address() + "/metrics")
	if err == nil {
		_ = plain.Body.Close()
		require.Equal(t, 400, plain.StatusCode)
	}
	old := g.ca.client("nobody")
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS12
	stranger := newAuthority(t).client("backup.internal")
	stranger.Transport.(*http.Transport).TLSClientConfig.RootCAs.AddCert(g.ca.cert)
	for name, c := range map[string]*http.Client{"TLS 1.2": old, "no certificate": g.ca.client(""), "of another authority": stranger} {
		for _, path := range []string{"/healthz", "/metrics", "/v1/tables/p.d.t/partitions/good"} {
			_, _, err := g.ask(c, adminToken, path, "")
			require.ErrorContains(t, err, "remote error: tls", name)
		}
	}
	g.hold(t, 3000, "\x16\x03\x01\x02\x00\x01") // handshakes that don't end
	g.goesOn(t)
	status, _, err := g.ask(g.ca.client("nobody"), "", "/healthz", "")
	require.NoError(t, err)
	require.Equal(t, 200, status)
}

// Certificates and tokens that are replaced must be in force without a restart, for connections that stand, too: what is
// taken out may be in wrong hands.
func TestAttackReload(t *testing.T) {
	g := attackGuarded(t)
	c := g.ca.client("nobody")
	status := func(c *http.Client, token string) int {
		status, _, err := g.ask(c, token, "/metrics", "")
		if err != nil {
			return 0
		}
		return status
	}
	becomes := func(want int, c *http.Client, token, why string) {
		t.Helper()
		require.Eventually(t, func() bool { return status(c, token) == want }, time.Minute, 10*time.Millisecond, why)
	}
	require.Equal(t, 200, status(c, adminToken))
	g.replace(t, "tokens", "clients: [{name: broken}]")
	cert, key := g.ca.issue("sidecar", 2)
	g.replace(t, "key", key)
	g.replace(t, "cert", cert)
	g.replace(t, "tokens", clientList("shop"))
	becomes(401, c, adminToken, "a token that is taken out")
	require.Equal(t, 403, status(c, shopToken))
	require.Eventually(t, func() bool {
		resp, err := g.ca.client("nobody").Get(g.ports[0] + "/healthz")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64() == 2
	}, time.Minute, 10*time.Millisecond, "the new certificate")

	next := newAuthority(t)
	renewed := next.client("nobody")
	renewed.Transport.(*http.Transport).TLSClientConfig.RootCAs.AddCert(g.ca.cert)
	g.replace(t, "ca", next.pem())
	becomes(403, renewed, shopToken, "certificates of the new authority")
	becomes(0, c, shopToken, "those of the old one, on a connection that stands")
	g.goesOn(t)
}
