// The contents: beside the text on a wide window, folded on a narrow one, with the section being read marked.
"use strict";

(() => {
  const contents = document.querySelector("details.contents");
  const narrow = matchMedia("(max-width: 60rem)");
  const fit = () => {
    contents.open = !narrow.matches;
  };
  narrow.addEventListener("change", fit);
  fit();
  contents.classList.add("ready");

  // On a phone a link into the page at hand folds the contents away again.
  contents.addEventListener("click", (event) => {
    if (narrow.matches && event.target.closest("a[href^='#']")) contents.open = false;
  });

  const links = new Map();
  for (const link of contents.querySelectorAll("a[href^='#']")) {
    links.set(document.getElementById(decodeURIComponent(link.hash.slice(1))), link);
  }
  if (!links.size) return;
  const headings = [...links.keys()];
  let marked = null;
  const mark = () => {
    const passed = headings.filter((heading) => heading.getBoundingClientRect().top < innerHeight / 4);
    const link = links.get(passed.at(-1)) ?? null;
    if (link === marked) return;
    marked?.removeAttribute("aria-current");
    link?.setAttribute("aria-current", "true");
    marked = link;
  };
  let asked = false;
  addEventListener("scroll", () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      mark();
    });
  }, { passive: true });
  mark();
})();
