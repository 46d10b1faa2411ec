// Search over window.BOOK_INDEX: every word must begin a word of the entry; rare words and titles weigh more.
"use strict";

(() => {
  const SHOWN = 12;
  const SNIPPET = 160;
  const TITLE_WEIGHT = 8;
  const PHRASE_IN_TITLE = 20;
  const PHRASE_IN_TEXT = 6;

  const input = document.getElementById("page-search");
  const panel = document.getElementById("page-found");
  const entries = window.BOOK_INDEX.map((entry) => ({
    ...entry, titleLower: entry.title.toLowerCase(), textLower: entry.text.toLowerCase(),
  }));

  const words = (query) => query.toLowerCase().match(/[\p{L}\p{N}@_]+/gu) ?? [];
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const begins = (word) => new RegExp(`(?<![\\p{L}\\p{N}])${escaped(word)}`, "gu");
  const count = (text, pattern) => (text.match(pattern) ?? []).length;

  // Term frequency is damped and weighed by rarity, as in BM25 without length.
  function rank(query) {
    const asked = words(query);
    if (!asked.length) return [];
    const phrase = asked.join(" ");
    const scores = new Map(entries.map((entry) => [entry, 0]));
    for (const word of asked) {
      const pattern = begins(word);
      const hits = [...scores.keys()]
        .map((entry) => [entry, count(entry.titleLower, pattern), count(entry.textLower, pattern)])
        .filter(([, title, text]) => title + text > 0);
      const rarity = Math.log(1 + entries.length / (hits.length || 1));
      const before = new Map(scores);
      scores.clear();
      for (const [entry, title, text] of hits) {
        scores.set(entry, before.get(entry) + rarity * (TITLE_WEIGHT * Math.min(title, 1) + Math.log1p(text)));
      }
    }
    for (const [entry, score] of scores) {
      const bonus = (entry.titleLower.includes(phrase) ? PHRASE_IN_TITLE : 0)
        + (entry.textLower.includes(phrase) ? PHRASE_IN_TEXT : 0);
      scores.set(entry, score + bonus);
    }
    return [...scores].sort((a, b) => b[1] - a[1]).map(([entry]) => entry);
  }

  // Text with the words asked for in <mark>; nothing of it is ever read as HTML.
  function marked(text, asked) {
    const fragment = document.createDocumentFragment();
    const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(${asked.map(escaped).join("|")})`, "giu");
    let end = 0;
    for (const hit of text.matchAll(pattern)) {
      const mark = document.createElement("mark");
      mark.textContent = hit[0];
      fragment.append(text.slice(end, hit.index), mark);
      end = hit.index + hit[0].length;
    }
    fragment.append(text.slice(end));
    return fragment;
  }

  function snippet(entry, asked) {
    const at = Math.min(...asked.map((word) => {
      const found = entry.textLower.search(begins(word));
      return found < 0 ? Infinity : found;
    }));
    const middle = Number.isFinite(at) ? at : 0;
    const start = middle < SNIPPET / 2 ? 0 : entry.text.indexOf(" ", middle - SNIPPET / 2) + 1;
    const end = start + SNIPPET < entry.text.length ? entry.text.lastIndexOf(" ", start + SNIPPET) : entry.text.length;
    return (start ? "… " : "") + entry.text.slice(start, Math.max(end, start)) + (end < entry.text.length ? " …" : "");
  }

  function item(entry, asked) {
    const link = document.createElement("a");
    link.href = entry.to;
    const parts = { b: entry.title, small: entry.part, span: snippet(entry, asked) };
    for (const [tag, text] of Object.entries(parts)) {
      const element = document.createElement(tag);
      element.append(tag === "small" ? text : marked(text, asked));
      link.append(element);
    }
    const row = document.createElement("li");
    row.append(link);
    return row;
  }

  function show() {
    const asked = words(input.value);
    panel.hidden = !asked.length;
    if (panel.hidden) return;
    const found = rank(input.value);
    const status = document.createElement("p");
    status.setAttribute("role", "status");
    status.textContent = found.length > SHOWN ? `The first ${SHOWN} of ${found.length} places`
      : `${found.length || "No"} place${found.length === 1 ? "" : "s"}`;
    const list = document.createElement("ol");
    list.append(...found.slice(0, SHOWN).map((entry) => item(entry, asked)));
    panel.replaceChildren(status, list);
  }

  function close() {
    panel.hidden = true;
  }

  function move(step) {
    const stops = [input, ...panel.querySelectorAll("a")];
    const next = stops.indexOf(document.activeElement) + step;
    stops[Math.max(0, Math.min(next, stops.length - 1))].focus();
  }

  input.addEventListener("input", show);
  input.addEventListener("focus", show);
  panel.addEventListener("click", (event) => {
    if (event.target.closest("a")) close();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".search")) close();
  });
  document.addEventListener("keydown", (event) => {
    const inside = document.activeElement?.closest(".search");
    const typing = document.activeElement?.matches("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
      input.select();
    } else if (event.key === "Escape" && inside) {
      close();
      document.activeElement.blur();
    } else if (inside && !panel.hidden && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && document.activeElement === input) {
      panel.querySelector("a")?.click();
    }
  });
})();
