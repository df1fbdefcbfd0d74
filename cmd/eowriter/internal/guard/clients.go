package guard

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
	"go.yaml.in/yaml/v3"
)

// maxClients bounds the list: each request may be compared with all of them.
const maxClients = 1000

// client is an entry of the list.
type client struct {
	Name        string   // for the log
	SHA256      string   // of its token, in hexadecimal digits; "": it has none
	Certificate string   // common name, or a DNS name or URI, of its certificate; "": it has none
	Tables      []string // PROJECT.DATASET.TABLE, or the beginning of one and a *: what it may write to, and look at
	Operator    bool     // it may look at everything

	digest []byte
}

// parseClients reads the list of clients.
func parseClients(text []byte) ([]*client, error) {
	var file struct{ Clients []*client }
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	if len(file.Clients) > maxClients {
		return nil, fmt.Errorf("%d clients, at most %d are taken", len(file.Clients), maxClients)
	}
	for n, c := range file.Clients {
		if c == nil {
			return nil, fmt.Errorf("client %d is empty", n+1)
		}
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("client %d (%.100q): %w", n+1, c.Name, err)
		}
		for _, other := range file.Clients[:n] {
			if c.Name == other.Name || c.digest != nil && bytes.Equal(c.digest, other.digest) || c.Certificate != "" && c.Certificate == other.Certificate {
				return nil, fmt.Errorf("clients %q and %q have the same name, token or certificate", other.Name, c.Name)
			}
		}
	}
	return file.Clients, nil
}

func (c *client) check() error {
	if c.SHA256 != "" {
		digest, err := hex.DecodeString(c.SHA256)
		if err != nil || len(digest) != sha256.Size {
			return errors.New("sha256 is not 64 hexadecimal digits: printf %s TOKEN | sha256sum makes them")
		}
		c.digest = digest
	}
	switch {
	case c.Name == "":
		return errors.New("it has no name")
	case c.SHA256 == "" && c.Certificate == "":
		return errors.New("it has neither sha256 nor certificate")
	case len(c.Tables) == 0 && !c.Operator:
		return errors.New(`it may do nothing: give it tables, such as ["my-project.my_dataset.*"], or operator: true`)
	}
	for _, t := range c.Tables {
		if _, err := tablename.Parse(t); strings.Contains(strings.TrimSuffix(t, "*"), "*") || err != nil && !strings.HasSuffix(t, "*") {
			return fmt.Errorf("tables: %.200q is neither PROJECT.DATASET.TABLE nor the beginning of one with a * behind it", t)
		}
	}
	return nil
}

// owns says whether table is one of its tables.
func (c *client) owns(table string) bool {
	return slices.ContainsFunc(c.Tables, func(pattern string) bool {
		if beginning, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(table, beginning)
		}
		return table == pattern
	})
}

// credentials are what somebody shows.
type credentials struct {
	token []byte // its digest; nil: none
	names []string
}

// namesOf are the names of a certificate.
func namesOf(cert *x509.Certificate) []string {
	names := append([]string{cert.Subject.CommonName}, cert.DNSNames...)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	return names
}

// find returns whose credentials they are, or nil. A token goes before a certificate: it is what its caller chose to show.
// The time that it takes tells nothing of the digests.
func find(clients []*client, shown credentials) (found *client) {
	for _, c := range clients {
		if shown.token != nil && subtle.ConstantTimeCompare(shown.token, c.digest) == 1 {
			found = c
		}
	}
	if shown.token != nil {
		return found
	}
	for _, c := range clients {
		if c.Certificate != "" && slices.Contains(shown.names, c.Certificate) {
			return c
		}
	}
	return nil
}
