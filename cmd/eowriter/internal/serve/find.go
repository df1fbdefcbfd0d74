package serve

import (
	"cmp"
	"slices"
	"strings"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// orders compare partitions: less than 0 if a comes first.
var orders = map[eowriterv1.Order]func(a, b *eowriterv1.PartitionStatus) int{
	eowriterv1.Order_ORDER_UNSPECIFIED: func(a, b *eowriterv1.PartitionStatus) int { return -cmp.Compare(a.Attention, b.Attention) },
	eowriterv1.Order_ORDER_PARTITION:   by((*eowriterv1.Partition).GetPartition),
	eowriterv1.Order_ORDER_TABLE:       by((*eowriterv1.Partition).GetTable),
	eowriterv1.Order_ORDER_STATE:       by((*eowriterv1.Partition).GetState),
	eowriterv1.Order_ORDER_STREAM:      by((*eowriterv1.Partition).GetStream),
	eowriterv1.Order_ORDER_EPOCH:       by((*eowriterv1.Partition).GetEpoch),
	eowriterv1.Order_ORDER_ACKED:       by((*eowriterv1.Partition).GetAcked),
	eowriterv1.Order_ORDER_NEXT:        by((*eowriterv1.Partition).GetNext),
	eowriterv1.Order_ORDER_IN_FLIGHT:   by((*eowriterv1.Partition).GetInFlight),
	eowriterv1.Order_ORDER_OPEN:        by(func(p *eowriterv1.Partition) int32 { return p.OpenAppends + p.QueuedAppends }),
	eowriterv1.Order_ORDER_RATE:        func(a, b *eowriterv1.PartitionStatus) int { return cmp.Compare(a.RowsPerSecond, b.RowsPerSecond) },
	eowriterv1.Order_ORDER_POSITION:    by((*eowriterv1.Partition).GetPosition),
	eowriterv1.Order_ORDER_ERROR:       by((*eowriterv1.Partition).GetError),
	eowriterv1.Order_ORDER_AGE:         by(func(p *eowriterv1.Partition) time.Duration { return age(p.Oldest) }),
	eowriterv1.Order_ORDER_ROWS:        by((*eowriterv1.Partition).GetRows),
}

func by[T cmp.Ordered](of func(*eowriterv1.Partition) T) func(a, b *eowriterv1.PartitionStatus) int {
	return func(a, b *eowriterv1.PartitionStatus) int { return cmp.Compare(of(a.Partition), of(b.Partition)) }
}

// age is one that only compares: the later since, the less; nothing has none.
func age(since *timestamppb.Timestamp) time.Duration {
	if since == nil {
		return -1 << 63
	}
	return -time.Duration(since.AsTime().UnixNano())
}

// find returns those that are asked for, in the order that is. All of them come ordered by table and name.
func find(all []*eowriterv1.PartitionStatus, req *eowriterv1.FindPartitionsRequest) (found []*eowriterv1.PartitionStatus) {
	text := strings.ToLower(req.GetText())
	for _, s := range all {
		if (len(req.GetStates()) == 0 || slices.Contains(req.GetStates(), s.Partition.State)) &&
			(!req.GetAttention() || s.Attention != eowriterv1.Attention_ATTENTION_UNSPECIFIED) && has(s.Partition, text) {
			found = append(found, s)
		}
	}
	compare := orders[req.GetOrder()]
	if compare == nil { // a newer client's
		compare = orders[eowriterv1.Order_ORDER_UNSPECIFIED]
	}
	slices.SortStableFunc(found, func(a, b *eowriterv1.PartitionStatus) int {
		c := compare(a, b)
		if req.GetDescending() {
			c = -c
		}
		return cmp.Or(c, strings.Compare(a.Partition.Partition, b.Partition.Partition), strings.Compare(a.Partition.Table, b.Partition.Table))
	})
	return found
}

// has says whether the text, in small letters, is somewhere in a partition.
func has(p *eowriterv1.Partition, text string) bool {
	if text == "" {
		return true
	}
	for _, s := range [...]string{p.Partition, p.Table, p.Position, p.Error} {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	return len(text) >= minStream && strings.Contains(strings.ToLower(p.Stream), text)
}

// minStream is how much of a stream's name must be given: it ends in letters by chance, among which anything short is found.
const minStream = 10

const defaultLimit, maxLimit = 100, 1000 // of a page

// pageOf cuts out the part of what was found that is asked for.
func pageOf(found []*eowriterv1.PartitionStatus, req *eowriterv1.FindPartitionsRequest) []*eowriterv1.PartitionStatus {
	limit := min(int(req.GetLimit()), maxLimit)
	if limit == 0 {
		limit = defaultLimit
	}
	from := min(int(req.GetOffset()), len(found))
	return found[from:min(from+limit, len(found))]
}
