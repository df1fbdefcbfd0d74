// Command producer pushes a file of newline-delimited JSON into one partition, each line exactly once, whoever dies in
// between.
//
//	go run ./docs/producers SOCKET TABLE PARTITION FILE [landed|stored]
//
// It prints what the sidecar answers.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"connectrpc.com/connect"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1/eowriterv1connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 5 {
		log.Fatal("usage: producer SOCKET TABLE PARTITION FILE [landed|stored]")
	}
	socket, table, partition := os.Args[1], os.Args[2], os.Args[3]
	ack := eowriterv1.Acknowledge_ACKNOWLEDGE_LANDED
	if len(os.Args) > 5 && os.Args[5] == "stored" {
		ack = eowriterv1.Acknowledge_ACKNOWLEDGE_STORED
	}
	source, err := os.Open(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	sidecar := eowriterv1connect.NewWriterClient(&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}, "http://localhost")

	asked, err := call(sidecar.GetPartition, &eowriterv1.GetPartitionRequest{Table: table, Partition: partition})
	if err != nil {
		log.Fatal(err)
	}
	position := asked.GetPartition().GetPosition() // the file's offset from which on rows are needed; "": from its beginning
	for {
		rows, end, err := read(source, position)
		if err != nil {
			log.Fatal(err)
		}
		if len(rows) == 0 {
			return
		}
		answer, err := call(sidecar.Append, &eowriterv1.AppendRequest{
			Table: table, Partition: partition, ExpectedPosition: position, Position: end, Acknowledge: ack,
			Rows: &eowriterv1.Rows{Kind: &eowriterv1.Rows_Json{Json: &eowriterv1.JSONRows{Objects: rows}}},
		})
		if why := detail(err); why.GetReason() == eowriterv1.Reason_REASON_POSITION {
			position = why.GetCurrentPosition() // it is elsewhere, and so goes on there
			continue
		}
		if err != nil {
			log.Fatal(err) // somebody has to mend this
		}
		position = answer.GetPosition()
	}
}

// read reads up to 500 lines from a position on, and says which position is behind them.
func read(source io.ReadSeeker, position string) (rows [][]byte, end string, err error) {
	offset, _ := strconv.ParseInt(position, 10, 64)
	if _, err := source.Seek(offset, io.SeekStart); err != nil {
		return nil, "", err
	}
	for lines := bufio.NewReader(source); len(rows) < 500; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break // what has no end yet isn't a line
		}
		if err != nil {
			return nil, "", err
		}
		rows, offset = append(rows, line), offset+int64(len(line))
	}
	return rows, strconv.FormatInt(offset, 10), nil
}

// call calls, and calls again until it has an answer that trying again doesn't change.
func call[Q, A any](method func(context.Context, *connect.Request[Q]) (*connect.Response[A], error), q *Q) (*A, error) {
	for {
		answer, err := method(context.Background(), connect.NewRequest(q))
		if err == nil {
			say(answer.Any())
			return answer.Msg, nil
		}
		why := detail(err)
		switch wait := why.GetRetryAfter(); {
		case why != nil:
			say(why)
			if wait == nil {
				return nil, err
			}
			time.Sleep(wait.AsDuration())
		case connect.IsWireError(err):
			return nil, err
		default: // no answer
			time.Sleep(rand.N(time.Second))
		}
	}
}

// detail is what the sidecar says about an error; nil: nothing.
func detail(err error) *eowriterv1.AppendError {
	if refused := (*connect.Error)(nil); errors.As(err, &refused) {
		for _, d := range refused.Details() {
			if value, err := d.Value(); err == nil {
				if why, ok := value.(*eowriterv1.AppendError); ok {
					return why
				}
			}
		}
	}
	return nil
}

func say(message any) {
	text, _ := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message.(proto.Message))
	fmt.Println(string(text))
}
