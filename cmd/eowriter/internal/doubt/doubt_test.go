package doubt

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
)

// Garbage must not make everybody ask the service for every row.
func TestAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New()
		x := Doubt{rows.UnknownField, "x"}
		require.True(t, a.Worth(x))
		a.Answered(x)
		require.False(t, a.Worth(x))
		require.True(t, a.Worth(Doubt{rows.UnknownField, "y"}))
		require.True(t, a.Worth(Doubt{rows.WrongType, "x"}))
		time.Sleep(again)
		require.True(t, a.Worth(x))

		asked := 0
		for i := range 10 * most {
			if d := (Doubt{rows.UnknownField, fmt.Sprint(i)}); a.Worth(d) {
				a.Answered(d)
				asked++
			}
		}
		require.Equal(t, burst, asked)
		require.LessOrEqual(t, len(a.about), most)
		time.Sleep(time.Second)
		require.True(t, a.Worth(Doubt{rows.UnknownField, "z"}))
	})
}

// What no schema mends must not be asked about.
func TestOf(t *testing.T) {
	d, curable := Of(fmt.Errorf("wrapped: %w", &rows.Error{Kind: rows.UnknownField, Column: "c"}))
	require.True(t, curable)
	require.Equal(t, Doubt{rows.UnknownField, "c"}, d)
	_, curable = Of(&rows.Error{Kind: rows.Syntax})
	require.False(t, curable)
	_, curable = Of(errors.New("something else"))
	require.False(t, curable)
}
