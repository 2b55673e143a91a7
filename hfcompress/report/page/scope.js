// Recipe and host: filters over the whole page. They are there when there is more than one of either.

const scope = { recipe: "", host: "", changed: [] };

/** Whether a record of a chart, or the attributes of an element, are within what was chosen. */
function inScope({ recipe, host }) {
  const holds = (chosen, own) => !chosen || !own || chosen === own;
  return holds(scope.recipe, recipe) && holds(scope.host, host);
}

function startScope() {
  const form = document.getElementById("scope");
  if (!form) return;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    scope[event.target.dataset.filter] = event.target.value;
    for (const node of document.querySelectorAll("main [data-recipe]")) {
      if (!node.closest("svg")) node.hidden = !inScope(node.dataset);
    }
    for (const redraw of scope.changed) redraw();
  });
}
