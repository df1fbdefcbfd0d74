package emulator

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

var tableName = regexp.MustCompile(`^projects/[^/]+/datasets/[^/]+/tables/[^/]+$`)

const defaultID = "_default"

// splitStream takes a stream's name apart. "<table>/_default" is another way to write "<table>/streams/_default"
// (case 9). ok is false for a name the service calls invalid (case 10).
func splitStream(name string) (table, id string, ok bool) {
	table, id, ok = strings.Cut(name, "/streams/")
	if !ok {
		table, ok = strings.CutSuffix(name, "/"+defaultID)
		id = defaultID
	}
	return table, id, ok && tableName.MatchString(table) && (id == defaultID || wellFormedID(id))
}

// newID makes an id as the service does: unpadded base64 of a protocol buffer whose field 1 is a UUID and a suffix.
// Ids are random even when the faults are seeded: a stream of an earlier life is never mistaken for one of this.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	value := fmt.Sprintf("%x-%x-%x-%x-%x:s0", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	raw := protowire.AppendTag(nil, 1, protowire.BytesType)
	return base64.RawURLEncoding.EncodeToString(protowire.AppendString(raw, value))
}

func wellFormedID(id string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil {
		return false
	}
	num, typ, n := protowire.ConsumeTag(raw)
	if n < 0 || num != 1 || typ != protowire.BytesType {
		return false
	}
	_, m := protowire.ConsumeBytes(raw[n:])
	return m == len(raw)-n
}
