// The page asks the sidecar every second, and shows what it answers. Each question stands for itself: when one goes
// unanswered, the next one is enough to be up to date again.

import { Refused, call, hasToken, setToken } from './api.js';
import { List, requestOf } from './list.js';
import { Overview, program, verdict } from './overview.js';
import { Page } from './partition.js';
import { clock, put, visible } from './text.js';
import { listAt, start, where } from './state.js';

const $ = (id) => document.getElementById(id);
const interval = 1000;
const hiddenInterval = 10_000;
const quiet = 5000; // between verdicts that are said to screen readers

let view = where();
let back = listAt(start); // the list that the partition was opened from
let asking = 0; // counts the questions: an answer to an older one is not shown
let timer = 0;
let announced = true; // how many were found, since somebody has changed what is looked for
let lastAnswer = 0; // when there was one; 0: never
let lost = null; // since when there is none, and why
let told = { text: '', at: 0 }; // the verdict that a screen reader was given

const list = new List(go);
const overview = new Overview();
const page = new Page($('partition'));

// go shows another list, which is not worth a step back.
function go(hash) {
  history.replaceState(null, '', hash);
  arrive();
}

// arrive shows what the address says.
function arrive() {
  const before = view;
  view = where();
  const one = view.partition !== undefined;
  $('list').hidden = $('overview').hidden = one;
  $('partition').hidden = !one;
  if (one) {
    page.expect(view, back);
  } else {
    back = listAt(view);
    list.show(view);
    announced = JSON.stringify(view) === JSON.stringify(before);
  }
  if (one !== (before.partition !== undefined)) {
    window.scrollTo(0, 0);
    (one ? page.name : $('main')).focus({ preventScroll: true });
  }
  ask();
}

// ask asks now, and from then on regularly.
async function ask() {
  clearTimeout(timer);
  const mine = ++asking;
  try {
    const [status, answer] = await Promise.all([
      call('GetStatus', {}),
      view.partition === undefined ? call('FindPartitions', requestOf(view)) : call('DescribePartition', view).catch(unknown),
    ]);
    if (mine !== asking) return;
    found();
    draw(status, answer);
  } catch (error) {
    if (mine !== asking) return;
    if (error.status === 401) return askForToken();
    missed(error);
  }
  timer = setTimeout(ask, document.hidden ? hiddenInterval : interval);
}

// unknown is an answer, too.
function unknown(error) {
  if (error instanceof Refused && error.status === 404) return null;
  throw error;
}

function draw(status, answer) {
  const began = performance.now();
  const [kind, text] = verdict(status);
  put($('verdict'), text);
  $('verdict').className = kind;
  put($('build'), program(status));
  let name = 'eowriter';
  if (view.partition !== undefined) {
    name = `${visible(view.partition)} · ${name}`;
    if (answer) page.draw(answer, status.now);
    else page.missing();
  } else {
    overview.draw(status);
    const count = list.draw(answer, status.totals, status.now);
    if (!announced) say(`${count} found`);
    announced = true;
  }
  document.title = kind === 'good' ? name : `${text.replace(/:.*/, '')} · ${name}`;
  tell(text);
  measure('draw', began);
  requestAnimationFrame(() => setTimeout(() => measure('paint', began)));
}

// measure tells observers how long something took.
function measure(what, start) {
  performance.measure(what, { start });
  performance.clearMeasures(what);
}

// say has a screen reader say something.
const say = (text) => put($('live'), text);

// tell says the verdict when it is another one, but not too often.
function tell(text) {
  if (text === told.text || Date.now() - told.at < quiet) return;
  told = { text, at: Date.now() };
  say(text);
}

// found notes that the sidecar has answered.
function found() {
  lastAnswer = Date.now();
  if (lost) say('The sidecar answers again');
  lost = null;
  tellLost();
}

// missed notes that it has not.
function missed(error) {
  lost ??= { since: lastAnswer || Date.now() };
  lost.why = error instanceof Refused ? `it answers: ${error.message}` : 'no answer';
  tellLost();
}

function tellLost() {
  document.body.classList.toggle('lost', lost !== null && lastAnswer > 0);
  $('lost').hidden = lost === null;
  put($('connection'), lost ? 'not connected' : 'live');
  $('connection').className = lost ? 'lost' : '';
  if (!lost) return;
  const since = `since ${clock(lost.since)}`;
  put($('lost'), `${lastAnswer ? 'What is shown is old: nothing was heard of the sidecar' : 'Nothing was heard of the sidecar'} ${since} (${lost.why}). It is asked again every second.`);
}

function askForToken() {
  if (hasToken()) put($('ask-why'), 'The sidecar did not take this token. It may have been replaced since.');
  if (!$('ask').open) $('ask').showModal();
}

$('ask').querySelector('form').addEventListener('submit', (e) => {
  e.preventDefault();
  setToken($('token').value.trim());
  $('token').value = '';
  $('ask').close();
  ask();
});
$('ask').addEventListener('cancel', (e) => e.preventDefault());
$('skip').addEventListener('click', () => {
  $('main').focus();
  (view.partition === undefined ? $('list') : $('partition')).scrollIntoView();
});
addEventListener('hashchange', arrive);
document.addEventListener('visibilitychange', () => document.hidden || ask());
arrive();
