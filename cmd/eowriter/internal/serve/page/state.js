// What partitions' states are called, and where the page is: both are in the address behind the #, so that it can be linked to.

// words of states, and what each says.
export const states = {
  STATE_NEW: ['new', 'nothing was ever appended'],
  STATE_IDLE: ['idle', 'not used since the sidecar was started, and nothing is left to do'],
  STATE_OPENING: ['opening', 'its stream is made, or asked for its end'],
  STATE_OPEN: ['open', 'rows can be written'],
  STATE_WAITING: ['waiting', 'it does not work now, and is tried again'],
  STATE_HALTED: ['halted', 'it has stopped until a person resolves that'],
  STATE_FILE: ['file', 'the sidecar reads it from a file'],
};

// stateOf returns word, meaning and class of a partition's state.
export function stateOf(status) {
  if (status.attention === 'ATTENTION_IN_DOUBT') {
    return ['in doubt', 'its stream is gone, and only a person can find out which open batches have landed', 'doubt'];
  }
  const [word, meaning] = states[status.partition.state] ?? [status.partition.state ?? 'unknown', ''];
  return [word, meaning, word];
}

// where reads the address: of one partition, or of the list and what it shows.
export function where() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  const parts = path.split('/');
  if (parts[0] === 'partition' && parts.length === 3) {
    try {
      return { table: decodeURIComponent(parts[1]), partition: decodeURIComponent(parts[2]) };
    } catch {
      return start; // it was cut somewhere
    }
  }
  const q = new URLSearchParams(query);
  return {
    text: q.get('text') ?? '', show: q.get('show') ?? '',
    order: q.get('order') ?? start.order, ascending: q.has('ascending'),
    page: Math.max(0, Math.trunc(Number(q.get('page'))) || 0),
  };
}

// start is the list as it is at first.
export const start = { text: '', show: '', order: 'ORDER_UNSPECIFIED', ascending: false, page: 0 };

// listAt is the address of the list.
export function listAt(view) {
  const q = new URLSearchParams();
  if (view.text) q.set('text', view.text);
  if (view.show) q.set('show', view.show);
  if (view.order !== start.order) q.set('order', view.order);
  if (view.ascending) q.set('ascending', '');
  if (view.page) q.set('page', view.page);
  return `#/${q.size ? `?${q}` : ''}`;
}

// partitionAt is the address of a partition.
export const partitionAt = (table, partition) => `#/partition/${encodeURIComponent(table)}/${encodeURIComponent(partition)}`;
