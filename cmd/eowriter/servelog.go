package main

import (
	"io"
	"log/slog"
	"net/url"

	"github.com/spf13/pflag"
)

// logFlags say how the log is written.
type logFlags struct{ format, level string }

func (l *logFlags) add(f *pflag.FlagSet) {
	f.StringVar(&l.format, "log-format", "text", "of the log on standard error: text (key=value) or json")
	f.StringVar(&l.level, "log-level", "info", "least level that is logged: debug, info, warn or error")
}

// logger returns the log.
func (l *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	switch l.level {
	case "debug", "info", "warn", "error":
		if err := level.UnmarshalText([]byte(l.level)); err != nil {
			return nil, err
		}
	default:
		return nil, usagef("--log-level %q: want debug, info, warn or error", l.level)
	}
	opt := &slog.HandlerOptions{Level: level}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opt)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opt)), nil
	}
	return nil, usagef("--log-format %q: want text or json", l.format)
}

// checkCollector refuses what isn't the URL of a collector.
func checkCollector(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return usagef("--otlp-endpoint: want a URL such as http://127.0.0.1:4318")
	case u.User != nil: // it would be in messages
		return usagef("--otlp-endpoint: credentials go into OTEL_EXPORTER_OTLP_HEADERS, not into the URL")
	}
	return nil
}
