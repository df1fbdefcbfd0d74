// Package netfault is a TCP proxy between a client and a service that spoils connections on demand: it cuts, stalls,
// slows, delays and half-closes them, and keeps what a dead client had sent to deliver it later.
//
// Start comes first, with the service's address; the client then dials Proxy.Addr. What goes wrong is said by Faults,
// in Options or by Proxy.Inject: a kind (KindList), which connections get it, and where on them it begins. Proxy.Close
// comes last.
//
//	p, err := netfault.Start(srv.Addr(), netfault.Options{Seed: 1, Faults: []netfault.Fault{
//		{Kind: netfault.RST, Every: 3, Frame: 2, Spread: 50}, // each third connection dies in a DATA frame
//	}})
//
// # Replay
//
// Connections are numbered in the order in which they are accepted. Everything by chance is drawn from (seed,
// connection, fault, ordinal), so that the connection with a number gets the same faults at the same bytes in each
// run, whatever the others do; Options.OnFault tells of them. How a client spreads its calls over connections is its
// own affair.
//
// # Life of a connection
//
// proxy.go accepts it, plan.go decides what it gets, link.go joins the client's side with the service's, and a pipe
// for each direction (pipe.go) passes bytes on until one of its faults is due (action.go); frames.go finds HTTP/2's
// DATA frames. An end or a reset of one side is passed on as what it is, and a half that stays open stays open.
//
// Each connection has a goroutine for each direction; Close waits for them. Locks: Proxy.mu and link.mu are leaves,
// held for a few instructions.
package netfault
