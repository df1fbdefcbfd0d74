package recovery

// normalize forgets what can't matter any more.
func (s *state) normalize() {
	if s.left.restores == 0 && s.left.reverts == 0 && s.left.copies == 0 {
		s.backup = nil
	}
	if s.backup != nil {
		s.backup.normalize()
		s.backup.renumber(s.backup.oldest())
	}
	if s.left.lags == 0 {
		for i := range s.streams {
			s.streams[i].before = s.streams[i].end // nobody will see it
		}
	}
	for i := range s.nodes {
		if s.nodes[i].exists {
			s.nodes[i].normalize()
		}
	}
}

// normalize lets all counters of the node start from what is open.
func (n *node) normalize() {
	epochs := n.book.normalize()
	if n.m == nil {
		n.book.renumber(n.book.oldest())
		return
	}
	_, numbers := n.m.normalize()
	n.m.part.Epoch -= min(epochs, n.m.part.Epoch)
	n.book.renumber(numbers)
	for i := range n.writes {
		w := &n.writes[i]
		w.epoch -= min(epochs, w.epoch)
		w.number -= min(numbers, w.number)
		w.intent.Number -= min(numbers, w.intent.Number)
		for j := range w.settlement.Rest {
			w.settlement.Rest[j].Number -= numbers
		}
	}
	if n.call != nil {
		n.call.Epoch -= min(epochs, n.call.Epoch)
		n.call.Intent.Number = 0
	}
}

// normalize lets epochs count from the present one. It returns what was taken off.
func (b *book) normalize() (epochs uint64) {
	if b.part.Epoch > 1 {
		epochs = b.part.Epoch - 1
		b.part.Epoch = 1
	}
	return epochs
}

// oldest is the number of the oldest open intent.
func (b *book) oldest() uint64 {
	if len(b.open) == 0 {
		return 0
	}
	return b.open[0].Number
}

func (b *book) renumber(off uint64) {
	for i := range b.open {
		b.open[i].Number -= off
	}
}

// normalize makes a machine one of those that go on in the same way, always the same
// one: counters start from the oldest batch that is open, and what only tells of the
// past is forgotten. It returns what was taken off the numbers of batches and of
// intents. TestModelNormal plays normalized machines beside others.
func (m *Machine) normalize() (batches, numbers uint64) {
	w := &m.window
	batches, numbers = m.batch-1, m.intents
	if m.offered.len() > 0 {
		batches = m.offered.at(0).batch - 1
	}
	if w.items.len() > 0 {
		batches, numbers = w.at(w.first).batch-1, w.at(w.first).Number
	}
	m.batch -= batches
	m.intents -= numbers
	for n := w.first; n < w.end(); n++ {
		normalizeItem(w.at(n), batches, numbers)
	}
	for i := range m.offered.len() {
		normalizeItem(m.offered.at(i), batches, 0) // it has no number yet
	}
	if r := m.rotation; r != nil {
		if m.phase == phaseSettling {
			r.left, r.next = nil, 0 // it has become rest
		}
		for _, left := range r.left {
			for i := range left.items {
				normalizeItem(&left.items[i], batches, 0) // settle numbers it
				left.items[i].Number = 0
			}
		}
		for i := range r.rest {
			normalizeItem(&r.rest[i], batches, numbers)
		}
	}

	first := w.first // ordinals count from it
	w.cursor = max(w.cursor, w.landed) - first
	w.landed -= first
	w.bound -= first
	w.first = 0
	if m.acking != 0 {
		m.acking -= first
	}
	for i := range m.flight.len() {
		if n := m.flight.at(i); *n != probeOrdinal {
			*n -= first
		}
	}

	if m.conn == connDown {
		m.conns, m.connID = 0, 0
	} else {
		m.conns, m.connID = 1, 1
	}
	m.ownSeal = m.ownSeal && m.suspicious       // or it is not asked, and never will be
	m.tries[Backoff] = min(m.tries[Backoff], 1) // more only tells the owner how long to wait
	m.served = false                            // only matters for the idle close and to who yields, which the model hasn't
	return batches, numbers
}

func normalizeItem(it *item, batches, numbers uint64) {
	it.batch -= batches
	it.Number -= numbers
	// Whether it was sent in this incarnation, or had landed before, is told to people; old
	// is asked together with another encoder or schema, which the model hasn't.
	it.sent, it.duplicate, it.old = false, false, false
}
