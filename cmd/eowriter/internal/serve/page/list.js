// The list of partitions. The sidecar sorts, filters and cuts to pages, so that it doesn't matter how many there are.

import { age, decimal, make, name, number, plural, put, set, stream } from './text.js';
import { listAt, partitionAt, stateOf, states } from './state.js';

export const pageSize = 100;

const $ = (id) => document.getElementById(id);

// columns: title, what it is sorted by, class, and what to do for a cell; up says that its first order is ascending.
// The first is sorted by what needs a person, which is how the list is at first.
const columns = [
  ['State', 'ORDER_UNSPECIFIED', 'state', (cell, s) => {
    const [word, meaning, className] = stateOf(s);
    put(cell, word);
    set(cell, 'title', meaning);
    set(cell, 'class', `state ${className}`);
  }],
  ['Partition', 'ORDER_PARTITION', 'name', (cell, s) => {
    const link = cell.firstChild ?? cell.appendChild(document.createElement('a')).appendChild(name('')).parentNode;
    put(link.firstChild, s.partition.partition);
    set(link, 'href', partitionAt(s.partition.table, s.partition.partition));
  }, true],
  ['Table', 'ORDER_TABLE', 'table', (cell, s) => put(cell, s.partition.table), true],
  ['Rows/s', 'ORDER_RATE', 'number', (cell, s) => put(cell, s.rowsPerSecond ? decimal(s.rowsPerSecond) : '–')],
  ['Waiting', 'ORDER_OPEN', 'number', (cell, s) => put(cell, number((s.partition.openAppends ?? 0) + (s.partition.queuedAppends ?? 0)))],
  ['Oldest', 'ORDER_AGE', 'number', (cell, s, now) => put(cell, age(s.partition.oldest, now))],
  ['In flight', 'ORDER_IN_FLIGHT', 'number less', (cell, s) => put(cell, number(s.partition.inFlight))],
  ['Acked', 'ORDER_ACKED', 'number less', (cell, s) => put(cell, number(s.partition.acked))],
  ['Next', 'ORDER_NEXT', 'number less', (cell, s) => put(cell, number(s.partition.next))],
  ['Epoch', 'ORDER_EPOCH', 'number less', (cell, s) => put(cell, number(s.partition.epoch))],
  ['Stream', 'ORDER_STREAM', 'id less', (cell, s) => {
    put(cell, stream(s.partition.stream) || '–');
    set(cell, 'title', s.partition.stream ?? '');
  }, true],
  ['Position', 'ORDER_POSITION', 'id less', (cell, s) => {
    put(cell, s.partition.position || '–');
    set(cell, 'title', s.partition.position ?? '');
  }, true],
  ['Last error', 'ORDER_ERROR', 'error', (cell, s) => {
    put(cell.firstChild ?? cell.appendChild(make('div')), s.partition.error ?? '');
    set(cell, 'title', s.partition.error ?? '');
  }],
];

// attentions are the classes of rows.
const attentions = { ATTENTION_WAITING: 'wait', ATTENTION_HALTED: 'bad', ATTENTION_IN_DOUBT: 'bad' };

// requestOf is what to ask for.
export function requestOf(view) {
  const request = { text: view.text, order: view.order, descending: !view.ascending, offset: view.page * pageSize, limit: pageSize };
  // What needs a person is first by itself.
  if (view.order === 'ORDER_UNSPECIFIED') request.descending = view.ascending;
  if (view.show === 'attention') request.attention = true;
  else if (view.show) request.states = [view.show];
  return request;
}

// List is the part of the page with the list. go is called with the view that somebody wants.
export class List {
  constructor(go) {
    this.go = go;
    this.rows = new Map();
    this.heads = columns.map(([title, order, className, , up]) => this.head(title, order, className, up));
    $('columns').append(...this.heads);
    $('text').addEventListener('input', (e) => this.change({ text: e.target.value, page: 0 }));
    $('before').addEventListener('click', () => this.change({ page: this.view.page - 1 }));
    $('after').addEventListener('click', () => this.change({ page: this.view.page + 1 }));
    document.addEventListener('keydown', (e) => {
      if (e.key === '/' && !$('list').hidden && !e.target.closest('input, dialog')) {
        e.preventDefault();
        $('text').select();
      }
    });
  }

  head(title, order, className, up) {
    const button = make('button', '', title);
    button.type = 'button';
    button.addEventListener('click', () => {
      const turned = this.view.order === order;
      this.change({ order, ascending: turned ? !this.view.ascending : Boolean(up), page: 0 });
    });
    const head = make('th', className, button);
    head.scope = 'col';
    head.order = order;
    return head;
  }

  change(part) {
    this.go(listAt({ ...this.view, ...part }));
  }

  // show sets the controls to what is wanted.
  show(view) {
    this.view = view;
    if ($('text').value !== view.text) $('text').value = view.text;
    for (const head of this.heads) {
      if (head.order !== view.order) head.removeAttribute('aria-sort');
      else head.setAttribute('aria-sort', view.ascending ? 'ascending' : 'descending');
    }
  }

  // draw shows an answer.
  draw(answer, totals, now) {
    const found = answer.found ?? 0;
    const partitions = answer.partitions ?? [];
    // Somebody else's link, or there are fewer of them now.
    if (!partitions.length && found) this.change({ page: Math.ceil(found / pageSize) - 1 });
    this.drawStates(totals, answer.all ?? 0);
    this.drawRows(partitions, now);
    const first = this.view.page * pageSize + 1;
    put($('range'), found > partitions.length ? `${number(first)}–${number(first + partitions.length - 1)} of ${number(found)}` : '');
    $('pages').hidden = found <= pageSize;
    $('before').disabled = this.view.page === 0;
    $('after').disabled = first + partitions.length > found;
    $('none').hidden = found > 0;
    put($('none'), answer.all ? 'No partition fits.' : 'No partition yet: the first append to one makes it.');
    return plural(found, 'partition', 'partitions');
  }

  drawRows(partitions, now) {
    const body = $('rows');
    const focused = document.activeElement;
    const kept = new Map();
    partitions.forEach((s, n) => {
      const key = JSON.stringify([s.partition.table, s.partition.partition]);
      const row = this.rows.get(key) ?? this.row();
      kept.set(key, row);
      this.rows.delete(key);
      columns.forEach((column, at) => column[3](row.children[at], s, now));
      set(row, 'class', `${attentions[s.attention] ?? ''}${s.partition.oldest ? ' behind' : ''}`);
      if (body.children[n] !== row) body.insertBefore(row, body.children[n] ?? null);
    });
    for (const row of this.rows.values()) row.remove();
    this.rows = kept;
    // A row that was moved has lost it.
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  }

  row() {
    const row = document.createElement('tr');
    row.append(...columns.map(([title, , className]) => {
      const cell = make(title === 'Partition' ? 'th' : 'td', className);
      if (title === 'Partition') cell.scope = 'row';
      else cell.dataset.label = title; // for narrow windows
      return cell;
    }));
    return row;
  }

  // drawStates shows how many are in each state, as buttons that leave out the others.
  drawStates(totals, all) {
    const attention = (totals.attention ?? []).reduce((sum, a) => sum + a.partitions, 0);
    const wanted = [['', 'All', all], ['attention', 'Need a person', attention],
      ...(totals.states ?? []).map((s) => [s.state, states[s.state]?.[0] ?? s.state, s.partitions])];
    if (!wanted.some(([show]) => show === this.view.show)) wanted.push([this.view.show, states[this.view.show]?.[0] ?? this.view.show, 0]);
    const group = $('states');
    wanted.forEach(([show, word, n], at) => {
      const button = group.children[at] ?? group.appendChild(this.stateButton());
      button.show = show;
      put(button.firstChild, word);
      put(button.lastChild, number(n));
      set(button, 'aria-pressed', String(show === this.view.show));
      button.classList.toggle('attention', show === 'attention' && n > 0);
    });
    while (group.children.length > wanted.length) group.lastChild.remove();
  }

  stateButton() {
    const button = make('button', '', make('span'), ' ', make('b'));
    button.type = 'button';
    button.addEventListener('click', () => this.change({ show: button.show, page: 0 }));
    return button;
  }
}
