// What Sphinx's search leaves open.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  // A page or section whose title is asked for comes before the pages that have the words.
  if (typeof Scorer !== "undefined") Scorer.score = (found) => found[4] + (found[6] === "title" ? 100 : 0);
  // Sphinx cannot mark words in the titles of the theme's icons, and stops there.
  document.querySelectorAll("svg title").forEach((title) => title.classList.add("nohighlight"));
});

// A result leads to a page, whose words are marked a moment after it is there: show the first of them.
addEventListener("load", () => setTimeout(() => {
  if (!location.hash) document.querySelector("article .highlighted")?.scrollIntoView({ block: "center", behavior: "instant" });
}, 100));
