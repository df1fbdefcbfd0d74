// Package statusview is what "eowriter status" shows: client.go asks a sidecar, text.go makes lines of the answer, which need
// no more of a terminal than its width, and watch.go shows them again and again.
package statusview

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1/eowriterv1connect"
)

const (
	patience = 10 * time.Second // for a sidecar to answer
	pageSize = 1000             // partitions in an answer, the most that there may be
)

// Target is a sidecar, and how to speak to it.
type Target struct {
	Socket  string   // path of its Unix socket, or else …
	Address *url.URL // … where it listens
	Token   string   // shown to it, unless empty
}

func (t *Target) String() string {
	if t.Address != nil {
		return t.Address.String()
	}
	return t.Socket
}

// Client asks one sidecar. Not for concurrent use.
type Client struct {
	target *Target
	http   *http.Transport
	status eowriterv1connect.StatusClient
}

// NewClient returns one; it connects when it asks. Close it.
func NewClient(t *Target) *Client {
	c := &Client{target: t, http: &http.Transport{}}
	base := "http://localhost"
	if t.Address != nil {
		base = t.Address.String()
	} else {
		c.http.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", t.Socket)
		}
	}
	show := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			if t.Token != "" {
				req.Header().Set("Authorization", "Bearer "+t.Token)
			}
			return next(ctx, req)
		}
	})
	c.status = eowriterv1connect.NewStatusClient(&http.Client{Transport: c.http}, base, connect.WithInterceptors(show))
	return c
}

// Close closes its connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Query says what is wanted.
type Query struct {
	Table string // PROJECT.DATASET.TABLE; "": all
	Limit int    // partitions at most, those first that need a person; 0: all
}

// View is how a sidecar does.
type View struct {
	Target     string
	Table      string // Query.Table
	Status     *eowriterv1.GetStatusResponse
	Partitions []*eowriterv1.PartitionStatus
	More       int // partitions that Limit left out
}

// Ask asks. The error says where nobody was reached.
func (c *Client) Ask(ctx context.Context, q Query) (*View, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v := &View{Target: c.target.String(), Table: q.Table}
	status, err := c.status.GetStatus(ctx, connect.NewRequest(&eowriterv1.GetStatusRequest{}))
	if err != nil {
		return nil, c.explain(err)
	}
	v.Status = status.Msg
	for offset := 0; ; {
		found, err := c.status.FindPartitions(ctx, connect.NewRequest(&eowriterv1.FindPartitionsRequest{
			Text: q.Table, Offset: int32(offset), Limit: pageSize,
		}))
		if err != nil {
			return nil, c.explain(err)
		}
		v.add(found.Msg.Partitions, q)
		offset += len(found.Msg.Partitions)
		done := len(found.Msg.Partitions) == 0 || offset >= int(found.Msg.Found)
		if !done && q.Table == "" && q.Limit > 0 && len(v.Partitions) == q.Limit {
			v.More += int(found.Msg.Found) - offset
			done = true
		}
		if done {
			return v, nil
		}
	}
}

// add takes those that are wanted: the sidecar looks for the table's name in others, too.
func (v *View) add(some []*eowriterv1.PartitionStatus, q Query) {
	for _, s := range some {
		switch {
		case q.Table != "" && s.GetPartition().GetTable() != q.Table:
		case q.Limit > 0 && len(v.Partitions) == q.Limit:
			v.More++
		default:
			v.Partitions = append(v.Partitions, s)
		}
	}
}

func (c *Client) explain(err error) error {
	switch connect.CodeOf(err) {
	case connect.CodeUnimplemented:
		return fmt.Errorf("%s does not tell how it does: ask at its --admin-listen, if it has one, or at its socket: %w", c.target, err)
	case connect.CodeUnauthenticated, connect.CodePermissionDenied:
		return fmt.Errorf("%s does not tell you how it does (--token-file shows a token): %w", c.target, err)
	}
	return fmt.Errorf("the sidecar at %s is not reached: %w", c.target, err)
}

// final says that asking again is no use.
func final(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeUnimplemented, connect.CodeUnauthenticated, connect.CodePermissionDenied, connect.CodeInvalidArgument:
		return true
	}
	return false
}

// Fine says that nothing needs a person, or waits: in the table, if one was asked for, and in the ledger.
func (v *View) Fine() bool {
	if v.Status.GetLedger().GetError() != "" {
		return false
	}
	if v.Table == "" {
		return len(v.Status.GetTotals().GetAttention()) == 0
	}
	for _, s := range v.Partitions { // those that need it come first
		return s.GetAttention() == eowriterv1.Attention_ATTENTION_UNSPECIFIED
	}
	return true
}
