// Package guard knows who may come in by a port, and what they may do there: [Open] reads the files that say so, [Guard.Watch]
// reads them again when they change, [Guard.Who] says who makes a request, and a [Caller] what that one may do.
//
// files.go has the files and what they must be like, clients.go the list of clients, guard.go what is made of them.
package guard
