package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

// If it fails, a person's word is taken on a stream whose successor may be another owner's, where it would
// cost rows; or it is not taken where the seal is this very ledger's, and the partition is in doubt for ever.
func TestWordOnASealedStream(t *testing.T) {
	key := ledger.Key{Table: "projects/p/datasets/d/tables/t", Name: "a"}
	descriptor := []byte("descriptor")
	for name, sealedHere := range map[string]bool{"sealed elsewhere": false, "sealed here": true} {
		for reason, text := range map[ledger.Reason]string{ledger.TakeOver: "take-over", ledger.Resolved: "resolved"} {
			t.Run(name+", "+text, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "l")
				led, err := ledger.Open(path, nil)
				require.NoError(t, err)
				require.NoError(t, written(func(done func(error)) {
					led.OpenEpoch(ledger.Opening{
						Key: key, Mode: ledger.Replayable, Stream: "s1", Schema: ledger.FingerprintOf(descriptor), Descriptor: descriptor,
					}, func(_ ledger.Partition, err error) { done(err) })
				}))
				p, _, err := led.Partition(key)
				require.NoError(t, err)
				inDoubt := func() {
					require.NoError(t, written(func(done func(error)) { led.Halt(p.ID, 1, ledger.Halt{Cause: ledger.InDoubt}, done) }))
				}
				seal := func() {
					if reason == ledger.Resolved {
						inDoubt()
						require.NoError(t, written(func(done func(error)) { led.Resolve(p.ID, 1, &ledger.Resolution{}, done) }))
					}
					require.NoError(t, written(func(done func(error)) { led.Seal(p.ID, 1, ledger.Seal{Successor: "s2", Reason: reason}, done) }))
				}
				if !sealedHere {
					seal()
				}
				require.NoError(t, led.Close())
				require.NoError(t, os.Remove(path+".incarnation")) // it is suspicious from here on
				led, err = ledger.Open(path, nil)
				require.NoError(t, err)
				require.True(t, led.Moved())
				if sealedHere {
					seal()
				}
				inDoubt()
				require.NoError(t, led.Close())

				for _, yes := range []bool{false, true} {
					f := resolveFlags{changeFlags: changeFlags{yes: yes}, partitionFlags: partitionFlags{name: "a"}, landed: true, upTo: -1}
					err := f.use([]string{path}, func(led *ledger.Ledger) error { return f.resolve(io.Discard, led) })
					if sealedHere {
						require.NoError(t, err)
					} else {
						require.ErrorContains(t, err, "may have landed on the successor")
					}
				}
				led, err = ledger.OpenReadOnly(path)
				require.NoError(t, err)
				p, _, err = led.Partition(key)
				require.NoError(t, err)
				require.Equal(t, sealedHere, p.Resolution != nil)
				require.NoError(t, led.Close())
			})
		}
	}
}
