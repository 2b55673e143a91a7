// Tables sort by a column when its heading is pressed: first the other way round for numbers, whose largest matters.

function startTables() {
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const heading of table.tHead.rows[0].cells) {
      const button = element("button", { type: "button" });
      button.append(element("span", {}, ...heading.childNodes));
      heading.append(button);
      button.addEventListener("click", () => sortBy(table, heading));
    }
  }
}

function sortBy(table, heading) {
  const numeric = heading.classList.contains("number");
  const first = numeric ? "descending" : "ascending";
  const other = numeric ? "ascending" : "descending";
  const order = heading.getAttribute("aria-sort") === first ? other : first;
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
  const key = (row) => keyOf(row.cells[heading.cellIndex], numeric);
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => compared(a, b, sign));
  table.tBodies[0].append(...rows.map(([, row]) => row));
  say(`Sorted by ${heading.textContent.trim()}, ${order}`);
}

/** The figure of a cell without its interval; null where nothing was measured. */
function keyOf(cell, numeric) {
  const text = cell.querySelector(".figure").textContent.trim();
  if (!numeric) return text;
  const found = text.replaceAll(",", "").match(/[-+]?\d+(\.\d+)?(e[-+]?\d+)?/);
  return found ? Number(found[0]) : null;
}

/** What was not measured is last in either order. */
function compared(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
}
