// What concerns the sidecar as a whole: what needs a person, its ledger, its room, how fast it is.

import { Chart } from './chart.js';
import { age, bytes, clock, decimal, duration, make, number, plural, put, seconds } from './text.js';

const $ = (id) => document.getElementById(id);

// facts sets the entries of a description list: pairs of word and text, or of word and elements that stay.
export function facts(list, pairs) {
  list.rows ??= new Map();
  for (const [word, value, className] of pairs) {
    let row = list.rows.get(word);
    if (!row) {
      row = make('div', '', make('dt', '', word), make('dd'));
      list.rows.set(word, row);
      list.append(row);
    }
    row.hidden = value === undefined;
    row.className = className ?? '';
    if (typeof value === 'string') put(row.lastChild, value);
    else if (value && row.lastChild.firstChild !== value) row.lastChild.replaceChildren(value);
  }
}

// Part shows how much of something is taken.
class Part {
  constructor(label) {
    this.text = make('span');
    this.bar = document.createElement('meter');
    this.bar.setAttribute('aria-label', label);
    Object.assign(this.bar, { min: 0, max: 1, low: 0.7, high: 0.9, optimum: 0 });
    this.element = make('span', 'part', this.text, this.bar);
  }

  set(text, taken, of) {
    put(this.text, text);
    this.bar.value = Number(of) ? Number(taken ?? 0) / Number(of) : 0;
    return this.element;
  }
}

const attentions = {
  ATTENTION_IN_DOUBT: 'in doubt', ATTENTION_HALTED: 'halted', ATTENTION_WAITING: 'waiting',
};

// verdict says in a line whether somebody has to do something.
export function verdict(status) {
  if (status.ledger.error) return ['bad', 'The ledger has failed: the sidecar ends'];
  const counts = status.totals.attention ?? [];
  if (!counts.length) return ['good', 'Nothing needs a person'];
  const all = counts.reduce((sum, c) => sum + c.partitions, 0);
  const parts = counts.map((c) => `${number(c.partitions)} ${attentions[c.attention] ?? c.attention}`).join(', ');
  const grave = counts.some((c) => c.attention !== 'ATTENTION_WAITING');
  return [grave ? 'bad' : 'wait', `${plural(all, 'partition needs', 'partitions need')} a person: ${parts}`];
}

// Overview is the part of the page above the list.
export class Overview {
  constructor() {
    this.rate = new Chart($('rate-chart'), ['rows'], true);
    this.took = new Chart($('took-chart'), ['p99', 'p50'], false);
    this.memory = new Part('Memory taken');
    this.appends = new Part('Appends taken');
    this.partitions = new Part('Partitions known');
  }

  draw(status) {
    this.drawPace(status.pace);
    this.drawLedger(status.ledger, status.now);
    this.drawRoom(status.room, status.totals, status.now);
  }

  drawPace(pace) {
    put($('rate'), decimal(pace.rowsPerSecond));
    put($('rate-more'), `${bytes(pace.bytesPerSecond)}/s · ${decimal(pace.appendsPerSecond)} appends/s`);
    const rows = pace.steps.map((s) => s.rowsPerSecond ?? 0);
    const top = this.rate.draw(rows);
    put($('rate-top'), decimal(top));
    put($('rate-text'), `Rows by the second over the last ten minutes: now ${decimal(pace.rowsPerSecond)}, at most ${decimal(Math.max(...rows))}.`);

    const [p50, p99] = [seconds(pace.landedP50), seconds(pace.landedP99)];
    put($('took'), duration(p50));
    put($('took-more'), `99 of 100 in ${duration(p99)}`);
    const worst = pace.steps.map((s) => seconds(s.landedP99));
    put($('took-top'), duration(this.took.draw(worst, pace.steps.map((s) => seconds(s.landedP50)))));
    put($('took-text'), Number.isNaN(p50) ? 'Nothing has landed in the last ten minutes.'
      : `From acceptance until landed, over the last ten minutes: half of the appends in ${duration(p50)}, 99 of 100 in ${duration(p99)}.`);
  }

  drawLedger(l, now) {
    const [p50, p99] = [seconds(l.commitP50), seconds(l.commitP99)].map(duration);
    const state = l.error ? `failed: ${l.error}` : l.moved ? 'works; it was moved: streams are taken over' : 'works';
    facts($('ledger'), [
      ['State', state, l.error ? 'bad' : ''],
      ['Commits', l.lastCommit ? `${p50}, 99 of 100 in ${p99}` : 'none yet'],
      ['Last one', l.lastCommit ? `${age(l.lastCommit, now)} ago, lately ${decimal(l.commitsPerSecond)}/s` : undefined],
      ['File', `${bytes(l.fileBytes)}, ${bytes(l.freeBytes)} of it free`],
      ['Segments', `${bytes(l.segmentBytes)}, ${bytes(l.freeSegmentBytes)} of it free`],
      ['Path', l.path],
      ['Id', l.id],
      ['Opened', l.incarnation === '1' ? 'for the first time' : `${number(l.incarnation)} times`],
    ]);
  }

  drawRoom(room, totals, now) {
    facts($('room'), [
      ['Memory', this.memory.set(`${bytes(room.bytes)} of ${bytes(room.maxBytes)}`, room.bytes, room.maxBytes)],
      ['Appends', this.appends.set(`${number(room.appends)} of ${number(room.maxAppends)}`, room.appends, room.maxAppends)],
      ['Partitions', this.partitions.set(`${number(room.partitions)} of ${number(room.maxPartitions)}`, room.partitions, room.maxPartitions)],
      ['In flight', plural(totals.inFlight ?? 0, 'request', 'requests')],
      ['Oldest', totals.oldest ? `waits for ${age(totals.oldest, now)}` : 'nothing waits'],
      ['Landed', plural(totals.rows ?? 0, 'row', 'rows')],
      ['Dead letters', `${number(totals.deadRows)}, ${number(totals.lettersWaiting)} of them undelivered`],
    ]);
  }
}

// program says what runs, and for how long.
export function program(status) {
  const b = status.build ?? {};
  const commit = b.commit ? ` · ${b.commit.slice(0, 12)}${b.modified ? ' and changes' : ''}` : '';
  return `eowriter ${b.version || 'of an unknown version'}${commit} · ${b.go ?? ''} · up ${age(status.started, status.now)}, since ${clock(status.started)}`;
}
