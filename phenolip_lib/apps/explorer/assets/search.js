// --- search: exact > same meaning > prefix > word start > substring > all words > their meaning -------

const SHOWN = 50;
const [SAME_MEANING, LOOSEST] = [1, 6]; // tiers

/** Lower case, without accents. */
const flatten = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

/** The same, with anything but letters and digits as one blank. */
const fold = (text) => flatten(text).replace(/[^\p{L}\p{N}]+/gu, " ").trim();

class Search {
  constructor(model) {
    this.model = model;
    this.texts = [...model.name, ...model.synonyms.text];
    this.folded = this.texts.map(fold);
  }

  /** Made when first asked for, so that the page opens before. */
  get words() {
    return this.known ??= new Words(this.model.words, this.folded);
  }

  termOf(row) {
    return row < this.model.size ? row : this.model.synonyms.term[row - this.model.size];
  }

  /** `hits`: {term, row, tier, left, note} or {dead}, best first, one a term; ids are found by their digits.
   *  `meant`: what was looked for, if nothing is spelled as the query is. */
  find(query) {
    const wanted = fold(query);
    if (!wanted) return { hits: [], meant: null };
    const digits = /^(?:hp ?)?(\d{1,7})$/.exec(wanted);
    const ids = digits ? this.byId(digits[1]) : [];
    const seen = new Set(ids.map((hit) => hit.term));
    const hits = [...ids, ...this.byText(wanted).filter((hit) => !seen.has(hit.term))];
    const meant = hits.length ? null : this.words.corrected(wanted);
    return { hits: meant ? this.byText(meant) : hits, meant };
  }

  byId(digits) {
    const whole = digits.length === 7 || digits[0] !== "0"; // "1744" is an id, "0001" the beginning of some
    const exact = whole ? this.model.resolve(curie(Number(digits))) : null;
    const hits = [];
    if (exact?.old) hits.push({ term: exact.term, note: `${exact.old} is an old id of this term` });
    else if (exact) hits.push(exact);
    if (digits.length >= 3) {
      this.model.id.forEach((id, term) => {
        if (term !== exact?.term && curie(id).startsWith(`HP:${digits}`)) hits.push({ term });
      });
    }
    return hits;
  }

  byText(wanted) {
    const words = wanted.split(" ");
    const best = new Map();
    const keep = (row, tier, left = 0) => {
      const hit = { term: this.termOf(row), row, tier, left };
      const known = best.get(hit.term);
      if (!known || this.before(hit, known) < 0) best.set(hit.term, hit);
    };
    this.folded.forEach((text, row) => {
      const tier = tierOf(text, wanted, words);
      if (tier !== null) keep(row, tier);
    });
    for (const [row, { price, left }] of this.words.meaning(wanted)) {
      keep(row, left || words.length < 2 ? LOOSEST : SAME_MEANING, left + price / 100); // one word's family is wide
    }
    return [...best.values()].sort((a, b) => this.before(a, b));
  }

  /** Better tier, less left over, names before synonyms, shorter before longer, then by alphabet. */
  before(a, b) {
    return a.tier - b.tier || a.left - b.left || (a.row >= this.model.size) - (b.row >= this.model.size)
      || this.folded[a.row].length - this.folded[b.row].length
      || (this.folded[a.row] < this.folded[b.row] ? -1 : this.folded[a.row] > this.folded[b.row] ? 1 : a.row - b.row);
  }
}

function tierOf(text, wanted, words) {
  const at = text.indexOf(wanted);
  if (at === 0) return text.length === wanted.length ? 0 : 2;
  if (at > 0) return text.includes(` ${wanted}`) ? 3 : 4;
  if (words.length < 2) return null;
  const spaced = ` ${text}`;
  return words.every((word) => spaced.includes(` ${word}`)) ? 5 : null;
}

/** The text with the query's words marked, where folding has kept its length. */
function marked(text, query) {
  const words = fold(query).split(" ").filter(Boolean).sort((a, b) => b.length - a.length);
  const flat = flatten(text);
  if (!words.length || flat.length !== text.length) return [text];
  const pattern = new RegExp(words.join("|"), "gu"); // letters and digits alone
  const parts = [];
  let end = 0;
  for (const { 0: found, index } of flat.matchAll(pattern)) {
    parts.push(text.slice(end, index), h("mark", {}, text.slice(index, index + found.length)));
    end = index + found.length;
  }
  return [...parts, text.slice(end)];
}

/** The search field: a combobox over a list of terms. */
function searchField(model) {
  const search = new Search(model);
  const [input, list, box, note] = ["query", "results", "results-box", "results-note"].map($);
  let active = -1;

  function option(hit, i, query) {
    const id = `result-${i}`;
    if (hit.dead !== undefined) {
      const code = curie(model.obsolete.id[hit.dead]);
      return h("li", { id, role: "option", "aria-selected": "false", "data-to": code },
        h("span", { class: "found" }, model.obsolete.name[hit.dead]), h("span", { class: "code" }, code));
    }
    const { term, row } = hit;
    const synonym = row >= model.size ? row - model.size : null;
    const images = model.below[term] ? plural(model.below[term], "image") : "";
    return h("li", { id, role: "option", "aria-selected": "false", "data-to": model.curie(term) },
      h("span", { class: "found" }, synonym === null ? marked(model.name[term], query) : model.name[term]),
      h("span", { class: "code" }, model.curie(term)),
      synonym === null ? null
        : h("span", { class: "via" }, `${synonymKind(model, synonym)}: `, marked(model.synonyms.text[synonym], query)),
      hit.note ? h("span", { class: "via" }, hit.note) : null,
      images ? h("span", { class: "images" }, images) : null);
  }

  function show() {
    const { hits, meant } = search.find(input.value);
    list.replaceChildren(...hits.slice(0, SHOWN).map((hit, i) => option(hit, i, meant ?? input.value)));
    const count = !hits.length ? "No term found." : hits.length > SHOWN
      ? `${number(hits.length)} terms; the first ${SHOWN} are listed.` : plural(hits.length, "term");
    note.textContent = meant && hits.length ? `Did you mean “${meant}”? ${count}` : count;
    toggle(input.value.trim() !== "");
    mark(hits.length ? 0 : -1);
  }

  function toggle(open) {
    box.hidden = !open;
    input.setAttribute("aria-expanded", String(open));
    if (!open) mark(-1);
  }

  function mark(i) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = i;
    const item = list.children[i];
    item?.setAttribute("aria-selected", "true");
    item?.scrollIntoView({ block: "nearest" });
    if (item) input.setAttribute("aria-activedescendant", item.id);
    else input.removeAttribute("aria-activedescendant");
  }

  function take(item) {
    if (!item) return;
    toggle(false);
    input.blur();
    location.hash = item.dataset.to;
  }

  input.addEventListener("input", show);
  input.addEventListener("focus", () => input.value.trim() && show());
  input.addEventListener("keydown", (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move && !box.hidden) mark(Math.max(0, Math.min(list.children.length - 1, active + move)));
    else if (event.key === "Enter" && !box.hidden) take(list.children[active]);
    else if (event.key === "Escape") toggle(false);
    else return;
    event.preventDefault();
  });
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
  list.addEventListener("click", (event) => take(event.target.closest("[role=option]")));
  input.addEventListener("blur", () => toggle(false));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, textarea, dialog")) return;
    event.preventDefault();
    input.focus();
    input.select();
  });
}

/** "layperson synonym", "abbreviation", "narrow synonym", ... of a synonym. */
function synonymKind(model, synonym) {
  const kind = model.synonyms.kinds[model.synonyms.kind[synonym]];
  const scope = model.synonyms.scopes[model.synonyms.scope[synonym]];
  return [scope === "exact" ? "" : scope, kind, "synonym"].filter(Boolean).join(" ");
}
