// Every timed call of one cell of the grid: a row an artifact, a dot a call.

function startLatency() {
  const node = document.getElementById("latency-chart");
  if (!node) return;
  const cells = [...new Set(charts.latencies.map(({ cell }) => cell))];
  let cell = cells[0];
  const redraw = drawn(node, (width) => drawLatency(node, width, cell));
  if (cells.length > 1) {
    const label = cells.some((name) => name.includes("sequence")) ? "batch × sequence" : "batch";
    segments(document.getElementById("latency-cells"), label, cells.map(shortCell), (place) => {
      cell = cells[place];
      redraw();
    });
  }
  scope.changed.push(redraw);
}

/** `batch 1, sequence 16` -> `1 × 16`. */
function shortCell(cell) {
  return cell.replace("batch ", "").replace(", sequence ", " × ");
}

function drawLatency(node, width, cell) {
  const strips = charts.latencies.filter((strip) => strip.cell === cell && inScope(strip));
  const all = strips.flatMap(({ ms }) => ms);
  if (all.length === 0) {
    node.replaceChildren(element("p", { class: "caption" }, "Nothing of what was chosen was timed."));
    return;
  }
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const narrow = width < 560;
  const left = narrow ? 8 : 16 + Math.max(...strips.map((strip) => 7.4 * nameOf(strip).length));
  const row = narrow ? 50 : 38;
  const height = 30 + row * strips.length + 26;
  const right = width - (narrow ? 12 : 74);
  const log = most / least > 8;
  const x = log ? scale(least / 1.15, most * 1.1, left, right, true) : scale(0, most * 1.05, left, right);
  const drawing = shape("svg", {
    viewBox: `0 0 ${width} ${height}`, height, role: "group",
    "aria-label": `Latency of one call at ${cell}, milliseconds; arrow keys go from artifact to artifact`,
  });
  drawing.append(...latencyGrid(x, width, height, narrow, cell));
  const rows = strips.map((strip, place) => stripOf(strip, x, 28 + row * place, { row, left, width, narrow }));
  drawing.append(...rows);
  node.replaceChildren(drawing);
  bindStrips(strips, rows);
}

function nameOf(strip) {
  return document.getElementById("scope") ? `${strip.artifact} · ${strip.recipe}` : strip.artifact;
}

function* latencyGrid(x, width, height, narrow, cell) {
  const across = ticks(x, narrow ? 4 : 9);
  for (const [place, text] of tickTexts(across, x).entries()) {
    const at = x(across[place]);
    yield shape("line", { class: "gridline", x1: at, x2: at, y1: 24, y2: height - 26 });
    yield shape("text", { x: at, y: height - 8, "text-anchor": "middle" }, text);
  }
  yield shape("text", { x: narrow ? 8 : 0, y: 14 }, `milliseconds, ${cell}`);
}

function stripOf(strip, x, top, { row, left, width, narrow }) {
  const sorted = [...strip.ms].sort((a, b) => a - b);
  const middle = narrow ? top + row - 17 : top + row / 2;
  const [q1, q3] = [0.25, 0.75].map((share) => x(quantile(sorted, share)));
  const median = x(strip.p50);
  const facts = [...strip.facts, ["calls", String(sorted.length)], ...(strip.doubt ? [["in doubt", "spread too far"]] : [])];
  const label = `${nameOf(strip)}: ${facts.map((fact) => fact.join(" ")).join(", ")}`;
  const value = `${figure(strip.p50)}${strip.doubt ? "?" : ""} ms`;
  return shape(
    "g", { class: "strip", tabindex: -1, role: "img", "data-format": strip.format, "data-name": strip.artifact, "aria-label": label },
    shape("rect", { class: "hit", x: 0, y: top, width, height: row, rx: 6 }),
    shape("text", narrow ? { class: "name", x: 8, y: top + 15 } : { class: "name", x: left - 12, y: middle + 4, "text-anchor": "end" }, nameOf(strip)),
    shape("text", { class: "value", x: width - 8, y: narrow ? top + 15 : middle + 4, "text-anchor": "end" }, value),
    shape("rect", { class: "box", x: q1, y: middle - 9, width: Math.max(1, q3 - q1), height: 18, rx: 3 }),
    ...strip.ms.map((ms, place) => shape("circle", { class: "sample", cx: x(ms), cy: middle + spread(place), r: 2.6 })),
    shape("line", { class: "median", x1: median, x2: median, y1: middle - 9, y2: middle + 9 }),
  );
}

/** Up and down by turns, the same in every drawing, so that equal calls stay apart. */
function spread(place) {
  return ((place * 7) % 11) - 5;
}

function quantile(sorted, share) {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

function bindStrips(strips, rows) {
  rows[0].setAttribute("tabindex", 0);
  for (const [place, row] of rows.entries()) {
    const strip = strips[place];
    const show = (where) => {
      for (const other of rows) other.classList.toggle("on", other === row);
      const calls = [["calls", String(strip.ms.length)], ...(strip.doubt ? [["in doubt", "spread too far"]] : [])];
      showTip(where, nameOf(strip), [...strip.facts, ...calls]);
    };
    const leave = () => {
      row.classList.remove("on");
      hideTip();
    };
    onPointer(row, ({ clientX, clientY }) => show(() => [clientX, clientY]), leave);
    row.addEventListener("blur", leave);
    row.addEventListener("focus", () => show(() => {
      const { left, top } = row.querySelector(".median").getBoundingClientRect();
      return [left, top];
    }));
    row.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") leave();
      if (!step) return;
      event.preventDefault();
      const next = rows[(place + step + rows.length) % rows.length];
      row.setAttribute("tabindex", -1);
      next.setAttribute("tabindex", 0);
      next.focus();
    });
  }
}
