// Package serve is the sidecar as a process: [Run] opens the ledger and the writer, gives them to package ingest, listens on a
// Unix socket and a loopback port, and drains when it is told to end.
//
// serve.go has the life of the process, manager.go what systemd is told of it, listen.go the doors by which
// requests come, conns.go how many connections and requests a door takes, server.go, limits.go and auth.go what all of them
// go through, admin.go what is for operators. Behind it are two doors to the same [ingest.Ingest]: rpc.go with the service eowriter.v1.Writer, as
// gRPC, gRPC-Web and Connect, and rows.go with newline-delimited JSON over plain HTTP, whose bodies body.go reads within limits.
// errors.go says which codes errors have.
package serve
