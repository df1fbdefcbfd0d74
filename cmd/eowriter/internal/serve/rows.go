package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// The route for newline-delimited JSON:
//
//	POST /v1/tables/TABLE/partitions/PARTITION/rows   appends the body's lines
//	GET  /v1/tables/TABLE/partitions/PARTITION        says where the partition is
//
// Help below is its reference.
const rowsPrefix = "/v1/tables/"

// RowsHelp describes the route for people.
const RowsHelp = `  POST /v1/tables/TABLE/partitions/PARTITION/rows
      appends the rows in the body: a JSON object a line, plain or with Content-Encoding gzip or zstd. Lines without anything on
      them don't count. TABLE is PROJECT.DATASET.TABLE, PARTITION any name of 1 to 200 bytes, both escaped as parts of a path.
      Each of these may be a parameter of the query, escaped as such, or a header:
        expect    Eowriter-Expect    position that the partition is at before these rows; none: at its beginning
        position  Eowriter-Position  position that they bring it to; none: the append is repeated at your own risk
        ack       Eowriter-Ack       landed (default) or stored, see above
        bad-rows  Eowriter-Bad-Rows  refuse (default) or dead-letters, see above
      The answer is 200 and an AppendResponse of the API as JSON. Otherwise it is an AppendError, with a status that says what to do:
        400 the request can't be meant         404 no such table
        409 other rows were accepted between these positions
        412 the partition is at another position, current_position
        413 too large                          422 bad rows, see rows: indices from 0, columns, reasons
        429, 503 try again after Retry-After
  GET /v1/tables/TABLE/partitions/PARTITION
      says where the partition is, a Partition of the API as JSON: a producer that starts goes on behind its position.`

type rowsHandler struct {
	in       *ingest.Ingest
	maxBytes int64
	maxRows  int
	refused  func(error) // is told of each append that is answered with an error
}

// ServeHTTP answers the route.
func (h *rowsHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, rows, err := parsePath(r.URL.EscapedPath())
	if err != nil {
		httpError(w, err)
		return
	}
	method := http.MethodGet
	if rows {
		method = http.MethodPost
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	var answer proto.Message
	if rows {
		if answer, err = h.append(r, key); err != nil {
			h.refused(err)
		}
	} else if err = maySee(r.Context(), key.Table); err == nil {
		answer, err = h.in.Ask(r.Context(), key)
	}
	if err != nil {
		httpError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// parsePath reads TABLE/partitions/PARTITION[/rows]. Names are parts of the escaped path, so whatever is in them stays in
// them: they are keys and never paths.
func parsePath(escaped string) (key ledger.Key, rows bool, err error) {
	parts := strings.Split(strings.TrimPrefix(escaped, rowsPrefix), "/")
	rows = len(parts) == 4 && parts[3] == "rows"
	if len(parts) != 3 && !rows || parts[1] != "partitions" {
		return key, false, invalid(fmt.Errorf("want %sPROJECT.DATASET.TABLE/partitions/PARTITION[/rows]", rowsPrefix))
	}
	table, err := url.PathUnescape(parts[0])
	if err != nil {
		return key, false, invalid(err)
	}
	name, err := url.PathUnescape(parts[2])
	if err != nil {
		return key, false, invalid(err)
	}
	key, err = keyOf(table, name)
	return key, rows, err
}

// append appends the rows in the body.
func (h *rowsHandler) append(r *http.Request, key ledger.Key) (*eowriterv1.AppendResponse, error) {
	if err := mayAppend(r.Context(), key.Table); err != nil {
		return nil, err
	}
	a, ack, err := parseParameters(r)
	if err != nil {
		return nil, err
	}
	a.Key, a.Room = key, h.in.Room()
	body, err := readBody(r, a.Room, h.maxBytes)
	if err != nil {
		a.Room.Release()
		return nil, err
	}
	a.Rows = lines(body, h.maxRows)
	pending, err := h.in.Accept(r.Context(), a)
	if err != nil {
		return nil, err
	}
	return pending.Wait(r.Context(), ack)
}

// parameters are those of the query, with their headers.
var parameters = map[string]string{"expect": "Eowriter-Expect", "position": "Eowriter-Position", "ack": "Eowriter-Ack", "bad-rows": "Eowriter-Bad-Rows"}

// parseParameters reads what is beside the rows.
func parseParameters(r *http.Request) (a ingest.Append, ack eowriterv1.Acknowledge, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return a, ack, invalid(fmt.Errorf("query: %w", err))
	}
	value := map[string]string{}
	for name, values := range query {
		if _, ok := parameters[name]; !ok || len(values) != 1 {
			return a, ack, invalid(fmt.Errorf("query: parameter %.100q is not known, or given twice", name))
		}
		value[name] = values[0]
	}
	for name, header := range parameters {
		values := r.Header.Values(header)
		if _, both := value[name]; len(values) > 1 || len(values) == 1 && both {
			return a, ack, invalid(fmt.Errorf("%s is given twice", header))
		}
		if len(values) == 1 {
			value[name] = values[0]
		}
	}
	a.Expected, a.Position = value["expect"], value["position"]
	switch value["ack"] {
	case "", "landed":
		ack = eowriterv1.Acknowledge_ACKNOWLEDGE_LANDED
	case "stored":
		ack = eowriterv1.Acknowledge_ACKNOWLEDGE_STORED
	default:
		return a, ack, invalid(errors.New("ack is landed or stored"))
	}
	switch value["bad-rows"] {
	case "", "refuse":
	case "dead-letters":
		a.DeadLetters = true
	default:
		return a, ack, invalid(errors.New("bad-rows is refuse or dead-letters"))
	}
	return a, ack, nil
}

// lines are the lines of the body that have something on them, up to one more than most: an empty row takes more in memory
// than on its line.
func lines(body []byte, most int) (rows [][]byte) {
	rows = make([][]byte, 0, min(bytes.Count(body, []byte{'\n'}), most)+1)
	for len(body) > 0 && len(rows) <= most {
		line, rest, _ := bytes.Cut(body, []byte{'\n'})
		if line = trim(line); len(line) > 0 {
			rows = append(rows, line)
		}
		body = rest
	}
	return rows
}

// trim takes white space off a row: the same row has the same digest, however it came.
func trim(row []byte) []byte { return bytes.Trim(row, " \t\r\n") }

// writeJSON answers with a message of the API.
func writeJSON(w http.ResponseWriter, status int, m proto.Message) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	var line bytes.Buffer
	if err == nil {
		err = json.Compact(&line, text) // protojson varies its white space on purpose
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	line.WriteByte('\n')
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(line.Bytes())
}
