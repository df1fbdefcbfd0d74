package load

import (
	"cmp"
	"context"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tableschema"
)

func newEncodings(opt *Options) *lines.Encodings {
	return lines.NewEncodings(opt.Table, opt.Choices.Options(), opt.Schema != nil)
}

// first makes the encoding that the load begins with, of the schema that the user gave, or else the service.
func (l *loader) first(ctx context.Context) error {
	ts, err := l.opt.schema(ctx)
	if err != nil {
		return err
	}
	_, err = l.encodings.Of(ts, nil)
	return err
}

// schema returns the table's schema: the given one, or else the service's. That is the first call to the service: when
// it fails for long, it is more likely that the endpoint is wrong than that the service is down, and nothing is open
// yet that would have to be waited for.
func (opt *Options) schema(ctx context.Context) (*storagepb.TableSchema, error) {
	if opt.Schema != nil {
		return opt.Schema, nil
	}
	contact, cancel := context.WithTimeout(ctx, cmp.Or(opt.contact, 30*time.Second))
	defer cancel()
	ts, err := tableschema.Get(contact, opt.Table, opt.ClientOptions)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return ts, err
}

// encoder is the version of the encoder and its options, see rowform.
func (opt *Options) encoder() uint32 { return opt.Choices.Encoder() }
