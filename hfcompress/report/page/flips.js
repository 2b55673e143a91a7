// Rows that some artifact answers otherwise than its reference, with filters. What a row holds is there when it may be.

const PAGE_OF_FLIPS = 24;

function startFlips() {
  const list = document.getElementById("flips-list");
  if (!list) return;
  const form = document.getElementById("flips-filters");
  const more = document.getElementById("flips-more");
  const chosen = { artifact: "", class: "", verdict: "", text: "" };
  let shown = PAGE_OF_FLIPS;
  fillArtifacts(form.querySelector("[data-filter=artifact]"));
  if (charts.flips.some(({ example }) => example?.image)) list.classList.add("pictures");
  const redraw = () => {
    const found = charts.flips.filter(inScope).map((row) => [row, answersIn(row, chosen)]);
    const kept = found.filter(([row, answers]) => answers.length > 0 && matches(row, chosen));
    list.replaceChildren(...kept.slice(0, shown).map(([row, answers]) => flipCard(row, answers)));
    more.hidden = kept.length <= shown;
    document.getElementById("flips-count").textContent = countText(kept.length, found.length, Math.min(shown, kept.length));
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    chosen[event.target.dataset.filter] = event.target.value;
    shown = PAGE_OF_FLIPS;
    redraw();
  });
  more.addEventListener("click", () => {
    const first = list.children.length;
    shown += 2 * PAGE_OF_FLIPS;
    redraw();
    list.children[first]?.focus();
  });
  scope.changed.push(redraw);
  redraw();
}

function fillArtifacts(select) {
  const names = new Set(charts.flips.flatMap(({ answers }) => answers.map(({ artifact }) => artifact)));
  const known = charts.points.map(({ artifact }) => artifact).filter((name) => names.has(name));
  for (const name of new Set([...known, ...names])) select.append(element("option", {}, name));
}

function answersIn({ answers }, { artifact, class: about, verdict }) {
  return answers.filter((answer) =>
    (!artifact || answer.artifact === artifact) && (!about || answer.about === about) && (!verdict || answer.verdict === verdict));
}

function matches(row, { text }) {
  if (!text.trim()) return true;
  const words = text.trim().toLowerCase();
  const held = Object.values(row.example?.texts ?? {}).concat((row.example?.words ?? []).join(" "));
  return String(row.row) === words || held.some((each) => each.toLowerCase().includes(words));
}

function countText(kept, all, shown) {
  const what = charts.flips.some(({ word }) => word !== null) ? "words" : "rows";
  const among = kept === all ? `${kept.toLocaleString("en-US")} ${what}` : `${kept.toLocaleString("en-US")} of ${all.toLocaleString("en-US")} ${what}`;
  return shown < kept ? `${among} are listed as flipped; the first ${shown} are shown` : `${among} listed as flipped`;
}

function flipCard(row, answers) {
  const { example } = row;
  const where = row.word === null ? `row ${row.row}` : `row ${row.row}, word ${row.word + 1}`;
  const scoped = document.getElementById("scope") ? element("span", {}, `${row.recipe}, ${row.host}`) : null;
  const label = row.label ? element("span", {}, "label ", element("b", {}, row.label)) : null;
  const card = element("li", { class: `flip${example?.image ? " pictured" : ""}`, tabindex: -1 });
  if (example?.image) card.append(picture(example.image, row));
  card.append(filled(element("div", { class: "row" }), {}, [element("span", {}, where), label, scoped]));
  for (const [role, text] of Object.entries(example?.texts ?? {})) {
    const several = Object.keys(example.texts).length > 1;
    card.append(filled(element("blockquote"), {}, [several ? element("span", { class: "role" }, role.replace("_", " ")) : null, text]));
  }
  if (example?.words) card.append(sentence(example.words, row.word));
  card.append(...saysOf(answers));
  return card;
}

function picture(source, row) {
  const image = element("img", { src: source, alt: `Row ${row.row}${row.label ? `, labelled ${row.label}` : ""}`, loading: "lazy" });
  image.addEventListener("load", () => image.classList.toggle("large", image.naturalWidth > 48));
  return image;
}

function sentence(words, marked) {
  return element("blockquote", {}, ...words.flatMap((word, place) => [
    place === marked ? element("mark", {}, word) : word, " ",
  ]));
}

/** A line for each reference and what it says: which artifacts say something else. */
function* saysOf(answers) {
  const groups = new Map();
  for (const answer of answers) {
    const key = JSON.stringify([answer.against, answer.before]);
    groups.set(key, [...(groups.get(key) ?? []), answer]);
  }
  for (const group of groups.values()) {
    const right = group[0].verdict === "lost";
    const reference = said(group[0].against, group[0].before, right ? "right" : "wrong");
    const others = new Map();
    for (const answer of group) {
      const key = JSON.stringify([answer.after, answer.verdict]);
      others.set(key, [...(others.get(key) ?? []), answer]);
    }
    const chips = [...others.values()].map((same) => said(together(same), same[0].after, same[0].verdict));
    yield element("div", { class: "says" }, reference, element("span", { "aria-hidden": "true" }, "→"), ...chips);
  }
}

function said(who, what, verdict) {
  const sign = { lost: "✕", won: "✓", right: "✓", wrong: "✕", changed: "✕" }[verdict];
  const words = { lost: "lost", won: "won", right: "right", wrong: "wrong", changed: "wrong too" }[verdict];
  return element(
    "span", { class: `said ${verdict}` },
    element("span", { "aria-hidden": "true" }, `${sign} `), element("span", { class: "unseen" }, `${words}: `),
    `${who} `, what ? element("b", {}, what) : null,
  );
}

/** Names of artifacts that say the same; in one word where it is all that are compared. */
function together(answers) {
  const names = answers.map(({ artifact }) => artifact);
  const all = new Set(charts.flips.flatMap((row) => row.answers.map(({ artifact }) => artifact)));
  return names.length > 3 && names.length === all.size ? `all ${names.length} others` : names.join(", ");
}
