// How things are written. Everything that comes from elsewhere goes onto the page through put, as text.

const count = new Intl.NumberFormat('en-US');
const brief = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 });

// number writes an integer, which may be a string of digits or missing.
export const number = (n) => count.format(BigInt(n ?? 0));

// decimal writes a number with three digits.
export const decimal = (n) => brief.format(n ?? 0);

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(n) {
  let v = Number(n ?? 0);
  let unit = 0;
  for (; v >= 1000 && unit < units.length - 1; unit++) v /= 1024;
  return `${brief.format(v)} ${units[unit]}`;
}

// seconds reads a duration as the API writes it, such as "0.025s"; missing: NaN.
export const seconds = (d) => (d ? parseFloat(d) : NaN);

// duration writes seconds: two units at most, the greater ones.
export function duration(s) {
  if (Number.isNaN(s)) return '–';
  if (s < 0.001) return `${brief.format(s * 1e6)} µs`;
  if (s < 1) return `${brief.format(s * 1e3)} ms`;
  if (s < 10) return `${brief.format(s)} s`;
  return span(Math.round(s));
}

// span writes whole seconds.
function span(s) {
  if (s < 60) return `${s} s`;
  if (s < 3600) return pair(s, 60, 'min', 's');
  if (s < 86400) return pair(s / 60, 60, 'h', 'min');
  return pair(s / 3600, 24, 'd', 'h');
}

function pair(n, size, great, small) {
  const rest = Math.floor(n % size);
  return `${Math.floor(n / size)} ${great}${rest ? ` ${rest} ${small}` : ''}`;
}

// age writes how long before now a time is; both as the API writes them.
export function age(time, now) {
  const s = Math.floor((Date.parse(now) - Date.parse(time)) / 1000);
  return !time ? '–' : s < 1 ? '<1 s' : span(s);
}

// clock writes a time of the API, or a Date, as it is here.
export function clock(time) {
  if (!time) return '–';
  const t = new Date(time);
  const two = (n) => String(n).padStart(2, '0');
  return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
}

// plural writes a number with its noun.
export const plural = (n, one, several) => `${number(n)} ${Number(n) === 1 ? one : several}`;

// What would not be seen, or would change what is around it: control and format characters, and spaces of other kinds.
const unseen = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;

const written = (c) => `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`;

// visible writes unseen characters out, for where there is only text.
export const visible = (s) => s.replace(unseen, written);

// put makes s the text of an element, with unseen characters written out, and changes nothing if it is that already.
export function put(element, s) {
  if (element.put === s) return;
  element.put = s;
  const nodes = [];
  let from = 0;
  for (const m of s.matchAll(unseen)) {
    const code = document.createElement('span');
    code.className = 'code';
    code.textContent = written(m[0]);
    nodes.push(s.slice(from, m.index), code);
    from = m.index + m[0].length;
  }
  element.replaceChildren(...nodes, s.slice(from));
}

// set gives an element an attribute, and changes nothing if it has it already.
export function set(element, attribute, value) {
  if (element.getAttribute(attribute) !== value) element.setAttribute(attribute, value);
}

// make returns an element with a class and children: text, or elements.
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const child of children) {
    if (typeof child !== 'string') {
      element.append(child);
      continue;
    }
    if (children.length === 1) put(element, child);
    else {
      const text = document.createElement('span');
      put(text, child);
      element.append(text);
    }
  }
  return element;
}

// name returns a name that has come from elsewhere: what it does to the direction of writing stays inside.
export function name(s, className = '') {
  return make('bdi', className, s);
}

// stream is the last part of a stream's name.
export const stream = (s) => (s ?? '').split('/').pop();
