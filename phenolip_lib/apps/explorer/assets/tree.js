// --- the tree: each occurrence of a term is an item, drawn when its parent is opened -----------------

class Tree {
  constructor(model, list, only) {
    Object.assign(this, { model, list, only });
    this.open = new Set(); // paths of opened items, such as "12/345"
    this.current = null;
    only.addEventListener("change", () => this.draw());
    list.addEventListener("click", (event) => this.click(event));
    list.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("focusin", (event) => this.rove(event.target.closest("[role=treeitem]")));
    this.draw();
  }

  shown(terms) {
    return this.only.checked ? terms.filter((term) => this.model.below[term]) : terms;
  }

  draw() {
    this.list.replaceChildren(...this.items(this.model.systems, ""));
    this.mark();
    this.rove(this.list.querySelector("[aria-current]") ?? this.list.firstElementChild);
  }

  items(terms, above) {
    const shown = this.shown(terms);
    return shown.map((term, i) => this.item(term, above, i + 1, shown.length));
  }

  item(term, above, place, of) {
    const { model } = this;
    const [own, below] = [model.own[term], model.below[term]];
    const path = above ? `${above}/${term}` : String(term);
    const leaf = !this.shown(model.children[term]).length;
    const spoken = below ? `, ${plural(own, "image")}, ${number(below)} with descendants` : "";
    const item = h("li", {
      role: "treeitem", tabindex: "-1", "data-path": path, "aria-level": path.split("/").length, "aria-setsize": of,
      "aria-posinset": place, "aria-label": model.name[term] + spoken,
      "aria-expanded": leaf ? null : "false",
    }, h("div", { class: "row" }, h("span", { class: "twisty", "aria-hidden": "true" }),
      h("span", { class: "name" }, model.name[term]),
      below ? h("span", { class: "count" }, h("b", {}, number(own)), ` / ${number(below)}`) : null));
    if (!leaf && this.open.has(path)) this.expand(item);
    return item;
  }

  expand(item) {
    if (item.getAttribute("aria-expanded") !== "false") return;
    this.open.add(item.dataset.path);
    item.setAttribute("aria-expanded", "true");
    item.append(h("ul", { role: "group" }, this.items(this.model.children[termOf(item)], item.dataset.path)));
    this.mark();
  }

  collapse(item) {
    if (item.getAttribute("aria-expanded") !== "true") return;
    this.open.delete(item.dataset.path);
    item.setAttribute("aria-expanded", "false");
    item.querySelector("[role=group]").remove();
  }

  /** Marks every drawn occurrence of the current term. */
  mark() {
    for (const item of this.list.querySelectorAll("[role=treeitem]")) {
      if (termOf(item) === this.current) item.setAttribute("aria-current", "page");
      else item.removeAttribute("aria-current");
    }
  }

  /** Shows a term: where it is drawn already, else along its shortest path. */
  reveal(term) {
    this.current = term;
    this.mark();
    if (term === null) return;
    let item = this.list.querySelector("[aria-current]");
    if (!item) {
      const paths = this.model.paths(term).filter((path) => path.some((each) => this.model.systems.includes(each)));
      if (!paths.length) return;
      const path = paths[0].slice(paths[0].findIndex((each) => this.model.systems.includes(each)));
      if (this.only.checked && path.some((each) => !this.model.below[each])) return;
      for (let i = 1; i <= path.length; i++) {
        item = this.list.querySelector(`[data-path="${path.slice(0, i).join("/")}"]`);
        if (i < path.length) this.expand(item);
      }
    }
    this.rove(item);
    const [pane, row] = [this.list.parentElement, item.firstElementChild.getBoundingClientRect()];
    const frame = pane.getBoundingClientRect();
    if (row.top < frame.top || row.bottom > frame.bottom) pane.scrollTop += row.top - frame.top - frame.height / 3;
  }

  /** One item alone is in the tab order. */
  rove(item) {
    if (!item) return;
    this.list.querySelector("[role=treeitem][tabindex='0']")?.setAttribute("tabindex", "-1");
    item.setAttribute("tabindex", "0");
  }

  toggle(item) {
    if (item.getAttribute("aria-expanded") === "true") this.collapse(item);
    else this.expand(item);
  }

  choose(item) {
    location.hash = this.model.curie(termOf(item));
  }

  click(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item) return;
    item.focus({ preventScroll: true });
    if (event.target.closest(".twisty")) return this.toggle(item);
    this.expand(item);
    this.choose(item);
  }

  key(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = [...this.list.querySelectorAll("[role=treeitem]")];
    const at = all.indexOf(item);
    const open = item.getAttribute("aria-expanded");
    const go = (to) => to?.focus();
    const actions = {
      ArrowDown: () => go(all[at + 1]),
      ArrowUp: () => go(all[at - 1]),
      Home: () => go(all[0]),
      End: () => go(all.at(-1)),
      ArrowRight: () => (open === "false" ? this.expand(item) : open && go(all[at + 1])),
      ArrowLeft: () => (open === "true" ? this.collapse(item) : go(item.parentElement.closest("[role=treeitem]"))),
      Enter: () => this.choose(item),
      " ": () => this.choose(item),
      "*": () => [...item.parentElement.children].forEach((each) => this.expand(each)),
    };
    const typed = event.key.length === 1 && /\p{L}/u.test(event.key);
    if (typed) go([...all.slice(at + 1), ...all.slice(0, at)].find((each) => startsWith(each, event.key)));
    else if (actions[event.key]) actions[event.key]();
    else return;
    event.preventDefault();
  }
}

const termOf = (item) => Number(item.dataset.path.split("/").at(-1));
const startsWith = (item, letter) => item.getAttribute("aria-label").toLowerCase().startsWith(letter.toLowerCase());
