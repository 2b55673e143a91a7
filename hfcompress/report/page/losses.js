// The losses of each training stage: its parts as lines, with the values of one step under the pointer or the keys.

function startLosses() {
  const node = document.getElementById("losses-charts");
  if (!node) return;
  const cards = charts.losses.map((chart) => [chart, lossCard(chart)]);
  node.append(...cards.map(([, card]) => card));
  scope.changed.push(() => {
    for (const [chart, card] of cards) card.hidden = !inScope(chart);
  });
}

function lossCard(chart) {
  const body = element("div", { class: "chart" });
  const legend = element("div", { class: "legend" }, ...chart.series.map(({ name }, place) => element(
    "span", { class: `s${place % 5}` },
    shape("svg", { width: 14, height: 4, "aria-hidden": "true" }, shape("line", { class: "stroke", x2: 14, y1: 2, y2: 2, "stroke-width": 3 })),
    name,
  )));
  const many = document.getElementById("scope") ? ` · ${chart.recipe}` : "";
  const title = element("h3", {}, chart.artifact, " ", element("small", {}, `${chart.verb ?? ""}${many}`));
  drawn(body, (width) => drawLosses(body, width, chart));
  return element("figure", { class: "card" }, title, body, element("figcaption", {}, legend));
}

function drawLosses(node, width, chart) {
  const height = 210;
  const values = chart.series.flatMap((series) => series.values).filter(([, value]) => value !== null);
  const steps = [...new Set(values.map(([step]) => step))].sort((a, b) => a - b);
  const heights = values.map(([, value]) => value);
  if (steps.length === 0) return;
  const [least, most] = [Math.min(...heights), Math.max(...heights)];
  const log = least > 0 && most / least > 30;
  const x = scale(steps[0], steps[steps.length - 1], 40, width - 10);
  const y = log ? scale(least / 1.2, most * 1.2, height - 24, 10, true) : scale(Math.min(0, least), most * 1.05 || 1, height - 24, 10);
  const drawing = shape("svg", {
    viewBox: `0 0 ${width} ${height}`, height, tabindex: 0, role: "img", "aria-label": summaryOf(chart),
  });
  drawing.append(...lossGrid(x, y, width, height));
  for (const [place, series] of chart.series.entries()) {
    drawing.append(shape("path", { class: `line s${place % 5}`, d: pathOf(series.values, x, y) }));
  }
  const cross = shape("g", { visibility: "hidden" });
  drawing.append(cross);
  node.replaceChildren(drawing);
  bindLosses(drawing, chart, steps, { x, y, height, cross });
}

function pathOf(values, x, y) {
  let path = "";
  let pen = "M";
  for (const [step, value] of values) {
    if (value === null) {
      pen = "M"; // a loss that was no number leaves a gap
    } else {
      path += `${pen}${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    }
  }
  return path;
}

function* lossGrid(x, y, width, height) {
  const up = ticks(y, 4);
  for (const [place, text] of tickTexts(up, y).entries()) {
    yield shape("line", { class: "gridline", x1: 40, x2: width - 10, y1: y(up[place]), y2: y(up[place]) });
    yield shape("text", { x: 34, y: y(up[place]) + 4, "text-anchor": "end" }, text);
  }
  const across = ticks(x, Math.max(2, Math.floor(width / 80)));
  for (const [place, text] of tickTexts(across, x).entries()) {
    yield shape("text", { x: x(across[place]), y: height - 4, "text-anchor": "middle" }, text);
  }
  yield shape("text", { x: 34, y: height - 4, "text-anchor": "end" }, "step");
}

function summaryOf(chart) {
  const parts = chart.series.map(({ name, values }) => {
    const known = values.filter(([, value]) => value !== null);
    if (known.length === 0) return `${name} was never a number`;
    const [[from, first], [to, last]] = [known[0], known[known.length - 1]];
    return `${name} ${figure(first)} at step ${from}, ${figure(last)} at step ${to}`;
  });
  return `Losses of ${chart.artifact}: ${parts.join("; ")}. Arrow keys go from step to step.`;
}

function bindLosses(drawing, chart, steps, { x, y, height, cross }) {
  let place = steps.length - 1;
  const show = () => {
    const step = steps[place];
    const found = chart.series.map(({ name, values }) => [name, values.find(([at]) => at === step)?.[1] ?? null]);
    const dots = found.map(([, value], index) => (value === null ? null : shape("circle", {
      class: `dot s${index % 5}`, cx: x(step), cy: y(value), r: 4,
    })));
    cross.replaceChildren(
      shape("line", { class: "cross", x1: x(step), x2: x(step), y1: 8, y2: height - 24 }),
      ...dots.filter((dot) => dot !== null),
    );
    cross.setAttribute("visibility", "visible");
    const facts = found.filter(([, value]) => value !== null).map(([name, value]) => [name, value.toPrecision(3)]);
    const where = () => {
      const { left, top } = drawing.getBoundingClientRect();
      return [left + x(step), top + 40];
    };
    showTip(where, `step ${step}`, facts);
    return facts.map((fact) => fact.join(" ")).join(", ");
  };
  const leave = () => {
    cross.setAttribute("visibility", "hidden");
    hideTip();
  };
  const over = (event) => {
    const at = event.clientX - drawing.getBoundingClientRect().left;
    const far = steps.map((step) => Math.abs(x(step) - at));
    place = far.indexOf(Math.min(...far));
    show();
  };
  onPointer(drawing, over, leave);
  drawing.addEventListener("blur", leave);
  drawing.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") leave();
    if (!step) return;
    event.preventDefault();
    place = Math.min(steps.length - 1, Math.max(0, place + step));
    say(`Step ${steps[place]}: ${show()}`);
  });
}
