package load

import (
	"cmp"
	"context"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tableschema"
)

func newEncodings(opt *Options) *lines.Encodings {
	return lines.NewEncodings(opt.Table, opt.Choices.Options(), opt.Schema != nil)
}

// first makes the encoding that the load begins with, of the schema that the user gave, or else the service.
func (l *loader) first(ctx context.Context) error {
	ts := l.opt.Schema
	if ts == nil {
		var err error
		if ts, err = l.ask(ctx, l.opt.Table); err != nil {
			return err
		}
	}
	_, err := l.encodings.Of(ts, nil)
	return err
}

// ask gets a table's schema from the service. That is the first call to it: when it fails for long, it is more likely that
// the endpoint is wrong than that the service is down, and nothing is open yet that would have to be waited for.
func (l *loader) ask(ctx context.Context, table string) (*storagepb.TableSchema, error) {
	limit := cmp.Or(l.opt.contact, 30*time.Second)
	contact, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer l.display.waitFor("the service has not answered yet: it is asked for the schema of %s, for %v at most", tablename.Short(table), limit)()
	ts, err := tableschema.Get(contact, table, l.opt.ClientOptions)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return ts, err
}

// encoder is the version of the encoder and its options, see rowform.
func (opt *Options) encoder() uint32 { return opt.Choices.Encoder() }
