package emulator

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

func ordersPlan(t testing.TB) (*plan, *writerSchema) {
	raw, err := proto.Marshal(ordersDescriptor())
	require.NoError(t, err)
	w, err := parseWriterSchema(raw)
	require.NoError(t, err)
	p, mismatch := match("s", w, ordersSchema())
	require.Nil(t, mismatch)
	return p, w
}

// If this failed, the emulator would store rows that can't be decoded, or call bytes malformed that are a message.
func FuzzCheckRow(f *testing.F) {
	p, w := ordersPlan(f)
	f.Add(order(1, "a"))
	f.Add(bytesField(order(1, "a"), 7, string(varintField(nil, 1, 5))))
	f.Add(bytesField(order(1, "a"), 3, "\x07\x08"))
	f.Add([]byte{0x0a, 0xff})
	f.Fuzz(func(t *testing.T, row []byte) {
		problem := p.read(row, nil, nil)
		err := proto.Unmarshal(row, dynamicpb.NewMessage(w.message))
		if problem == "" {
			require.NoError(t, err)
		}
		if err == nil {
			require.NotEqual(t, malformedRow, problem)
		}
	})
}
