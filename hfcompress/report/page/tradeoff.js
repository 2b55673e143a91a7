// The Pareto plot: a metric with its interval against throughput, latency or size.

function startTradeoff() {
  const node = document.getElementById("tradeoff-chart");
  if (!node) return;
  const axes = charts.axes.filter((axis) => charts.points.some((point) => point[axis.key] !== null));
  let axis = axes[0];
  let all = false;
  const redraw = drawn(node, (width) => drawTradeoff(node, width, axis, all));
  document.getElementById("tradeoff-all").addEventListener("click", () => {
    all = !all;
    redraw();
  });
  if (axes.length > 1) {
    segments(document.getElementById("tradeoff-axes"), "against", axes.map(({ name }) => name), (place) => {
      axis = axes[place];
      redraw();
    });
  }
  scope.changed.push(redraw);
}

/** The points that no other one beats, from left to right. Of equal points all stay. */
function paretoFront(points, axis) {
  const x = (point) => (axis.more ? 1 : -1) * point[axis.key];
  const y = (point) => (charts.lessIsBetter ? -1 : 1) * point.score;
  const beats = (a, b) => x(a) >= x(b) && y(a) >= y(b) && (x(a) > x(b) || y(a) > y(b));
  const front = points.filter((point) => !points.some((other) => beats(other, point)));
  return front.sort((a, b) => a[axis.key] - b[axis.key]);
}

/** Those so much worse than the best that they would press all others together: by eight widths of an interval. */
function farBelow(points) {
  const way = charts.lessIsBetter ? -1 : 1;
  const widths = points.map((point) => point.high - point.low).sort((a, b) => a - b);
  const best = Math.max(...points.map((point) => way * point.score));
  const far = points.filter((point) => best - way * point.score > 8 * Math.max(widths[Math.floor(widths.length / 2)], 0.5));
  return points.length - far.length > 1 ? far : [];
}

function sayFar(far, all) {
  const button = document.getElementById("tradeoff-all");
  button.hidden = far.length === 0;
  button.setAttribute("aria-pressed", all);
  const names = [...new Set(far.map((point) => `${point.artifact} (${figure(point.score)})`))].join(", ");
  button.textContent = all ? `Leave out ${names}` : `Show ${names} too, far from the others`;
}

function drawTradeoff(node, width, axis, all) {
  const known = charts.points.filter((point) => point[axis.key] !== null && inScope(point));
  const far = farBelow(known);
  const points = all ? known : known.filter((point) => !far.includes(point));
  sayFar(far, all);
  const legend = document.getElementById("tradeoff-legend");
  if (points.length === 0) {
    node.replaceChildren(element("p", { class: "caption" }, "Nothing of what was chosen has both figures."));
    legend.replaceChildren();
    return;
  }
  const frame = plotFrame(points, axis, width);
  // What another machine does is no reason against an artifact on the run's own, unless a machine was chosen.
  const front = paretoFront(scope.host ? points : points.filter((point) => !point.elsewhere), axis);
  const drawing = shape("svg", {
    viewBox: `0 0 ${width} ${frame.height}`, height: frame.height, role: "group",
    "aria-label": `${charts.metric} against ${axis.title}; ${points.length} artifacts. Arrow keys go from one to the next.`,
  });
  drawing.append(...gridOf(frame, axis), frontOf(front, frame, axis));
  const marks = points.map((point) => pointOf(point, frame, axis, front.includes(point)));
  const names = labelsOf(points, frame, axis, drawing, node);
  drawing.append(...marks, ...names);
  node.replaceChildren(drawing);
  legend.replaceChildren(...legendOf(points));
  bindPoints(drawing, points, marks);
}

function plotFrame(points, axis, width) {
  const narrow = width < 560;
  const height = narrow ? 340 : 430;
  const xs = points.map((point) => point[axis.key]);
  const [least, most] = [Math.min(...xs), Math.max(...xs)];
  const log = least > 0 && most / least > 4;
  const room = Math.max(most - least, 0.2 * most);
  const [left, right] = log ? [least / 1.45, most * 1.6] : [Math.max(0, least - 0.18 * room), most + 0.25 * room];
  const low = Math.min(...points.map((point) => Math.min(point.low, point.score)));
  const high = Math.max(...points.map((point) => Math.max(point.high, point.score)));
  const air = 0.12 * Math.max(high - low, 0.5);
  const margin = { left: narrow ? 38 : 48, right: 14, top: 26, bottom: 44 };
  return {
    width, height, margin, narrow,
    x: scale(left, right, margin.left, width - margin.right, log),
    y: scale(low - air, high + air, height - margin.bottom, margin.top),
    largest: Math.max(...points.map((point) => point.size)),
  };
}

function* gridOf({ width, height, margin, x, y, narrow }, axis) {
  const across = ticks(x, narrow ? 4 : 8);
  const up = ticks(y, 6);
  const [names, scores] = [tickTexts(across, x), tickTexts(up, y)];
  for (const [place, value] of up.entries()) {
    yield shape("line", { class: "gridline", x1: margin.left, x2: width - margin.right, y1: y(value), y2: y(value) });
    yield shape("text", { x: margin.left - 8, y: y(value) + 4, "text-anchor": "end" }, scores[place]);
  }
  for (const [place, value] of across.entries()) {
    yield shape("line", { class: "gridline", x1: x(value), x2: x(value), y1: margin.top, y2: height - margin.bottom });
    yield shape("text", { x: x(value), y: height - margin.bottom + 18, "text-anchor": "middle" }, names[place]);
  }
  const floor = height - margin.bottom;
  yield shape("line", { class: "axis", x1: margin.left, x2: width - margin.right, y1: floor, y2: floor });
  yield shape("text", { x: width - margin.right, y: height - 6, "text-anchor": "end" }, axis.title);
  yield shape("text", { x: 0, y: 12 }, charts.metric);
}

function frontOf(front, { x, y }, axis) {
  const places = front.map((point) => [x(point[axis.key]), y(point.score)]);
  let path = "";
  for (const [place, [px, py]] of places.entries()) {
    if (place === 0) path = `M${px} ${py}`;
    // Between two points the best to be had is the one that costs no more.
    else path += axis.more ? `V${py}H${px}` : `H${px}V${py}`;
  }
  return shape("path", { class: "front", d: path || "M0 0" });
}

function radiusOf(point, largest) {
  return Math.sqrt(30 + 90 * (point.size / largest));
}

function pointOf(point, { x, y, largest }, axis, best) {
  const [px, py, radius] = [x(point[axis.key]), y(point.score), radiusOf(point, largest)];
  const facts = point.facts.map(([name, value]) => `${name} ${value}`).join(", ");
  const where = scope.changed.length && document.getElementById("scope") ? `, ${point.recipe}, ${point.host}` : "";
  const bars = ["low", "high"].map((end) => y(point[end]));
  return shape(
    "g",
    {
      class: "point", tabindex: -1, role: "img", transform: `translate(${px} ${py})`, "data-format": point.format,
      "data-name": point.artifact, "data-front": String(best), "aria-label": `${point.artifact}${where}: ${facts}${best ? ", on the front" : ""}`,
    },
    shape("path", { class: "error", d: `M0 ${bars[0] - py}V${bars[1] - py}M-4 ${bars[0] - py}H4M-4 ${bars[1] - py}H4` }),
    point.elsewhere ? shape("circle", { class: "ring", r: radius + 4 }) : null,
    marker(point.format, radius, !point.publishable),
    shape("circle", { class: "halo", r: radius + 6 }),
  );
}

function* legendOf(points) {
  for (const format of new Set(points.map((point) => point.format))) {
    const icon = shape("svg", { width: 12, height: 12, viewBox: "-7 -7 14 14", "aria-hidden": "true" }, marker(format, 5, false));
    yield element("span", { "data-format": format }, icon, format);
  }
  if (points.some((point) => !point.publishable)) {
    const icon = shape("svg", { width: 12, height: 12, viewBox: "-7 -7 14 14", "aria-hidden": "true" }, marker("torch", 5, true));
    yield element("span", {}, icon, "hollow: a gate failed");
  }
  if (points.some((point) => point.elsewhere)) {
    const ring = shape("circle", { class: "ring", r: 6 });
    const icon = shape("svg", { width: 14, height: 14, viewBox: "-8 -8 16 16", "aria-hidden": "true" }, ring);
    yield element("span", {}, icon, "ring: measured by a bundle");
  }
  const dashes = shape("svg", { width: 22, height: 8, "aria-hidden": "true" }, shape("path", { class: "front", d: "M0 4H22" }));
  yield element("span", {}, dashes, "Pareto front");
  yield element("span", {}, "area: size on disk");
}

/** Hover takes the nearest point; Tab comes to the plot once, and arrow keys go through its points from left to right. */
function bindPoints(drawing, points, marks) {
  const order = [...marks.keys()].sort((a, b) => xOf(marks[a]) - xOf(marks[b]));
  marks[order[0]].setAttribute("tabindex", 0);
  const show = (index) => {
    const where = () => {
      const { left, top } = marks[index].querySelector(".mark").getBoundingClientRect();
      return [left + 8, top];
    };
    select(points[index], marks[index]);
    showTip(where, points[index].artifact, points[index].facts);
  };
  const leave = () => {
    select(null, null);
    hideTip();
  };
  const over = (event) => {
    const near = nearest(marks, event);
    if (near === null) leave();
    else show(near);
  };
  onPointer(drawing, over, leave);
  for (const [place, index] of order.entries()) {
    marks[index].addEventListener("focus", () => show(index));
    marks[index].addEventListener("blur", leave);
    marks[index].addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") leave();
      if (!step) return;
      event.preventDefault();
      const next = marks[order[(place + step + order.length) % order.length]];
      marks[index].setAttribute("tabindex", -1);
      next.setAttribute("tabindex", 0);
      next.focus();
    });
  }
}

function xOf(mark) {
  return mark.transform.baseVal[0].matrix.e;
}

function nearest(marks, event) {
  let best = null;
  for (const [index, mark] of marks.entries()) {
    const { left, top, width, height } = mark.querySelector(".mark").getBoundingClientRect();
    const far = Math.hypot(left + width / 2 - event.clientX, top + height / 2 - event.clientY);
    if (far < 42 && (!best || far < best.far)) best = { index, far };
  }
  return best && best.index;
}

/** A point and its row in the table light up together. */
function select(point, mark) {
  for (const other of document.querySelectorAll(".point.on, tr.linked")) other.classList.remove("on", "linked");
  if (!point) return;
  mark.classList.add("on");
  for (const row of document.querySelectorAll("#artifacts tbody tr")) {
    if (row.dataset.name === point.artifact && row.dataset.recipe === point.recipe) row.classList.add("linked");
  }
}
