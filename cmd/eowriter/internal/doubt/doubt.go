// Package doubt bounds how often the service is asked for a table's schema because of rows that the present one refuses. A
// row is not believed to be bad before the service was asked about what is wrong with it, but garbage must not slow
// everything down.
package doubt

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/eowriter/eowriter/committed/rows"
	"golang.org/x/time/rate"
)

// The bounds.
const (
	again = 5 * time.Second // after it was asked about a column, rows refused for that are believed to be bad
	every = 1               // a second, and
	burst = 20              // at first
	most  = 1000            // columns that are remembered
)

// Doubt is what a row was refused for, as far as another schema could mend it.
type Doubt struct {
	kind   rows.Kind
	column string
}

// Of returns what a row was refused for, if another schema of the table could make a row of it.
func Of(err error) (d Doubt, curable bool) {
	var refused *rows.Error
	if !errors.As(err, &refused) {
		return d, false
	}
	switch refused.Kind {
	case rows.Syntax, rows.InvalidUTF8, rows.DuplicateField, rows.TooDeep:
		return d, false
	}
	return Doubt{refused.Kind, refused.Column}, true
}

// Asking is when the service was asked for a table's schema, and about what. Safe for concurrent use.
type Asking struct {
	turn chan struct{} // of 1: who asks

	mu      sync.Mutex // guards what follows
	about   map[Doubt]time.Time
	limiter *rate.Limiter
}

// New returns an Asking that was never asked.
func New() *Asking {
	return &Asking{turn: make(chan struct{}, 1), about: map[Doubt]time.Time{}, limiter: rate.NewLimiter(every, burst)}
}

// Begin is called before the service is asked, and end when it has answered: others who want to ask wait in between, for what
// it says, and look again whether there is still reason to. It returns ctx's error if ctx ends first.
func (a *Asking) Begin(ctx context.Context) (end func(), err error) {
	select {
	case a.turn <- struct{}{}:
		return func() { <-a.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Worth says whether to ask about d now.
func (a *Asking) Worth(d Doubt) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Since(a.about[d]) >= again && a.limiter.Tokens() >= 1
}

// Answered notes that the service was asked about d. Not before: until then a row is not known to be bad.
func (a *Asking) Answered(d Doubt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.about) >= most {
		clear(a.about)
	}
	a.about[d] = time.Now()
	a.limiter.Allow()
}
