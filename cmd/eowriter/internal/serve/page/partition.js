// The page of one partition.

import { facts } from './overview.js';
import { age, bytes, clock, decimal, make, name, number, plural, put, stream } from './text.js';
import { stateOf } from './state.js';

const places = {
  BATCH_STATE_STORED: 'to be sent', BATCH_STATE_SENT: 'in flight', BATCH_STATE_LANDED: 'landed',
};

const right = 'number';
const open = [
  ['Batch', right, (b) => number(b.number)],
  ['Where', '', (b) => places[b.state] ?? b.state],
  ['Offsets', right, (b) => `[${number(b.start)}, ${number(b.end)})`],
  ['Rows', right, (b) => number(BigInt(b.end ?? 0) - BigInt(b.start ?? 0))],
  ['Bytes', right, (b) => bytes(b.bytes)],
  ['Age', right, (b, now) => age(b.since, now)],
  ['Appends', right, (b) => number(b.appends)],
  ['Dead rows', right, (b) => number(b.deadRows)],
  ['From position', 'id', (b) => b.before || '–'],
  ['To position', 'id', (b) => b.after || '–'],
  ['Note', 'error', (b) => (b.skip ? `to be skipped: ${b.skip}` : '')],
];

const past = [
  ['Epoch', right, (p) => number(p.epoch)],
  ['Stream', 'id', (p) => stream(p.stream)],
  ['Rows', right, (p) => (p.rows === '-1' ? 'unknown' : number(p.rows))],
  ['Replaced because', 'why', (p) => p.meaning],
  ['When', '', (p) => (p.at ? clock(p.at) : '')],
];

// Grid is a table with columns: title, class and what to write.
class Grid {
  constructor(title, columns) {
    this.columns = columns;
    this.title = make('h3');
    this.title.id = `grid-${title}`;
    this.body = document.createElement('tbody');
    const heads = columns.map(([word, className]) => {
      const head = make('th', className, word);
      head.scope = 'col';
      return head;
    });
    const table = make('table', '', make('thead', '', make('tr', '', ...heads)), this.body);
    table.setAttribute('aria-labelledby', this.title.id);
    this.scroll = make('div', 'scroll', table);
    this.scroll.tabIndex = 0;
    this.scroll.setAttribute('role', 'region');
    this.scroll.setAttribute('aria-labelledby', this.title.id);
    this.element = make('section', '', this.title, this.scroll);
  }

  draw(title, items, now) {
    put(this.title, title);
    this.scroll.hidden = !items.length;
    items.forEach((item, n) => {
      const row = this.body.children[n] ?? this.body.appendChild(make('tr', '', ...this.columns.map(([, className]) => make('td', className))));
      this.columns.forEach(([, , write], at) => put(row.children[at], write(item, now)));
    });
    while (this.body.children.length > items.length) this.body.lastChild.remove();
  }
}

// Page shows a partition in an element.
export class Page {
  constructor(element) {
    this.element = element;
    const back = make('a', 'back', '‹ All partitions');
    back.href = '#/';
    this.back = back;
    this.name = make('h2', '', name(''));
    this.name.id = 'name';
    this.name.tabIndex = -1;
    this.state = make('span', 'state');
    this.table = make('p', 'of');
    this.trouble = make('div', 'trouble');
    this.list = make('dl', 'facts');
    this.open = new Grid('open', open);
    this.past = new Grid('past', past);
    element.append(back, make('div', 'title', this.name, this.state), this.table, this.trouble, this.list, this.open.element, this.past.element);
  }

  // expect shows which partition is asked for, before there is an answer.
  expect(view, back) {
    this.view = view;
    this.back.href = back;
    put(this.name.firstChild, view.partition);
    put(this.table, `of ${view.table}`);
    this.answered(false);
    this.trouble.replaceChildren();
    put(this.state, '');
    this.state.className = 'state';
  }

  // missing says that there is no such partition.
  missing() {
    this.expect(this.view, this.back.href);
    put(this.state, 'unknown');
    this.trouble.replaceChildren(make('p', '', 'The sidecar knows no partition of this name and table.'));
  }

  answered(yes) {
    for (const part of [this.list, this.open.element, this.past.element]) part.hidden = !yes;
  }

  draw(answer, now) {
    const p = answer.status.partition;
    const [word, meaning, className] = stateOf(answer.status);
    this.answered(true);
    put(this.state, word);
    this.state.className = `state ${className}`;
    this.state.title = meaning;
    this.drawTrouble(answer, p, now);
    facts(this.list, [
      ['Position', p.position || 'the beginning'],
      ['Landed up to', p.landedPosition === p.position ? undefined : p.landedPosition || 'the beginning'],
      ['Landed', `${plural(p.rows ?? 0, 'row', 'rows')}, lately ${decimal(answer.status.rowsPerSecond)}/s`],
      ['Waiting', `${number(p.queuedAppends)} queued and ${number(p.openAppends)} stored appends, ${bytes(p.openBytes)}`],
      ['Oldest', p.oldest ? `waits for ${age(p.oldest, now)}` : 'nothing waits'],
      ['In flight', plural(p.inFlight ?? 0, 'request', 'requests')],
      ['Dead letters', `${number(p.deadRows)}, ${number(p.lettersWaiting)} of them undelivered`],
      ['Epoch', number(p.epoch)],
      ['Stream', p.stream || 'none yet'],
      ['Acked, next', `offsets ${number(p.acked)}, ${number(p.next)}`],
      ['Written to', p.updated ? `${clock(p.updated)}, ${age(p.updated, now)} ago` : 'never'],
      ['Since', clock(answer.created)],
    ]);
    const batches = answer.open ?? [];
    const streams = answer.streams ?? [];
    this.open.draw(titled(batches.length, answer.allOpen, 'open batch', 'open batches', 'oldest'), batches, now);
    this.past.draw(titled(streams.length, answer.allStreams, 'stream before this one', 'streams before this one', 'newest'), streams, now);
  }

  drawTrouble(answer, p, now) {
    const boxes = [];
    if (answer.halt) {
      const h = answer.halt;
      boxes.push([`Halted, ${h.cause}: ${h.meaning}`, h.detail ?? '', `Seen at offset ${number(h.offset)}, ${clock(h.at)}.`,
        `What to do: ${h.advice}:`, h.command]);
    } else if (p.error) {
      boxes.push(['Last error', p.error, p.retryAt ? `It is tried again at ${clock(p.retryAt)}.` : '', '', '']);
    }
    if (answer.seal) {
      const s = answer.seal;
      boxes.push([`Its stream is being replaced: ${s.meaning}`, s.detail ?? '', `It was sealed ${age(s.at, now)} ago, for ${stream(s.successor) || "none"}.`, '', '']);
    }
    boxes.forEach((texts, n) => {
      const box = this.trouble.children[n] ?? this.trouble.appendChild(
        make('section', '', make('h3'), make('p'), make('p', 'more'), make('p'), make('code')));
      texts.forEach((text, at) => put(box.children[at], text));
    });
    while (this.trouble.children.length > boxes.length) this.trouble.lastChild.remove();
  }
}

// titled is the title of a list of which only some may be shown.
function titled(shown, all, one, several, which) {
  const n = Number(all ?? 0);
  if (!n) return `No ${one}`;
  return plural(n, one, several) + (n > shown ? `, the ${which} ${number(shown)} of them` : '');
}
