package netfault_test

import (
	"fmt"
	"io"
	"log"
	"net"

	"github.com/eowriter/eowriter/chaos/netfault"
)

// Each second connection ends after exactly five bytes.
func Example() {
	service, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer service.Close()

	fault, err := netfault.ParseFault("fin:bytes=5,every=2")
	check(err)
	p, err := netfault.Start(service.Addr().String(), netfault.Options{Faults: []netfault.Fault{fault}})
	check(err)
	defer p.Close()

	for range 2 {
		client, err := net.Dial("tcp", p.Addr())
		check(err)
		_, err = client.Write([]byte("exactly once"))
		check(err)
		check(client.(*net.TCPConn).CloseWrite())
		conn, err := service.Accept()
		check(err)
		got, err := io.ReadAll(conn)
		check(err)
		check(conn.Close())
		check(client.Close())
		fmt.Printf("%q\n", got)
	}
	fmt.Println(p.FaultCounts())
	// Output:
	// "exactly once"
	// "exact"
	// map[fin:1]
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
