package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// If it fails, a log has another form than its reader was told, or a typing error is taken for a wish.
func TestLogFlags(t *testing.T) {
	var out bytes.Buffer
	log, err := (&logFlags{"json", "warn"}).logger(&out)
	require.NoError(t, err)
	log.Info("no")
	log.Warn("yes", "table", "p.d.t")
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line), out.String())
	require.Equal(t, "p.d.t", line["table"])
	out.Reset()
	log, err = (&logFlags{"text", "debug"}).logger(&out)
	require.NoError(t, err)
	log.Debug("yes", "table", "p.d.t\nx")
	require.Contains(t, out.String(), `msg=yes table="p.d.t\nx"`)
	for _, bad := range []logFlags{{"text", "INFO+1"}, {"text", ""}, {"yaml", "info"}} {
		_, err := bad.logger(&out)
		require.True(t, errors.As(err, &usageError{}), "%v", bad)
	}
}

// If it fails, credentials in a URL come into the log, or a sidecar starts that sends its metrics nowhere.
func TestCheckCollector(t *testing.T) {
	for _, good := range []string{"", "http://127.0.0.1:4318", "https://collector.example/prefix"} {
		require.NoError(t, checkCollector(good), good)
	}
	for _, bad := range []string{"127.0.0.1:4318", "grpc://c:4317", "http://", "http://user:secret@c:4318", "http://c/?k=secret", "http://c/%zz-secret"} {
		err := checkCollector(bad)
		require.True(t, errors.As(err, &usageError{}), bad)
		require.NotContains(t, err.Error(), "secret")
	}
}
