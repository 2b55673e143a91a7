// What every chart uses: elements, scales, ticks, the tooltip. No library, nothing global.

const SVG = "http://www.w3.org/2000/svg";
const charts = JSON.parse(document.getElementById("charts").textContent);

/** An element with attributes and children; strings become text and never markup. */
function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same in SVG. */
function shape(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Three significant digits below 100, whole numbers with thousands above: as the tables have them. */
function figure(value) {
  const size = Math.abs(value);
  if (size >= 99.95) return Math.round(value).toLocaleString("en-US");
  if (size >= 9.995) return value.toFixed(1);
  return size >= 0.0995 || value === 0 ? value.toFixed(2) : String(Number(value.toPrecision(2)));
}

/** From values to pixels; `log` where the largest is many times the smallest. */
function scale(low, high, from, to, log = false) {
  const map = log ? Math.log : (value) => value;
  const span = map(high) - map(low) || 1;
  const place = (value) => from + ((map(value) - map(low)) / span) * (to - from);
  return Object.assign(place, { low, high, log });
}

/** Round values within a scale, about `count` of them. */
function ticks({ low, high, log }, count) {
  if (log) {
    for (const steps of [[1, 2, 5], [1, 3], [1]]) {
      const found = decades(low, high, steps);
      if (found.length <= count + 1 || steps.length === 1) return found.length > 1 ? found : evenly(low, high, count);
    }
  }
  return evenly(low, high, count);
}

function decades(low, high, steps) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const step of steps) {
      const value = step * 10 ** power;
      if (value >= low && value <= high) found.push(value);
    }
  }
  return found;
}

function evenly(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const base = 10 ** Math.floor(Math.log10(rough));
  const sizes = [1, 2, 5, 10].map((factor) => factor * base);
  const far = (size) => Math.abs(Math.log(size / rough));
  const step = sizes.reduce((best, size) => (far(size) < far(best) ? size : best));
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(value);
  return found;
}

/** A tick in as few characters as tell it from its neighbours. */
function tickText(value, step) {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return value.toFixed(Math.min(6, decimals));
}

function tickTexts(values, { log }) {
  if (log) return values.map((value) => (value >= 1000 ? value.toLocaleString("en-US") : String(Number(value.toPrecision(3)))));
  const step = values.length > 1 ? values[1] - values[0] : 1;
  return values.map((value) => tickText(value, step));
}

const tip = document.getElementById("tip");

let anchor = null;

/** Shows facts beside a place on the screen. What has the focus or is pointed at says the same in its label.
 *
 * `where` gives the place, so that the tooltip stays beside it when the page scrolls.
 */
function showTip(where, title, facts) {
  const rows = facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
  tip.replaceChildren(element("b", {}, title), element("dl", {}, ...rows));
  tip.hidden = false;
  anchor = where;
  placeTip();
}

function placeTip() {
  const [x, y] = anchor();
  const { width, height } = tip.getBoundingClientRect();
  const right = x + 14 + width < innerWidth - 8;
  tip.style.left = `${Math.max(8, right ? x + 14 : x - 14 - width)}px`;
  tip.style.top = `${Math.min(Math.max(8, y - height - 12), innerHeight - height - 8)}px`;
}

function hideTip() {
  tip.hidden = true;
  anchor = null;
}

addEventListener("scroll", () => anchor && placeTip(), { passive: true });

/** What a pointer does over a chart. A finger has no place to hover: what it touched stays until it touches elsewhere. */
function onPointer(node, over, leave) {
  for (const kind of ["pointermove", "pointerdown"]) node.addEventListener(kind, over);
  node.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && leave());
  document.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch" && anchor && !node.contains(event.target)) leave();
  });
}

/** Says something to a screen reader. */
function say(text) {
  document.getElementById("said").textContent = text;
}

/** Draws now and whenever the width of a chart changes. */
function drawn(node, draw) {
  let last = 0;
  new ResizeObserver(() => {
    const width = Math.floor(node.clientWidth);
    if (width > 0 && width !== last) {
      last = width;
      draw(width);
    }
  }).observe(node);
  return () => last > 0 && draw(last);
}

/** One of several, as radio buttons: the keyboard knows them. */
function segments(node, label, options, choose) {
  node.setAttribute("role", "radiogroup");
  node.setAttribute("aria-label", label);
  node.append(element("b", { "aria-hidden": "true" }, label), ...options.map((text, place) => {
    const input = element("input", { type: "radio", name: node.id, value: place, checked: place === 0 });
    input.addEventListener("change", () => choose(place));
    return element("label", {}, input, element("span", {}, text));
  }));
}

/** The marker of a format, of about this radius. */
function marker(format, radius, hollow) {
  const kind = `mark${hollow ? " hollow" : ""}`;
  if (format === "torch") return shape("circle", { class: kind, r: radius });
  const half = radius * 0.9;
  const square = { class: kind, x: -half, y: -half, width: 2 * half, height: 2 * half, rx: 1 };
  if (format === "onnx") return shape("rect", square);
  if (format === "openvino") return shape("rect", { ...square, transform: "rotate(45)" });
  return shape("path", { class: kind, d: `M0 ${-radius}L${radius} ${radius}H${-radius}Z` });
}
