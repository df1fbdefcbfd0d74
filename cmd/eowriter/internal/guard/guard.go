package guard

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// minToken is how long a token is at least: the list can't tell what digests are of.
const minToken = 20

// Why a request is refused.
var (
	errNone    = errors.New("a token is needed, as Authorization: Bearer TOKEN")
	errShort   = fmt.Errorf("a token has at least %d characters: openssl rand -hex 32 makes one", minToken)
	errUnknown = errors.New("nobody is known by this token or certificate")
)

// Guard goes by the files as they were when they last made sense. Safe for concurrent use.
type Guard struct {
	files Files
	every time.Duration // between looks at the files
	rules atomic.Pointer[rules]
}

// rules are what the files say.
type rules struct {
	sum     [sha256.Size]byte // of the files
	ca      [sha256.Size]byte // of those who sign clients' certificates
	tls     *tls.Config       // nil: none
	clients []*client
}

// Open reads the files.
func Open(files Files) (*Guard, error) {
	g := &Guard{files: files, every: 2 * time.Second}
	c, err := files.read()
	if err != nil {
		return nil, err
	}
	r, err := g.make(c)
	if err != nil {
		return nil, err
	}
	g.rules.Store(r)
	return g, nil
}

// make makes rules of the files' contents.
func (g *Guard) make(c contents) (*rules, error) {
	r := &rules{sum: c.sum(), ca: sha256.Sum256(c.ca)}
	if g.files.Cert != "" {
		cert, err := tls.X509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", g.files.Cert, g.files.Key, err)
		}
		// Without tickets every connection shows its certificate to those who may sign it now.
		r.tls = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}, SessionTicketsDisabled: true}
	}
	if g.files.ClientCA != "" {
		r.tls.ClientAuth, r.tls.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		if !r.tls.ClientCAs.AppendCertsFromPEM(c.ca) {
			return nil, fmt.Errorf("--tls-client-ca %s has no certificate", g.files.ClientCA)
		}
	}
	if g.files.Tokens != "" {
		var err error
		if r.clients, err = parseClients(c.tokens); err != nil {
			return nil, fmt.Errorf("--tokens %s: %w", g.files.Tokens, err)
		}
	}
	return r, nil
}

func (c *contents) sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, b := range [][]byte{c.cert, c.key, c.ca, c.tokens} {
		fmt.Fprintf(h, "%d ", len(b))
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// TLS is how connections are to be secured, by the certificates of the moment; nil: not at all.
func (g *Guard) TLS() *tls.Config {
	if g == nil || g.files.Cert == "" {
		return nil
	}
	now := func(*tls.ClientHelloInfo) (*tls.Config, error) { return g.rules.Load().tls, nil }
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: g.rules.Load().tls.NextProtos, GetConfigForClient: now}
}

// Strict says that nobody comes in who isn't known, and nobody else sees or changes what is said: good for any port.
func (g *Guard) Strict() bool { return g != nil && g.files.Strict() }

// Watch looks at the files every other second, until ctx ends. What doesn't make sense is logged and changes nothing.
// distrusted is called when clients' certificates have to be shown once more: connections that stand were let in by others.
func (g *Guard) Watch(ctx context.Context, log *slog.Logger, distrusted func()) {
	tick := time.NewTicker(g.every)
	defer tick.Stop()
	var doubted, told string
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		old := g.rules.Load()
		changed, err := g.reload()
		switch {
		case err != nil:
			// A file that is being written doesn't make sense for a moment.
			if now := err.Error(); now == doubted && now != told {
				log.Error("certificates or tokens have changed and make no sense: those from before stay in force", "error", now)
				told = now
			}
			doubted = err.Error()
			continue
		case changed:
			log.Info("certificates and tokens were read again")
			if g.rules.Load().ca != old.ca {
				distrusted()
			}
		}
		doubted, told = "", ""
	}
}

// reload reads the files, and goes by them if they have changed.
func (g *Guard) reload() (changed bool, err error) {
	c, err := g.files.read()
	if err != nil || c.sum() == g.rules.Load().sum {
		return false, err
	}
	r, err := g.make(c)
	if err != nil {
		return false, err
	}
	g.rules.Store(r)
	return true, nil
}

// Who says who makes a request; an error is for the one who makes it. Nobody is asked for anything if there are no tokens.
func (g *Guard) Who(r *http.Request) (*Caller, error) {
	if g.files.Tokens == "" {
		return nil, nil
	}
	c := &Caller{g: g}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		c.shown.names = namesOf(r.TLS.PeerCertificates[0])
	}
	switch token := tokenOf(r); {
	case token == "" && c.shown.names == nil:
		return nil, errNone
	case token == "":
	case len(token) < minToken:
		return nil, errShort
	default:
		digest := sha256.Sum256([]byte(token))
		c.shown.token = digest[:]
	}
	if c.client() == nil {
		return nil, errUnknown
	}
	return c, nil
}

// tokenOf is the token that a request shows.
func tokenOf(r *http.Request) string {
	const scheme = "Bearer "
	header := r.Header.Get("Authorization")
	if len(header) < len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return ""
	}
	return strings.TrimSpace(header[len(scheme):])
}

// Caller is who makes a request. What it may do is looked up each time, so that it ends with its entry. A nil Caller may do
// everything: it came by the socket, or nobody is asked. Tables are PROJECT.DATASET.TABLE.
type Caller struct {
	g     *Guard
	shown credentials
}

func (c *Caller) client() *client { return find(c.g.rules.Load().clients, c.shown) }

// MayAppend says whether it may write to a table.
func (c *Caller) MayAppend(table string) bool {
	if c == nil {
		return true
	}
	is := c.client()
	return is != nil && is.owns(table)
}

// MaySee says whether it may know of a table; "": of all of them.
func (c *Caller) MaySee(table string) bool {
	if c == nil {
		return true
	}
	is := c.client()
	return is != nil && (is.Operator || is.owns(table))
}

type callerKey struct{}

// With gives a request's context its caller.
func With(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From is the caller of a request's context.
func From(ctx context.Context) *Caller {
	c, _ := ctx.Value(callerKey{}).(*Caller)
	return c
}
