// --- pictures of a term, a page at a time, and the enlarged one --------------------------------------

const PER_PAGE = 24;
const EVIDENCE = ["recognised in the text", "label of the data set"];

/** The thumbnails' text comes last in the document; pages are usable before it is there. */
const thumbnailText = new Promise((done) => {
  if (document.readyState !== "loading") done();
  else document.addEventListener("DOMContentLoaded", done);
}).then(() => $("thumbnails").textContent);

class Gallery {
  constructor(model) {
    this.model = model;
    this.start = starts(model.images?.length ?? []);
    this.deep = true;
    this.viewer = $("viewer");
    this.viewer.addEventListener("click", (event) => event.target === this.viewer && this.viewer.close());
    this.viewer.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) this.enlarge(this.list, this.at + step);
    });
  }

  async load(image, picture) {
    const [from, length] = [this.start[picture], this.model.images.length[picture]];
    const text = await thumbnailText;
    image.src = `data:image/jpeg;base64,${text.slice(from, from + length)}`;
  }

  picture(picture) {
    if (!this.model.images.length) return h("div", { class: "blank" }, "no picture");
    const image = h("img", { alt: this.model.images.caption[picture].slice(0, 140) });
    this.load(image, picture);
    return image;
  }

  facts(picture) {
    const columns = ["modality", "split", "licence"];
    return columns.map((column) => h("span", { class: "fact" }, this.model.fact(picture, column)));
  }

  card(list, i) {
    const { model } = this;
    const picture = list[i];
    const caption = model.images.caption[picture];
    return h("li", { class: "card" },
      h("button", {
        type: "button", "aria-label": `Enlarge: ${caption.slice(0, 80)}`, onclick: () => this.enlarge(list, i),
      }, this.picture(picture)),
      h("div", { class: "facts" }, this.facts(picture)),
      h("p", { class: "caption" }, caption),
      this.others(picture, this.term));
  }

  /** Links to the phenotypes of a picture, without `but`. */
  others(picture, but) {
    const terms = this.model.images.terms[picture].filter((term) => term !== but);
    return terms.length ? h("p", { class: "shows" }, terms.map((term) => termLink(this.model, term))) : null;
  }

  enlarge(list, i) {
    if (i < 0 || i >= list.length) return;
    const { model, viewer } = this;
    Object.assign(this, { list, at: i });
    const picture = list[i];
    const url = model.fact(picture, "url");
    const turn = (to, text) => h("button", {
      type: "button", disabled: to < 0 || to >= list.length, onclick: () => this.enlarge(list, to),
    }, text);
    viewer.replaceChildren(
      h("div", { class: "viewer-bar" },
        turn(i - 1, "← previous"),
        h("span", {}, `${number(i + 1)} of ${number(list.length)}`),
        turn(i + 1, "next →"),
        h("button", { type: "button", class: "close", onclick: () => viewer.close() }, "close")),
      h("div", { class: "large" }, this.picture(picture)),
      h("p", { class: "caption" }, model.images.caption[picture]),
      h("div", { class: "facts" }, this.facts(picture),
        h("span", { class: "fact" }, model.fact(picture, "dataset")),
        h("span", { class: "fact" }, EVIDENCE[model.images.asserted[picture]])),
      h("p", { class: "shows" }, model.images.terms[picture].map((term) => termLink(model, term))),
      h("p", { class: "note" }, model.images.pair[picture], url ? [" · ", externalLink(url, "source")] : null));
    for (const link of viewer.querySelectorAll(".shows a")) link.addEventListener("click", () => viewer.close());
    if (!viewer.open) viewer.showModal();
    viewer.querySelector(".close").focus();
  }

  /** The section of a term: how many there are, the pictures, what is only counted. */
  section(term) {
    const { model } = this;
    const body = h("div", {});
    const draw = (page) => body.replaceChildren(...this.page(term, page, draw));
    const deep = h("input", {
      type: "checkbox", checked: this.deep, onchange: () => {
        this.deep = deep.checked;
        draw(0);
      },
    });
    this.term = term;
    draw(0);
    return h("section", { id: "images" },
      h("h2", {}, "Images"),
      h("p", { class: "note" },
        model.counts ? `${plural(model.own[term], "image")} of the term itself, ` : null,
        model.counts ? `${number(model.below[term])} with descendants. ` : null,
        model.children[term].length ? h("label", {}, deep, " show those of descendants") : null),
      body);
  }

  /** The pictures of one page, the buttons to the others, and the lines on what is only counted. */
  page(term, page, draw) {
    const list = this.model.pictures(term, this.deep);
    const [from, to] = [page * PER_PAGE, Math.min((page + 1) * PER_PAGE, list.length)];
    const cards = list.slice(from, to).map((_, i) => this.card(list, from + i));
    const turn = (other, text) => h("button", {
      type: "button", disabled: other < 0 || other * PER_PAGE >= list.length, onclick: () => draw(other),
    }, text);
    return [
      cards.length ? h("ul", { class: "grid" }, cards) : null,
      list.length > PER_PAGE ? h("p", { class: "pager" },
        turn(page - 1, "← earlier"),
        h("span", {}, `${number(from + 1)} to ${number(to)} of ${number(list.length)}`),
        turn(page + 1, "more →")) : null,
      ...this.model.leftOut(term, this.deep).map((group) => leftOutNote(group, group.count)),
    ].filter(Boolean);
  }
}

/** The line on pictures that are only counted. */
function leftOutNote(group, count) {
  const be = count === 1 ? "is" : "are";
  return h("p", { class: "note left-out" }, group.reason === "licence"
    ? [`${plural(count, "image")} under the licence ${group.licence} ${be} counted but not shown: `,
      "it does not allow passing pictures and captions on."]
    : `${plural(count, "further image")} ${be} counted but not on this page, which would grow too large.`);
}
