package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A size that is misread makes batches of a size that nobody asked for.
func TestByteSize(t *testing.T) {
	for text, want := range map[string]byteSize{
		"1MiB": 1 << 20, "1.5KiB": 1536, "500kB": 500_000, "2GB": 2e9, "17": 17, "17B": 17, "9 MiB": 9 << 20, "0": 0,
	} {
		var s byteSize
		require.NoError(t, s.Set(text), text)
		require.Equal(t, want, s, text)
		var again byteSize
		require.NoError(t, again.Set(s.String()))
		require.Equal(t, s, again)
	}
	for _, text := range []string{"", "MiB", "-1", "1TiB", "NaN", "InfKiB", "1e30", "1 000"} {
		var s byteSize
		require.Error(t, s.Set(text), text)
	}
}

// A size that is printed must be readable, as what it was; anything that can be typed must be read or refused.
func FuzzByteSize(f *testing.F) {
	for _, text := range []string{"1MiB", "1.5KiB", "0x1p-2GB", "9223372036854775807", "1e-300", "Inf", "4611686018427387903B"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s, again byteSize
		if s.Set(text) != nil {
			return
		}
		require.GreaterOrEqual(t, s, byteSize(0))
		require.NoError(t, again.Set(s.String()), s.String())
		require.Equal(t, s, again)
	})
}

// Two tables must not have one name, and a name that was taken must be shown as it was typed.
func FuzzTableName(f *testing.F) {
	f.Add("p.d.t", "p.d.t2")
	f.Add("example.com:p.d.t", "p.d.t$20260101")
	f.Add("a..b", "projects/p/datasets/d/tables/t")
	f.Fuzz(func(t *testing.T, a, b string) {
		one, err := tableName(a)
		if err != nil {
			return
		}
		require.Equal(t, a, shortTable(one))
		if two, err := tableName(b); err == nil {
			require.Equal(t, a == b, one == two)
		}
	})
}

// Rows must go to the table that was named and to no other.
func TestTableName(t *testing.T) {
	for text, want := range map[string]string{
		"p.d.t":             "projects/p/datasets/d/tables/t",
		"example.com:p.d.t": "projects/example.com:p/datasets/d/tables/t",
	} {
		name, err := tableName(text)
		require.NoError(t, err)
		require.Equal(t, want, name)
		require.Equal(t, text, shortTable(name))
	}
	for _, text := range []string{"", "t", "d.t", ".d.t", "p..t", "p.d.", "p/d.d.t", "p.d.t t"} {
		_, err := tableName(text)
		require.ErrorAs(t, err, new(usageError), text)
	}
	require.Equal(t, "other", shortTable("other"))
}

// Rows in plain text must not leave this machine unless somebody says so.
func TestInsecureIsForLoopback(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"127.0.0.1:9060": true, "[::1]:9060": true, "localhost:9060": true, "127.8.9.1:1": true,
		"10.0.0.1:9060": false, "emulator:9060": false, "0.0.0.0:9060": false, "localhost.example.com:1": false, "127.0.0.1": false,
	} {
		opts, err := (&serviceFlags{endpoint: endpoint, insecure: true}).options()
		if ok {
			require.NoError(t, err, endpoint)
			require.NotEmpty(t, opts)
		} else {
			require.ErrorAs(t, err, new(usageError), endpoint)
		}
	}
	_, err := (&serviceFlags{endpoint: "emulator:9060", insecure: true, remote: true}).options()
	require.NoError(t, err)
}
