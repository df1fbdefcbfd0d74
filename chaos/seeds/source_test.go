package seeds

import (
	"context"
	"sync"
	"time"

	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
)

// run is what the process does with a partition.
func (x *process) run(i int) error {
	if x.p.retiring {
		return x.retire(i)
	}
	return x.write(i)
}

// write offers the rest of a partition's source and waits until it has landed.
func (x *process) write(i int) error {
	src := x.p.s.source(i, x.r.Encoder)
	part, at, err := x.open(i, src)
	if err != nil {
		return err
	}
	if err := x.deliver(part.Key()); err != nil {
		return err
	}
	results := make(chan pending, x.p.s.Rows+1)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for b := range results {
			x.told(i, b)
		}
	})
	defer waiting.Wait()
	defer close(results)
	rests := x.r.restsOf(i)
	for upto := min(x.r.Upto, x.p.s.Rows); at < upto; {
		for len(rests) > 0 && rests[0].Row <= at {
			if part, at, err = x.rest(part, at, src, rests[0]); err != nil {
				return err
			}
			rests = rests[1:]
		}
		to := min(at+x.r.Batch, upto)
		if at == to {
			break
		}
		b := src.Batch(at, to)
		if x.r.Follow {
			b.Schema = part.Schema()
		}
		result, err := part.Append(x.ctx, b)
		if err != nil {
			return err
		}
		results <- pending{at, to, result}
		at = to
		time.Sleep(time.Duration(x.r.Pause))
	}
	return part.Drain(x.ctx)
}

// open opens a partition and says at which row it is.
func (x *process) open(i int, src workload.Source) (*committed.Partition, int64, error) {
	table := workload.TableSchema()
	if x.r.Follow {
		table = x.p.schema(i)
	}
	schema, err := committed.NewSchema(tableOf(i), table, nil)
	if err != nil {
		return nil, 0, err
	}
	cfg := committed.PartitionConfig{Table: tableOf(i), Name: workload.Name(i), Schema: schema, Encoder: src.Encoder, MaxDead: x.p.s.Rows}
	if !x.p.s.Partitions[i].Frozen {
		cfg.Replay = src.Replay
	}
	part, err := x.w.Partition(x.ctx, cfg)
	if err != nil {
		return nil, 0, err
	}
	at, err := workload.RowsAt(part.Position())
	x.p.journal.note("p%d is open at row %d", i, at)
	x.heard(func(p *player) {
		p.history.Resumed = append(p.history.Resumed, chaos.Resumed{Partition: workload.Name(i), At: at, Stored: p.stored[i]})
	})
	return part, at, err
}

type pending struct {
	from, to int64
	result   *committed.Result
}

// told notes what a result says, if there is still somebody to hear it.
func (x *process) told(i int, b pending) {
	if b.result.Stored(x.ctx) == nil {
		x.heard(func(p *player) { p.stored[i] = max(p.stored[i], b.to) })
	}
	ack, err := b.result.Wait(x.ctx)
	if err != nil {
		return
	}
	told := chaos.Told{Partition: workload.Name(i), From: b.from, To: b.to, Stream: ack.Stream, Offset: ack.Offset}
	if ack.Rows == 0 {
		told.Stream = "" // its rows are dead: there is no place
	}
	x.heard(func(p *player) { p.history.Told = append(p.history.Told, told) })
}

// heard calls f with the player's lock held, unless the process is dead.
func (x *process) heard(f func(*player)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dead {
		return
	}
	x.p.mu.Lock()
	defer x.p.mu.Unlock()
	f(x.p)
}

func (r Run) restsOf(i int) (rests []Rest) {
	for _, rest := range r.Rests {
		if rest.Partition == i {
			rests = append(rests, rest)
		}
	}
	return rests
}

// rest is what a source does instead of offering rows. It returns the partition and its row, which are others if it was
// opened again.
func (x *process) rest(part *committed.Partition, at int64, src workload.Source, r Rest) (*committed.Partition, int64, error) {
	if r.Alter {
		if err := x.p.alter(r.Partition); err != nil {
			return nil, 0, err
		}
		if x.r.Follow {
			if _, err := part.Refresh(x.ctx); err != nil {
				return nil, 0, err
			}
		}
	}
	if r.Foreign {
		if err := x.intrude(part); err != nil {
			return nil, 0, err
		}
	}
	if r.Reopen {
		x.p.covered.count("partition opened again")
		grace, cancel := context.WithTimeout(x.ctx, time.Duration(r.Grace))
		err := part.Close(grace)
		cancel()
		x.p.journal.note("p%d is closed: %v", r.Partition, err)
		if part, at, err = x.open(r.Partition, src); err != nil {
			return nil, 0, err
		}
	}
	if r.For > 0 {
		if err := x.silent(part, r); err != nil {
			return nil, 0, err
		}
	}
	return part, at, nil
}

// foreignRows are more than a source has, so that they never end where a batch of ours does.
const foreignRows = 1000

// intrude has somebody else write to a partition's stream while nothing of it is open. It must not go on there.
func (x *process) intrude(part *committed.Partition) error {
	if err := part.Drain(x.ctx); err != nil {
		return err
	}
	held, _, err := x.led.Partition(part.Key())
	if err != nil {
		return err
	}
	rows := make([][]byte, foreignRows)
	for i := range rows {
		rows[i] = workload.ForeignRow()
	}
	if _, err := x.p.srv.AppendForeign(held.Stream, rows); err != nil {
		return nil // it is gone, or somebody has finalized it
	}
	x.p.journal.note("%s: somebody else writes to %s", part.Key().Name, x.p.nameOf(held.Stream))
	x.p.covered.count("rows of somebody else")
	x.p.foreign[partitionOf(part.Key())] = held.Stream
	return nil
}

func (x *process) silent(part *committed.Partition, r Rest) error {
	x.p.journal.note("p%d is silent for %v", r.Partition, time.Duration(r.For))
	t := time.NewTimer(time.Duration(r.For))
	defer t.Stop()
	select {
	case <-t.C:
	case <-part.Stopped():
		return part.Err()
	case <-x.ctx.Done():
		return x.ctx.Err()
	}
	x.idle(r)
	return nil
}
