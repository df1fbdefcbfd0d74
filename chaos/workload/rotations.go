package workload

import (
	"context"
	"sync"

	"github.com/eowriter/eowriter/committed"
)

// rotations lets the source of a partition wait until its stream was replaced.
type rotations struct {
	mu   sync.Mutex // guards next
	next map[string]chan struct{}
}

func newRotations(partitions []string) *rotations {
	r := &rotations{next: map[string]chan struct{}{}}
	for _, p := range partitions {
		r.next[p] = make(chan struct{})
	}
	return r
}

func (r *rotations) happened(partition string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.next[partition])
	r.next[partition] = make(chan struct{})
}

// wait waits for the partition's next R5.
func (r *rotations) wait(ctx context.Context, p *committed.Partition) error {
	r.mu.Lock()
	next := r.next[p.Key().Name]
	r.mu.Unlock()
	select {
	case <-next:
		return nil
	case <-p.Stopped():
		return p.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
