// Package api has the sidecar's API, eowriter.v1, in eowriter/v1/eowriter.proto, which is its reference too. Beside it is
// what Go programs use: the messages in eowriterv1, client and handler in eowriterv1connect.
package api

//go:generate go run ./internal/generate
