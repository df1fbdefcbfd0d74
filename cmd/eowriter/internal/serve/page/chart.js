// Charts of the last ten minutes.

const ns = 'http://www.w3.org/2000/svg';
const width = 400;
const height = 72;
const top = 6;

function shape(tag, className, attributes) {
  const element = document.createElementNS(ns, tag);
  if (className) element.setAttribute('class', className);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// ceiling is the least of 1, 2 and 5 times a power of ten that is not below v.
export function ceiling(v) {
  if (!(v > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= v * 0.999);
}

// path goes through the values, and is interrupted where there is none.
function path(values, max) {
  let d = '';
  let pen = 'M';
  values.forEach((v, n) => {
    if (Number.isNaN(v)) {
      pen = 'M';
      return;
    }
    const x = (n / (values.length - 1)) * width;
    d += `${pen}${x.toFixed(1)} ${(height - (v / max) * (height - top)).toFixed(1)}`;
    // A value alone is a dot.
    if (pen === 'M') d += `h.01`;
    pen = 'L';
  });
  return d;
}

// Chart draws series of values, the same number of each, oldest first.
export class Chart {
  // series are the classes of the lines; area says that what is below the first is filled.
  constructor(svg, series, area) {
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.setAttribute('preserveAspectRatio', 'none');
    svg.append(shape('path', 'grid', { d: `M0 ${top}H${width}M0 ${(height + top) / 2}H${width}M0 ${height - 0.5}H${width}` }));
    this.area = area && shape('path', 'area', {});
    if (area) svg.append(this.area);
    this.lines = series.map((className) => shape('path', `line ${className}`, {}));
    svg.append(...this.lines);
  }

  // draw returns the value at the top.
  draw(...series) {
    const max = ceiling(Math.max(...series.flat().filter((v) => !Number.isNaN(v)), 0));
    this.lines.forEach((line, n) => line.setAttribute('d', path(series[n], max)));
    if (this.area) this.area.setAttribute('d', `${path(series[0], max)}L${width} ${height}L0 ${height}Z`);
    return max;
  }
}
