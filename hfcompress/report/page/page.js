// Starts everything; colours, and where on the page one is.

const THEMES = ["auto", "light", "dark"];

function startTheme() {
  const button = document.getElementById("theme");
  const name = document.getElementById("theme-name");
  const apply = (theme) => {
    if (theme === "auto") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = theme;
    name.textContent = theme;
  };
  let theme = remembered();
  apply(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    apply(theme);
    try {
      localStorage.setItem("hfcompress-theme", theme);
    } catch {
      // a page from disk may have no storage; the choice then lasts as long as the page
    }
  });
}

function remembered() {
  try {
    const theme = localStorage.getItem("hfcompress-theme");
    return THEMES.includes(theme) ? theme : "auto";
  } catch {
    return "auto";
  }
}

function startNavigation() {
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.getAttribute("href").slice(1), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const id of links.keys()) watch.observe(document.getElementById(id));
}

startTheme();
startTables();
startTradeoff();
startLosses();
startLatency();
startFlips();
startScope();
startNavigation();
document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
