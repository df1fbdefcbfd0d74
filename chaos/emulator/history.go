package emulator

import (
	"sync/atomic"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/proto"
)

// version is a table's schema from one change of it to the next.
type version struct {
	number int                    // 0 for the schema that the table was made with
	schema *storagepb.TableSchema // never modified
	at     time.Time              // of the change
}

// history is a table's schemas, at least one, oldest first. Reading is safe for concurrent use; Server.mu guards
// adding.
type history struct {
	versions atomic.Pointer[[]*version] // neither the slice nor what it points to is modified once it is stored
}

// Load is the newest schema: what the metadata say as soon as a change is made (case 11).
func (h *history) Load() *storagepb.TableSchema { return h.newest().schema }

func (h *history) first() *version { return (*h.versions.Load())[0] }

func (h *history) newest() *version {
	all := *h.versions.Load()
	return all[len(all)-1]
}

// all are the versions, oldest first. The slice must not be modified.
func (h *history) all() []*version { return *h.versions.Load() }

// known is the version that somebody knows who sees the table as it was at t: at least the first one.
func (h *history) known(t time.Time) *version {
	all := *h.versions.Load()
	for i := len(all) - 1; i > 0; i-- {
		if !all[i].at.After(t) {
			return all[i]
		}
	}
	return all[0]
}

// add makes a copy of schema the newest version.
func (h *history) add(schema *storagepb.TableSchema, at time.Time) {
	var all []*version
	if old := h.versions.Load(); old != nil {
		all = *old
	}
	v := &version{number: len(all), schema: proto.CloneOf(schema), at: at}
	all = append(all[:len(all):len(all)], v)
	h.versions.Store(&all)
}
