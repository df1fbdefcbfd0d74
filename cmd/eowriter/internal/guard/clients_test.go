package guard

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tokens that clients of the tests show.
const (
	shopToken  = "shop-0123456789abcdefghij"
	otherToken = "other-0123456789abcdefghi"
	adminToken = "admin-0123456789abcdefghi"
)

func digestOf(token string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(token))) }

// entry is a client in YAML's flow style.
func entry(name, token, more string) string {
	return fmt.Sprintf("  - {name: %s, sha256: %s, %s}\n", name, digestOf(token), more)
}

// A list that doesn't say clearly who may do what must be refused as a whole: a right that is misspelt, or given twice, would
// otherwise be lost or too large without anybody noticing.
func TestParseClients(t *testing.T) {
	shop := entry("shop", shopToken, "tables: [p.d.*]")
	for _, test := range []struct{ name, text, problem string }{
		{"empty", "", ""},
		{"no clients", "clients: []", ""},
		{"one", "clients:\n" + shop, ""},
		{"operator", "clients:\n" + entry("a", adminToken, "operator: true"), ""},
		{"certificate", "clients: [{name: a, certificate: a.internal, tables: [p.d.t]}]", ""},
		{"everything", "clients: [{name: a, certificate: a.internal, tables: ['*']}]", ""},
		{"digest in capitals", "clients: [{name: a, sha256: " + strings.ToUpper(digestOf(shopToken)) + ", operator: true}]", ""},
		{"no YAML", "clients: [", "yaml"},
		{"short digest", "clients: [{name: a, sha256: abcd, operator: true}]", "64 hexadecimal digits"},
		{"a token instead of its digest", "clients: [{name: a, sha256: " + shopToken + ", operator: true}]", "64 hexadecimal digits"},
		{"unknown key", "clients:\n" + entry("a", shopToken, "table: [p.d.t]"), "not found"},
		{"unknown key beside", "clients: []\nrights: []", "not found"},
		{"twice the same name", "clients:\n" + shop + entry("shop", otherToken, "operator: true"), "the same name, token or certificate"},
		{"twice the same token", "clients:\n" + shop + entry("b", shopToken, "operator: true"), "the same name, token or certificate"},
		{"twice the same certificate", "clients: [{name: a, certificate: c, operator: true}, {name: b, certificate: c, operator: true}]", "the same"},
		{"twice the same key", "clients: [{name: a, name: b, certificate: c, operator: true}]", "already defined"},
		{"no name", "clients: [{certificate: c, operator: true}]", "no name"},
		{"neither token nor certificate", "clients: [{name: a, operator: true}]", "neither sha256 nor certificate"},
		{"no rights", "clients: [{name: a, certificate: c}]", "it may do nothing"},
		{"an empty client", "clients: [null]", "client 1 is empty"},
		{"no table", "clients: [{name: a, certificate: c, tables: [p.d]}]", "is neither"},
		{"star in the middle", "clients: [{name: a, certificate: c, tables: ['p.*.t']}]", "is neither"},
		{"two stars", "clients: [{name: a, certificate: c, tables: ['p.d.**']}]", "is neither"},
		{"two documents", "clients: []\n---\nclients: []", "more than one document"},
		{"too many", "clients: [" + strings.Repeat("{},", maxClients+1) + "]", "at most"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseClients([]byte(test.text))
			if test.problem == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.problem)
			require.NotContains(t, err.Error(), digestOf(shopToken), "the log gets this")
		})
	}
}

// A client must own what its patterns say and nothing that only looks like it.
func TestOwns(t *testing.T) {
	c := &client{Tables: []string{"p.shop.*", "p.audit.log"}}
	for table, want := range map[string]bool{
		"p.shop.orders": true, "p.audit.log": true, "p.shop2.orders": false, "p.audit.logs": false, "p.audit.lo": false,
		"p.Shop.orders": false, "q.p.shop.orders": false, "": false, "p.shop": false,
	} {
		require.Equal(t, want, c.owns(table), table)
	}
}

// The file comes from outside: whatever is in it is taken or refused, and what is taken has rights and a way to be known.
func FuzzParseClients(f *testing.F) {
	f.Add("clients:\n" + entry("shop", shopToken, "tables: [p.d.*]"))
	f.Add("clients: [{name: a, certificate: c, operator: true}]")
	f.Add("a: &a [*a]\nclients: *a")
	f.Add("clients: [null, {}]\n---\n")
	f.Fuzz(func(t *testing.T, text string) {
		clients, err := parseClients([]byte(text))
		if err != nil {
			return
		}
		for _, c := range clients {
			require.True(t, c.Name != "" && (c.digest != nil || c.Certificate != "") && (c.Operator || len(c.Tables) > 0))
			require.True(t, c.digest == nil || len(c.digest) == sha256.Size)
		}
	})
}
