package seeds

import (
	"fmt"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"google.golang.org/grpc/status"
)

// schema is the present one of a partition's table.
func (p *player) schema(partition int) *storagepb.TableSchema {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := workload.TableSchema()
	for i := range p.columns[partition] {
		s.Fields = append(s.Fields, &storagepb.TableFieldSchema{
			Name: fmt.Sprint("more", i), Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_NULLABLE,
		})
	}
	return s
}

// alter gives a partition's table one more column.
func (p *player) alter(partition int) error {
	p.mu.Lock()
	p.columns[partition]++
	p.mu.Unlock()
	p.journal.note("table %d gets a column", partition)
	p.covered.count("table altered")
	return p.srv.AlterTable(tableOf(partition), p.schema(partition))
}

// probeOffset is where probes are, and no rows.
const probeOffset = 1 << 62

// asks is called by the service for each request, and takes the time that the service needs for it.
func (p *player) asks(r emulator.Request) {
	name := p.nameOf(r.Stream)
	p.mu.Lock()
	ordinal := p.asked[r.Stream]
	p.asked[r.Stream]++
	if r.Offset < probeOffset {
		p.history.Requests = append(p.history.Requests, chaos.Request{Stream: r.Stream, Offset: r.Offset, Rows: r.Rows, Durable: len(p.history.Bound)})
	}
	p.total++
	total, x := p.total, p.process
	p.mu.Unlock()
	if total == askedAtMost {
		p.fail(stuck, "the service was asked %d times", total)
		x.die()
	}
	p.journal.note("service: %s is asked for %d rows at %s", name, r.Rows, offsetText(r.Offset))
	if pace := int64(p.s.Service.Pace); pace > 0 {
		time.Sleep(time.Duration(1 + draw(p.s.Seed, name, ordinal).Int64N(pace)))
	}
	x.applies(r, false)
}

// answers is called by the service with each answer.
func (p *player) answers(r emulator.Request, resp *storagepb.AppendRowsResponse, err error) {
	name := p.nameOf(r.Stream)
	answer := "landed"
	switch {
	case err != nil:
		answer = "ends with " + status.Code(err).String()
	case resp.GetError() != nil:
		answer = status.FromProto(resp.GetError()).Code().String()
	case resp.GetUpdatedSchema() != nil:
		answer = "landed, with a schema"
	}
	p.journal.note("service: %s at %s: %s", name, offsetText(r.Offset), answer)
	p.seen.note(name, "%d rows at %s: %s", r.Rows, offsetText(r.Offset), answer)
	p.mu.Lock()
	x := p.process
	p.mu.Unlock()
	if err == nil && resp.GetError() == nil {
		x.applies(r, true)
	}
}

func offsetText(offset int64) string {
	if offset >= probeOffset {
		return "the probe's offset"
	}
	return fmt.Sprint(offset)
}

// nameOf is a short name for a stream, the same in each play: its table and its ordinal there.
func (p *player) nameOf(stream string) string {
	p.mu.Lock()
	name := p.short[stream]
	p.mu.Unlock()
	if name != "" {
		return name
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.s.Partitions {
		for n, st := range p.srv.Streams(tableOf(i)) {
			p.short[st.Name] = fmt.Sprintf("%s/%d", workload.Name(i), n-1) // the first is the default stream
		}
	}
	return p.short[stream]
}
