// Package api has the sidecar's API, eowriter.v1: what producers call in eowriter/v1/eowriter.proto, what those who operate it
// call in eowriter/v1/status.proto, which are its reference too. Beside them is what Go programs use: the messages in
// eowriterv1, clients and handlers in eowriterv1connect.
package api

//go:generate go run ./internal/generate
