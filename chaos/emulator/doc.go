// Package emulator is BigQuery's Storage Write API as a gRPC server for tests and demonstrations: COMMITTED streams
// and the default stream, with the offsets, errors and limits of the service, and faults on demand.
//
// Start comes first; its Options name the tables. A client reaches the server with the options that
// Server.ClientOptions returns, or at Server.Addr without encryption. Server.Contents shows a table's rows as BigQuery
// would, Server.Rows as they were sent; Server.Streams tells of the streams. Server.Close comes last.
//
//	srv, err := emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{name: schema}})
//	client, err := managedwriter.NewClient(ctx, "p", srv.ClientOptions()...)
//
// # Conformance
//
// How the service behaves is written down as numbered cases in docs/service-facts.md; comments and tests name them. This
// package passes 1, 3-76 and 88-95; there is a test for each.
// Case 24 gives OUT_OF_RANGE, or ABORTED with Options.AbortFollowers; 18 and 19 hold for the probe too. Of 54 and 95
// the service's texts are not known. Streams expire by Options.StreamTTL or on demand (ExpireStream, the fault expire).
//
// PENDING and BUFFERED streams, FlushRows, BatchCommitWriteStreams, Arrow, change data capture, and several streams on
// one connection are answered with UNIMPLEMENTED. Default values may be literals and functions of the present such as
// CURRENT_TIMESTAMP(); a table with another one isn't made. The shapes of GEOGRAPHY values aren't looked into.
//
// Values are read as its section 7 says. What a row error says is known for STRING(n), TIMESTAMP, DATETIME and REQUIRED
// (cases 38 to 41); the other texts are this package's own. NewREST adds a subset of BigQuery's REST API: datasets,
// tables, rows.
//
// # Changes of a table
//
// Server.AlterTable changes the metadata at once; each connection's backend notices later, by Options.Propagation
// (cases 68 to 71). A connection checks its rows against the schema that its backend knew when the writer's schema
// came, until it ends. Rows are kept as they were sent, columns that were dropped meanwhile included.
//
// # Life of a request
//
// Each AppendRows call is a connection with a worker goroutine: it takes the message apart (request.go), attaches the
// connection to its stream with the first one (append.go), checks the rows against the writer's and the table's
// schema (schema.go, types.go, rows.go; conversion.go and a file for each family of types) and lets the stream judge
// the offset and write (stream.go, store.go). Faults (faults.go) fire before or after the judgement. Which of the
// table's schemas (history.go) a connection knows is up to its backend (propagation.go).
//
// A connection that was replaced by a newer one on its stream may still hold requests that it read: they are dropped.
// What it applied before stays applied, whether or not the answer arrives.
//
// The order of locks: Server.mu or a stream's mu, then the store's. The fault list's and the transport's are leaves.
package emulator
