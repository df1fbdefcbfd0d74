package ledger

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// samples has every field of every record set to something.
func samples() (h head, p Partition, in Intent, r Retired) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	owner := Identity{Machine: "machine", FileSystem: 0x801, Inode: 1234567, Nonce: 0x0123456789abcdef}
	h = head{ID: 0xfedcba9876543210, Identity: owner, Incarnation: 300, LastID: 70000}
	p = Partition{
		ID: 70000, Key: Key{Table: "projects/p/datasets/d/tables/t", Name: "orders-0"}, Mode: Frozen,
		Owner: owner, Epoch: 3, Stream: "streams/3", Acked: 1000, Next: 1500, Position: []byte("position"),
		Schema: Fingerprint{1, 2, 3}, Encoder: 7, Rows: 123456, Dead: 400, Delivered: 398, Created: at, Updated: at.Add(time.Hour),
		Last: &Append{Before: []byte{}, After: []byte("position"), Digest: Digest{9}, Stream: "streams/3", Epoch: 3, Offset: 500, Rows: 500},
		Seal: &Seal{Successor: "streams/4", Owner: owner, Reason: RowErrors, Detail: "detail",
			Rejected: []Rejected{{Offset: 1200, Message: "bad"}, {Offset: 1201}}, At: at},
		Halt: &Halt{Cause: Conflict, Offset: 1300, Detail: "seen", At: at.Add(time.Minute)},
	}
	in = Intent{
		Number: 1000, Start: 1100, Rows: 300, Bytes: 750_000, Digest: Digest{4, 5}, From: 198, Of: 498, Before: []byte("b"), After: []byte("a"),
		Schema: Fingerprint{6}, Encoder: 8,
		Parts:   []Part{{Rows: 200, Digest: Digest{7}}, {Rows: 300, Before: []byte{}, After: []byte("x")}},
		Payload: Payload{Segment: 2, Offset: 8192, Length: 751_000, Frame: 0x1122334455667788},
		Without: []int64{3, 499},
		Dead:    []Dead{{Row: 1, Reason: "price: not a number", Content: []byte("{}")}, {Row: 4, Service: true, Reason: "r"}, {Row: 501, Service: true, Content: []byte{8, 1}, Schema: Fingerprint{6}}},
	}
	r = Retired{Key: p.Key, Epoch: 2, Stream: "streams/2", Rows: -1, Reason: Expired, At: at}
	return h, p, in, r
}

// Files written by one version are read by the next. If a byte changes here, the
// format's version must grow, and the old one must still be read.
func TestGolden(t *testing.T) {
	h, p, in, r := samples()
	intentKey, retiredKey, letterKey := makeNumbers(70000, 1000), makeNumbers(70000, 2), makeNumbers(70000, 399)
	letter := Letter{Number: 399, Before: in.Before, After: in.After, At: r.At, Dead: in.Dead[0]}
	partition := partitionKey(p.Key)
	frame := filepath.Join(t.TempDir(), "frame")
	f, err := os.Create(frame)
	require.NoError(t, err)
	rows := [][]byte{[]byte("row 0"), {}, []byte("row two")}
	content := []byte("row 0, row two")
	length := int64(frameHeader + len(content))
	require.NoError(t, writeFrame(f, h.ID, Payload{Segment: 1, Length: length, Frame: 5}, content, 2))
	require.NoError(t, f.Close())
	framed, err := os.ReadFile(frame)
	require.NoError(t, err)
	require.Len(t, framed, 4096, "whole pages are written")

	resolved, skipped := p, in
	resolved.Halt, resolved.Resolution = nil, &Resolution{Landed: 1400, At: r.At}
	skipped.Skip = "asked for by Ada"

	digest := DigestOf(rows)
	got := map[string][]byte{
		"format":      appendFormat(nil, 1),
		"head":        appendHead(nil, &h),
		"partition":   append(append(partition[:len(partition):len(partition)], '|'), appendPartition(nil, partition, &p)...),
		"parts":       appendPartition(nil, partition, &Partition{ID: 1, Key: p.Key, Mode: Frozen, Epoch: 1, Stream: "s", Last: &Append{After: []byte("x"), Rows: 500, Parts: in.Parts}}),
		"minimal":     appendPartition(nil, partition, &Partition{ID: 1, Key: p.Key, Mode: Replayable, Epoch: 1, Stream: "s"}),
		"resolved":    appendPartition(nil, partition, &resolved),
		"skipped":     appendIntent(nil, &intentKey, &skipped),
		"intent":      append(intentKey[:12:12], appendIntent(nil, &intentKey, &in)...),
		"schema":      append(schema[:16:16], appendSchema(nil, &schema, descriptor)...),
		"retired":     append(retiredKey[:12:12], appendRetired(nil, &retiredKey, &r)...),
		"letter":      append(letterKey[:12:12], appendLetter(nil, &letterKey, &letter)...),
		"frame":       framed[:length],
		"digest":      digest[:],
		"incarnation": companionText(h.ID, 300),
	}
	for name, b := range got {
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", "golden", name))
			require.NoError(t, err)
			require.Equal(t, string(want), lines(hex.EncodeToString(b)))
		})
	}
}

// lines breaks hexadecimal digits into lines of 32 bytes.
func lines(s string) string {
	var b strings.Builder
	for len(s) > 64 {
		fmt.Fprintln(&b, s[:64])
		s = s[64:]
	}
	fmt.Fprintln(&b, s)
	return b.String()
}

// What is read is what was written, nil and empty positions kept apart.
func TestRoundTrip(t *testing.T) {
	h, p, in, r := samples()
	gotHead, err := parseHead(appendHead(nil, &h))
	require.NoError(t, err)
	require.Equal(t, h, gotHead)

	key := partitionKey(p.Key)
	for _, last := range []*Append{p.Last, {Rows: 500, Parts: in.Parts}, nil} {
		p.Last = last
		gotPartition, err := parsePartition(key, appendPartition([]byte("before"), key, &p)[6:])
		require.NoError(t, err)
		require.Equal(t, p, gotPartition)
		p.Resolution = &Resolution{Landed: 1400, At: r.At}
		p.Seal, p.Halt, p.Position = nil, nil, nil
	}
	k := makeNumbers(70000, 1000)
	for range 2 {
		id, gotIntent, err := parseIntent(k[:], appendIntent(nil, &k, &in))
		require.NoError(t, err)
		require.Equal(t, ID(70000), id)
		require.Equal(t, in, gotIntent)
		in.Skip = "asked for by Ada"
		in.Parts, in.Payload, in.Before, in.Without, in.Dead = nil, Payload{}, nil, nil, nil
	}
	k = makeNumbers(70000, 2)
	letter := Letter{Number: 2, After: []byte{}, At: r.At, Dead: Dead{Row: 9, Content: []byte{}}}
	_, gotLetter, err := parseLetter(k[:], appendLetter(nil, &k, &letter))
	require.NoError(t, err)
	require.Equal(t, letter, gotLetter)
	_, gotRetired, err := parseRetired(k[:], appendRetired(nil, &k, &r))
	require.NoError(t, err)
	require.Equal(t, r, gotRetired)
}

// The same bytes divided differently are other rows.
func TestDigest(t *testing.T) {
	seen := map[Digest]int{}
	for i, rows := range [][][]byte{
		nil, {{}}, {{}, {}}, {[]byte("ab")}, {[]byte("a"), []byte("b")}, {[]byte("ab"), {}}, {{}, []byte("ab")},
	} {
		d := DigestOf(rows)
		require.NotContains(t, seen, d, "rows %d", i)
		seen[d] = i
	}
	rows := randomRows(10, 100)
	require.Zero(t, testing.AllocsPerRun(100, func() { DigestOf(rows) }))
}

// FuzzRecords: whatever a record's body is, decoding returns, and what it accepts
// it can write again. The checksum is made right, so that the fuzzer gets past it.
func FuzzRecords(f *testing.F) {
	h, p, in, r := samples()
	key := partitionKey(p.Key)
	intentKey, retiredKey := makeNumbers(1, 2), makeNumbers(1, 2)
	f.Add(appendHead(nil, &h))
	f.Add(appendPartition(nil, key, &p))
	p.Last.Parts = in.Parts
	f.Add(appendPartition(nil, key, &p))
	f.Add(appendIntent(nil, &intentKey, &in))
	f.Add(appendRetired(nil, &retiredKey, &r))
	f.Add(appendLetter(nil, &intentKey, &Letter{Number: 2, Dead: Dead{Row: 1, Reason: "r", Content: []byte("c")}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 4 {
			return
		}
		record := func(bucket tag, key []byte) []byte { return appendSum(b[:len(b)-4:len(b)-4], 0, bucket, key) }
		if got, err := parseHead(record(headTag, headKey)); err == nil {
			again, err := parseHead(appendHead(nil, &got))
			require.NoError(t, err)
			require.Equal(t, got, again)
		}
		if got, err := parsePartition(key, record(partitionTag, key)); err == nil {
			again, err := parsePartition(key, appendPartition(nil, key, &got))
			require.NoError(t, err)
			require.Equal(t, got, again)
			(&partition{record: got}).verify()
		}
		if _, got, err := parseIntent(intentKey[:], record(intentTag, intentKey[:])); err == nil {
			_, again, err := parseIntent(intentKey[:], appendIntent(nil, &intentKey, &got))
			require.NoError(t, err)
			require.Equal(t, got, again)
			(&partition{open: []Intent{got}}).verify()
		}
		if _, got, err := parseLetter(intentKey[:], record(letterTag, intentKey[:])); err == nil {
			_, again, err := parseLetter(intentKey[:], appendLetter(nil, &intentKey, &got))
			require.NoError(t, err)
			require.Equal(t, got, again)
		}
		if _, got, err := parseRetired(retiredKey[:], record(retiredTag, retiredKey[:])); err == nil {
			_, again, err := parseRetired(retiredKey[:], appendRetired(nil, &retiredKey, &got))
			require.NoError(t, err)
			require.Equal(t, got, again)
		}
	})
}
