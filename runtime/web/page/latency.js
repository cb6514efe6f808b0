/** A live plot of how long the latest steps took, and their figures. */

import { at, showFigures } from "./parts.js";

const SHOWN = 300;
const MARGIN = { left: 52, right: 10, top: 10, bottom: 22 };

export class Latency {
  #canvas = at("plot");
  #times = [];
  #count = 0;
  #asked = false;

  constructor() {
    new ResizeObserver(() => this.#ask()).observe(this.#canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#ask());
  }

  /** Remember one step's milliseconds, and draw before the next frame. */
  add(milliseconds) {
    this.#times.push(milliseconds);
    this.#times.splice(0, this.#times.length - SHOWN);
    this.#count += 1;
    this.#ask();
  }

  clear() {
    this.#times = [];
    this.#count = 0;
    this.#ask();
  }

  #ask() {
    if (!this.#asked) {
      this.#asked = true;
      requestAnimationFrame(() => {
        this.#asked = false;
        this.#draw();
      });
    }
  }

  #draw() {
    const sorted = [...this.#times].sort((a, b) => a - b);
    const quantile = (share) =>
      sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    const [median, high] = [quantile(0.5), quantile(0.9)];
    showFigures(at("figures"), {
      steps: this.#count.toLocaleString("en"),
      median: sorted.length ? readable(median) : "–",
      "90 % within": sorted.length ? readable(high) : "–",
      "steps a second": sorted.length ? Math.round(1000 / median).toLocaleString("en") : "–",
    });
    this.#plot(median, high);
  }

  #plot(median, high) {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = devicePixelRatio;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    const pen = this.#canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = "12px system-ui, sans-serif";
    const colours = getComputedStyle(document.body);
    const colour = (name) => colours.getPropertyValue(name);
    // A single slow step must not flatten all others: what is higher is drawn at the top.
    const top = niceAbove(1.6 * (high ?? 0.5));
    const x = (place) => MARGIN.left + (place / (SHOWN - 1)) * (width - MARGIN.left - MARGIN.right);
    const y = (time) =>
      height - MARGIN.bottom - (Math.min(time, top) / top) * (height - MARGIN.top - MARGIN.bottom);
    drawGrid(pen, { width, y, top, line: colour("--line"), text: colour("--quiet") });
    pen.fillStyle = colour("--quiet");
    pen.textAlign = "left";
    pen.fillText(`the latest ${SHOWN} steps`, MARGIN.left, height - 5);
    pen.fillStyle = colour("--accent");
    const first = SHOWN - this.#times.length;
    this.#times.forEach((time, place) => {
      pen.beginPath();
      pen.arc(x(first + place), y(time), 2, 0, 2 * Math.PI);
      pen.fill();
    });
    if (median !== undefined) {
      pen.strokeStyle = colour("--accent");
      line(pen, MARGIN.left, width - MARGIN.right, y(median));
    }
  }
}

function drawGrid(pen, { width, y, top, line: stroke, text }) {
  pen.strokeStyle = stroke;
  pen.fillStyle = text;
  pen.textAlign = "right";
  pen.textBaseline = "alphabetic";
  for (const share of [0, 0.5, 1]) {
    line(pen, MARGIN.left, width - MARGIN.right, y(share * top));
    pen.fillText(readable(share * top), MARGIN.left - 6, y(share * top) + 4);
  }
}

function line(pen, from, to, height) {
  pen.beginPath();
  pen.moveTo(from, Math.round(height) + 0.5);
  pen.lineTo(to, Math.round(height) + 0.5);
  pen.stroke();
}

/** The least of 1, 2, 5, 10, … of some unit that is not below a value. */
function niceAbove(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * [1, 2, 5, 10].find((one) => one * unit >= value);
}

function readable(milliseconds) {
  if (milliseconds === 0) {
    return "0";
  }
  return milliseconds < 1
    ? `${Math.round(milliseconds * 1000)} µs`
    : `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
}
