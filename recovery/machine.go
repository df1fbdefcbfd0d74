package recovery

import (
	"fmt"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
)

// Options say what a machine is for, and bound how long it believes that an
// answer will get better.
type Options struct {
	Key  ledger.Key
	Mode ledger.Mode

	Schema     ledger.Fingerprint // writer schema of new streams and of the probe, until Renewed
	Descriptor []byte             // its serialized descriptor
	Encoder    uint32             // version of the encoder that makes the batches

	LagTries         int // how often a lagging end is asked for again; 0: 8
	PropagationTries int // how often extra fields are tried again; 0: 40

	// MaxDead is how many dead letters the partition may have, over all epochs. Rows
	// that the service refuses beyond it stop the partition; 0: any such row does.
	MaxDead int64
}

// Machine is the state machine of one partition. Not safe for concurrent use.
type Machine struct {
	opt   Options
	phase phase
	part  ledger.Partition // as the ledger last had it; Acked, Next and Position are kept current
	out   []Action

	suspicious bool // part.Owner is not the ledger's identity: take the stream over once its end is proved
	ownSeal    bool // the seal, found by Start or made since, is of the ledger's identity: its successor is nobody else's
	aged       bool // rotate as soon as the stream's end is proved
	retiring   bool // forget the partition as soon as nothing is open
	probed     bool // a probe of this incarnation fitted: binding is allowed (invariant 2)

	window  window
	offered fifo[item] // accepted while binding is not allowed
	batch   uint64     // number of the next batch
	intents uint64     // number of the next intent
	after   []byte     // position reached by the last intent bound or being bound
	acking  uint64     // the ordinal up to which an Acknowledge is on its way to the ledger; 0: none
	writes  int        // asked of the ledger and not answered
	renewed bool       // the table's schema has changed since Start

	rotation *rotation // what is being done to replace the stream, or nil

	conn     connState
	connID   uint64             // the present connection, or 0; events of others are ignored
	conns    uint64             // connections so far
	schema   ledger.Fingerprint // the present connection's
	flight   flight
	yielding bool // let the connection go when nothing is in flight
	served   bool // it has answered: who yields has got something done

	calling bool     // a call that Next returned has not been reported
	holding WaitKind // nothing is sent until what is in flight is answered and the wait is over
	waiting bool     // the Wait of holding was asked for
	tries   [Propagation + 1]int
	verdict Verdict // of the answer that the last event brought; 0: it brought none that counts

	cause *Cause // of a Stop that waits for the ledger's last answer, which is the halt's if it is marked
}

type phase uint8

const (
	phaseNone       phase = iota
	phaseCreating         // O1
	phaseOpening          // O2
	phaseProbing          // O3, R5
	phaseLive             // B1-B7
	phaseDraining         // nothing is bound or sent until nothing is in flight or on its way to the ledger
	phaseSucceeding       // R1
	phaseSealing          // R2
	phaseFinalizing       // R3
	phaseExamining        // between R3 and R4: batches that lose rows, or are encoded anew, are looked at
	phaseSettling         // R4
	phaseForgetting       // Retire: the stream is finalized, the ledger forgets
	phaseStopped
)

var phaseNames = [...]string{"none", "creating", "opening", "probing", "live", "draining", "succeeding", "sealing",
	"finalizing", "examining", "settling", "forgetting", "stopped"}

func (p phase) String() string { return phaseNames[p] }

// New returns a machine that waits for its Start event.
func New(opt Options) *Machine {
	if opt.LagTries == 0 {
		opt.LagTries = 8
	}
	if opt.PropagationTries == 0 {
		opt.PropagationTries = 40
	}
	return &Machine{opt: opt, batch: 1}
}

// NextBatch returns the number that the next offered batch gets: one more than
// the last one's, where those read from disk have been numbered too.
func (m *Machine) NextBatch() uint64 { return m.batch }

// Position returns the source position reached by the last batch that was bound or
// offered: what the next batch has to come after. The caller must not change it.
func (m *Machine) Position() []byte { return m.after }

// Partition returns the partition with the present window.
func (m *Machine) Partition() ledger.Partition { return m.part }

// Dead returns how many dead letters the partition has, those of open batches included.
func (m *Machine) Dead() int64 {
	n := m.part.Dead
	for i := range m.window.items.len() {
		n += int64(len(m.window.items.at(i).Dead))
	}
	for i := range m.offered.len() {
		n += int64(len(m.offered.at(i).Dead))
	}
	if m.rotation != nil {
		n += int64(len(m.rotation.seal.Rejected))
	}
	return n
}

// Connection returns the number of the present connection, also one that is being
// opened, or 0.
func (m *Machine) Connection() uint64 { return m.connID }

// InFlight returns how many requests await an answer.
func (m *Machine) InFlight() int { return m.flight.len() }

// Awaited returns the number of the batch whose append is the next to be answered, or 0: the probe is, or nothing.
func (m *Machine) Awaited() uint64 {
	if m.flight.len() == 0 || *m.flight.at(0) == probeOrdinal {
		return 0
	}
	return m.window.at(*m.flight.at(0)).batch
}

// Verdict returns what the answer that the last event brought was judged to mean; 0: it brought none, or none of the
// present connection.
func (m *Machine) Verdict() Verdict { return m.verdict }

// Open tells of the open intents, oldest first: number, whether it is in flight, and whether it is known to have landed.
func (m *Machine) Open(tell func(number uint64, flying, landed bool)) {
	for i := range m.window.items.len() {
		it := m.window.items.at(i)
		tell(it.Number, it.flying, it.landed)
	}
}

// Empty says that nothing is open: no intent, no batch waiting for one.
func (m *Machine) Empty() bool { return m.window.items.len() == 0 && m.offered.len() == 0 }

// Stopped says that a stop was decided; its Stop action may still wait for the ledger.
func (m *Machine) Stopped() bool { return m.phase == phaseStopped }

// String describes the state for traces and tests.
func (m *Machine) String() string {
	return fmt.Sprintf("%s epoch %d acked %d next %d open %d in flight %d",
		m.phase, m.part.Epoch, m.part.Acked, m.part.Next, m.window.items.len(), m.flight.len())
}

// Step tells the machine what happened and returns what is to be done about it,
// in order. The slice is valid until the next call.
func (m *Machine) Step(e Event) []Action {
	clear(m.out)
	m.out, m.verdict = m.out[:0], 0
	switch e.Kind {
	case Opened, Bound, Acknowledged, Sealed, Settled, Halted, Forgotten, Failed:
		// Counts also after a stop: what became durable is told to the callers.
		m.writes--
		m.written(e)
	case Created, Finalized, CallFailed, Unreadable, Examined:
		m.calling = false
		if m.phase != phaseStopped {
			m.called(e)
		}
	case Connected, Answered, Broken:
		// An older connection's, so perhaps an older epoch's: it says nothing about this one.
		if e.Conn == m.connID && m.phase != phaseStopped {
			m.connection(e)
		}
	default:
		if m.phase != phaseStopped {
			m.asked(e)
		}
	}
	m.proceed()
	return m.out
}

// asked handles what the owner wants.
func (m *Machine) asked(e Event) {
	switch e.Kind {
	case Start:
		m.start(e)
	case Offered:
		m.offered.push(item{Intent: e.Intent, batch: m.batch})
		m.after = reached(m.after, e.Intent)
		m.batch++
		if m.phase == phaseLive {
			m.bind()
		}
	case Timer:
		// One that was asked for before a rotation may come late: what is in flight by
		// then must not be sent a second time.
		if m.waiting {
			m.holding, m.waiting = 0, false
			m.window.cursor = m.window.landed
		}
	case Renewed:
		// From the next probe on. Intents keep the schema that they were encoded with.
		m.opt.Schema, m.opt.Descriptor, m.renewed = e.Schema, e.Descriptor, true
		m.tries[Propagation] = 0 // each schema has its own time to arrive
	case Idle:
		if m.phase == phaseLive && m.flight.len() == 0 {
			m.disconnect()
		}
	case Yield:
		m.yielding = m.conn != connDown
	case Age:
		m.aged = true
		if m.phase == phaseLive {
			m.rotate(ledger.Aging, "near the end of its time to live")
		}
	case Retire:
		m.retiring = true
	}
}

// start takes up the partition where the ledger has it.
func (m *Machine) start(e Event) {
	if e.Partition == nil {
		m.part = ledger.Partition{Key: m.opt.Key, Mode: m.opt.Mode}
		m.phase = phaseCreating
		return
	}
	m.part = *e.Partition
	m.suspicious, m.ownSeal, m.aged = e.Suspicious, e.OwnSeal, e.Aged
	m.after = m.part.Position
	items := make([]item, len(e.Intents))
	for i, in := range e.Intents {
		// The parts of a split batch are one batch.
		if i > 0 && in.From == 0 {
			m.batch++
		}
		// Read from disk: it may have been sent (invariant 6).
		items[i] = item{Intent: in, batch: m.batch, maySent: true, old: true}
		m.after = reached(m.after, in)
		m.intents = in.Number + 1
	}
	if len(items) > 0 {
		m.batch++
	}
	m.window.refill(items)
	switch {
	case m.part.Halt != nil:
		m.halted(m.part.Halt)
	case m.part.Seal != nil:
		// Sealed, so the owner's probe had fitted: go on from R3.
		m.rotation = &rotation{seal: *m.part.Seal}
		m.phase = phaseFinalizing
	default:
		m.phase = phaseProbing
	}
}

// proceed does what has become possible: it runs after every event.
func (m *Machine) proceed() {
	if m.phase == phaseStopped {
		if m.cause != nil && m.writes == 0 {
			m.do(Action{Kind: Stop, Cause: m.cause})
			m.cause = nil
		}
		return
	}
	if m.holding != 0 && !m.waiting && m.flight.len() == 0 {
		m.waiting = true
		m.tries[m.holding]++
		if m.holding == Propagation || m.holding == Backoff && m.tries[Backoff] > 1 {
			// An open connection goes by the schema that it began with (case 71). And it may answer
			// nothing but ABORTED after a failed request, until one succeeds (case 24), which a probe never does.
			m.disconnect()
		}
		m.do(Action{Kind: Wait, Wait: m.holding, Attempt: m.tries[m.holding]})
	}
	if m.phase == phaseLive || m.phase == phaseDraining {
		m.acknowledge()
	}
	if m.retiring && m.phase == phaseLive && m.Empty() {
		m.rotate(ledger.Finished, "finished")
	}
	if m.phase == phaseDraining && m.flight.len() == 0 && m.writes == 0 {
		m.drained()
	}
	if m.yielding && m.conn == connUp && m.flight.len() == 0 && (m.served || !m.Due()) {
		m.disconnect()
	}
}

// stop ends the machine with the first cause that is found. Callers are told when
// the ledger has answered every write, the mark of the stop too, so that they learn
// the most that is certain.
func (m *Machine) stop(v Verdict, offset int64, detail string, a *retry.Answer) {
	if m.phase == phaseStopped {
		return
	}
	m.disconnect()
	m.phase = phaseStopped
	m.cause = &Cause{Verdict: v, Epoch: m.part.Epoch, Stream: m.part.Stream, Offset: offset, Detail: detail, Schema: m.schema}
	if a != nil {
		m.cause.Err, m.cause.Class = a.Err, a.Class
	}
	m.mark()
}
