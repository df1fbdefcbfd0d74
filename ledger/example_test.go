package ledger_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/eowriter/eowriter/ledger"
)

// The life of one batch: its partition is opened, it is bound, sent (not shown) and
// acknowledged.
func Example() {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	led, err := ledger.Open(filepath.Join(dir, "orders.ledger"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer led.Close()

	descriptor := []byte("the rows' serialized descriptor")
	key := ledger.Key{Table: "projects/p/datasets/d/tables/orders", Name: "orders-0"}
	opened := make(chan ledger.Partition, 1)
	led.OpenEpoch(ledger.Opening{
		Key: key, Mode: ledger.Replayable, Stream: key.Table + "/streams/s1",
		Schema: ledger.FingerprintOf(descriptor), Descriptor: descriptor,
	}, func(p ledger.Partition, err error) {
		if err != nil {
			log.Fatal(err)
		}
		opened <- p
	})
	p := <-opened

	rows := [][]byte{[]byte("row 0"), []byte("row 1")}
	durable := make(chan error, 1)
	led.Bind(p.ID, p.Epoch, ledger.Intent{
		Start: 0, Rows: 2, Of: 2, Digest: ledger.DigestOf(rows),
		Before: p.Position, After: []byte("line 2"), Schema: p.Schema,
	}, func(err error) { durable <- err })
	fmt.Println("bound:", <-durable)

	// AppendRows at offset 0; its answer says that the rows have landed.

	led.Acknowledge(p.ID, p.Epoch, 0, 2, func(err error) { durable <- err })
	fmt.Println("acknowledged:", <-durable)

	p, open, err := led.Partition(key)
	fmt.Printf("%d acknowledged, %d open, resume at %q, %v\n", p.Acked, len(open), p.Position, err)
	// Output:
	// bound: <nil>
	// acknowledged: <nil>
	// 2 acknowledged, 0 open, resume at "line 2", <nil>
}
