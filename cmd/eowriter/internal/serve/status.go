package serve

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"connectrpc.com/connect"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/pace"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// commits measures those of the ledger. Safe for concurrent use.
type commits struct {
	meter pace.Meter

	mu   sync.Mutex // guards last
	last time.Time  // zero: none yet
}

func (c *commits) note(done ledger.Commit) {
	now := time.Now()
	c.meter.Took(now, done.Took)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = now
}

// statusService is the service eowriter.v1.Status.
type statusService struct {
	in      *ingest.Ingest
	led     *ledger.Ledger
	commits *commits
	started time.Time
	build   *eowriterv1.Build
}

func newStatus(in *ingest.Ingest, led *ledger.Ledger, commits *commits) *statusService {
	return &statusService{in: in, led: led, commits: commits, started: time.Now(), build: buildOf(debug.ReadBuildInfo())}
}

func buildOf(info *debug.BuildInfo, ok bool) *eowriterv1.Build {
	if !ok {
		return &eowriterv1.Build{}
	}
	b := &eowriterv1.Build{Version: info.Main.Version, Go: info.GoVersion}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// GetStatus implements the API.
func (s *statusService) GetStatus(context.Context, *connect.Request[eowriterv1.GetStatusRequest]) (*connect.Response[eowriterv1.GetStatusResponse], error) {
	o, err := s.in.Overview()
	if err != nil {
		return nil, rpcError(err)
	}
	led, err := s.ledger()
	if err != nil {
		return nil, rpcError(err)
	}
	return connect.NewResponse(&eowriterv1.GetStatusResponse{
		Now: timestamppb.Now(), Started: timestamppb.New(s.started), Build: s.build, Ledger: led, Room: s.in.Usage(),
		Totals: o.Totals, Pace: paceOf(s.in.Pace()),
	}), nil
}

func (s *statusService) ledger() (*eowriterv1.LedgerStatus, error) {
	size, err := s.led.Size()
	if err != nil {
		return nil, err
	}
	r := s.commits.meter.Read(time.Now())
	l := &eowriterv1.LedgerStatus{
		Path: s.led.Path(), Id: s.led.ID(), Incarnation: int64(s.led.Incarnation()), Moved: s.led.Moved(),
		FileBytes: size.File, FreeBytes: max(0, size.File-size.Used), SegmentBytes: size.Segments, FreeSegmentBytes: size.FreeSegments,
		CommitsPerSecond: r.Count, CommitP50: durationOf(r.Took.P50), CommitP99: durationOf(r.Took.P99),
	}
	if err := s.led.Err(); err != nil {
		l.Error = err.Error()
	}
	s.commits.mu.Lock()
	defer s.commits.mu.Unlock()
	if !s.commits.last.IsZero() {
		l.LastCommit = timestamppb.New(s.commits.last)
	}
	return l, nil
}

func paceOf(r pace.Reading) *eowriterv1.Pace {
	p := &eowriterv1.Pace{
		RowsPerSecond: r.Rows, BytesPerSecond: r.Bytes, AppendsPerSecond: r.Count,
		LandedP50: durationOf(r.Took.P50), LandedP99: durationOf(r.Took.P99), Step: durationpb.New(pace.Step),
	}
	for _, step := range r.Steps {
		p.Steps = append(p.Steps, &eowriterv1.Step{
			RowsPerSecond: step.Rows, LandedP50: durationOf(step.Took.P50), LandedP99: durationOf(step.Took.P99),
		})
	}
	return p
}

func durationOf(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// FindPartitions implements the API.
func (s *statusService) FindPartitions(_ context.Context, req *connect.Request[eowriterv1.FindPartitionsRequest]) (*connect.Response[eowriterv1.FindPartitionsResponse], error) {
	if req.Msg.GetOffset() < 0 || req.Msg.GetLimit() < 0 {
		return nil, rpcError(invalid(errors.New("offset and limit are not negative")))
	}
	o, err := s.in.Overview()
	if err != nil {
		return nil, rpcError(err)
	}
	found := find(o.Partitions, req.Msg)
	return connect.NewResponse(&eowriterv1.FindPartitionsResponse{
		Partitions: pageOf(found, req.Msg), Found: int32(len(found)), All: int32(len(o.Partitions)),
	}), nil
}

// DescribePartition implements the API.
func (s *statusService) DescribePartition(_ context.Context, req *connect.Request[eowriterv1.DescribePartitionRequest]) (*connect.Response[eowriterv1.DescribePartitionResponse], error) {
	key, err := keyOf(req.Msg.GetTable(), req.Msg.GetPartition())
	if err != nil {
		return nil, rpcError(err)
	}
	d, err := s.in.Describe(key)
	if errors.Is(err, ledger.ErrNoPartition) {
		return nil, connect.NewError(connect.CodeNotFound, err)
	}
	if err != nil {
		return nil, rpcError(err)
	}
	return connect.NewResponse(d), nil
}
