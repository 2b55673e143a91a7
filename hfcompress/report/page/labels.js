// Where the names of points go so that they cover little, in pixels.

// A reader looks to the right and above first.
const DIRECTIONS = [[1, -1], [1, 0], [0, -1], [1, 1], [0, 1], [-1, -1], [-1, 0], [-1, 1]];

/** Names beside the points, where they cover least: each in turn takes its best place given those before it. */
function labelsOf(points, frame, axis, drawing, node) {
  const probe = shape("svg", { width: 0, height: 0 });
  node.append(probe);
  const places = points.map((point) => [frame.x(point[axis.key]), frame.y(point.score)]);
  const taken = places.map(([px, py], index) => boxAround(px, py, radiusOf(points[index], frame.largest) + 1));
  const order = [...points.keys()].sort((a, b) => places[a][1] - places[b][1]);
  const found = [];
  for (const index of order) {
    const text = shape("text", { class: "name" }, points[index].artifact);
    probe.append(text);
    const width = text.getComputedTextLength();
    const { box, far } = bestBox(places[index], width, taken, frame, places);
    taken.push(box);
    text.setAttribute("x", box.left);
    text.setAttribute("y", box.bottom - 4);
    if (far > 26) found.push(leaderOf(places[index], box));
    found.push(text);
  }
  probe.remove();
  return found;
}

function bestBox([px, py], width, taken, { margin, width: whole, height }, places) {
  let best = null;
  for (const far of [12, 18, 26, 38, 52, 68, 86]) {
    for (const [rank, [dx, dy]] of DIRECTIONS.entries()) {
      const reach = dx && dy ? far * 0.75 : far;
      const cx = px + dx * (reach + width / 2);
      const cy = py + dy * (reach + 3);
      const box = { left: cx - width / 2, right: cx + width / 2, top: cy - 8, bottom: cy + 8 };
      const outside = box.left < margin.left || box.right > whole - 2 || box.top < 14 || box.bottom > height - margin.bottom;
      const covered = taken.reduce((sum, other) => sum + overlap(box, other), 0);
      const nearer = places.some(([qx, qy]) => (qx !== px || qy !== py) && gap(box, qx, qy) < gap(box, px, py));
      const cost = (outside ? 9000 : 0) + covered * 6 + (nearer ? 60 : 0) + far * 1.5 + rank;
      if (!best || cost < best.cost) best = { box, far, cost };
    }
  }
  return best;
}

function boxAround(x, y, radius) {
  return { left: x - radius, right: x + radius, top: y - radius, bottom: y + radius };
}

function overlap(a, b) {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return width > 0 && height > 0 ? width * height : 0;
}

function gap(box, x, y) {
  return Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
}

function leaderOf([px, py], box) {
  const x = Math.min(Math.max(px, box.left), box.right);
  const y = Math.min(Math.max(py, box.top + 2), box.bottom - 2);
  return shape("line", { class: "leader", x1: px, y1: py, x2: x, y2: y });
}
