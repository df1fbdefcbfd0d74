package emulator

import (
	"errors"
	"fmt"
)

// Inject arms a fault. It panics if the fault isn't valid: check with Validate what comes from a user.
func (s *Server) Inject(f Fault) {
	if err := f.Validate(); err != nil {
		panic("emulator: inject: " + err.Error())
	}
	s.faults.add(f)
}

// ClearFaults disarms all faults; their counts stay.
func (s *Server) ClearFaults() { s.faults.clear() }

// FaultCounts says how often faults of each kind fired since Start. Kinds that never did are absent.
func (s *Server) FaultCounts() map[string]int64 { return s.faults.counts() }

// FinalizeStream finalizes a stream behind its writer's back and returns its row count.
func (s *Server) FinalizeStream(name string) (int64, error) {
	st, err := s.application(name)
	if err != nil {
		return 0, fmt.Errorf("finalize stream: %w", err)
	}
	count, gone := st.finalize()
	if gone != nil {
		return 0, fmt.Errorf("finalize stream: %w", gone)
	}
	return count, nil
}

// ExpireStream lets a stream's time to live run out: from now on it answers NOT_FOUND with STREAM_NOT_FOUND (case
// 94). Its rows stay in the table.
func (s *Server) ExpireStream(name string) error {
	st, err := s.application(name)
	if err != nil {
		return fmt.Errorf("expire stream: %w", err)
	}
	if err := st.expire(); err != nil {
		return fmt.Errorf("expire stream: %w", err)
	}
	return nil
}

// AppendForeign writes rows at the end of a stream as some other program would, and returns the offset of the first.
// The rows are kept, not copied, and pass for messages of the schema last written with.
func (s *Server) AppendForeign(name string, rows [][]byte) (int64, error) {
	if len(rows) == 0 {
		return 0, errors.New("append to stream: no rows")
	}
	st, refused := s.lookup(name)
	if refused != nil {
		return 0, fmt.Errorf("append to stream: %w", refused)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.gone(now()); err != nil {
		return 0, fmt.Errorf("append to stream: %w", err)
	}
	if st.finalized {
		return 0, fmt.Errorf("append to stream: %w", finalized(st.name))
	}
	at := st.end
	if err := st.write(batch{stream: st, offset: at, count: int64(len(rows)), rows: rows, form: st.form}); err != nil {
		return 0, fmt.Errorf("append to stream: %w", err)
	}
	return at, nil
}

// application finds a stream that isn't a default stream.
func (s *Server) application(name string) (*stream, error) {
	st, err := s.lookup(name)
	switch {
	case err != nil:
		return nil, err
	case st.isDefault():
		return nil, fmt.Errorf("%s is a default stream", name)
	}
	return st, nil
}
