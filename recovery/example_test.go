package recovery_test

import (
	"fmt"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
)

// An owner tells the machine what happened with Step, carries out what comes back, and
// asks Next for the calls that are due. Here a partition that the ledger knows starts,
// and one batch lands.
func Example() {
	m := recovery.New(recovery.Options{
		Key:  ledger.Key{Table: "projects/p/datasets/d/tables/orders", Name: "orders-0"},
		Mode: ledger.Replayable,
	})
	happened := func(what string, e recovery.Event) {
		fmt.Println(what)
		for _, a := range m.Step(e) { // these never block
			switch a.Kind {
			case recovery.Ready:
				fmt.Println("  ready")
			case recovery.Bind:
				fmt.Printf("  ledger.Bind [%d,%d)\n", a.Intent.Start, a.Intent.End())
			case recovery.Stored:
				fmt.Printf("  batch %d is stored\n", a.Batch)
			case recovery.Acknowledge:
				fmt.Printf("  ledger.Acknowledge %d\n", a.End)
			case recovery.Landed:
				fmt.Printf("  batch %d has landed at %d\n", a.Batch, a.Ack.Offset)
			}
		}
		for a, due := m.Next(); due; a, due = m.Next() { // these are made one after the other
			switch a.Kind {
			case recovery.Connect:
				fmt.Printf("  connect to %s\n", a.Stream)
			case recovery.Probe:
				fmt.Println("  probe")
			case recovery.Send:
				fmt.Printf("  append at %d\n", a.Intent.Start)
			}
		}
	}

	known := ledger.Partition{Epoch: 1, Stream: "s1", Acked: 10, Next: 10, Position: []byte("line 10")}
	happened("start", recovery.Event{Kind: recovery.Start, Partition: &known})
	happened("connected", recovery.Event{Kind: recovery.Connected, Conn: 1})
	end := &retry.Answer{Class: retry.OutOfRange, Expected: 10}
	happened("probe answered", recovery.Event{Kind: recovery.Answered, Conn: 1, Answer: end})
	batch := ledger.Intent{Rows: 5, Of: 5, Before: m.Position(), After: []byte("line 15")}
	happened("offered", recovery.Event{Kind: recovery.Offered, Intent: batch})
	happened("bound", recovery.Event{Kind: recovery.Bound})
	happened("answered", recovery.Event{Kind: recovery.Answered, Conn: 1, Answer: &retry.Answer{Class: retry.OK, Offset: 10}})
	happened("acknowledged", recovery.Event{Kind: recovery.Acknowledged})

	// Output:
	// start
	//   connect to s1
	// connected
	//   probe
	// probe answered
	//   ready
	// offered
	//   ledger.Bind [10,15)
	// bound
	//   batch 1 is stored
	//   append at 10
	// answered
	//   ledger.Acknowledge 15
	// acknowledged
	//   batch 1 has landed at 10
}
