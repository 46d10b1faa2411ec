// --- the first page: sizes, coverage of the organ systems, the phenotypes seen most -----------------

const TOP = 23;

function overview(model) {
  const { images, counts } = model;
  return [
    h("h1", {}, model.title),
    h("p", { class: "definition" }, "Walk the Human Phenotype Ontology, see which of its terms have images, ",
      "and compare what lies near a term in the ontology with what lies near it for the knowledge encoder."),
    tiles(model),
    counts ? null : h("p", { class: "notice" },
      "PhenoKG is not built, so there are no images and no counts; `make repro` fills this part."),
    model.near.cosine ? null : h("p", { class: "notice" },
      "The knowledge encoder is not trained yet; `make repro` fills its lists."),
    ...(images?.left_out ?? []).map((group) => leftOutNote(group, group.total)),
    images?.plain
      ? h("p", { class: "note" }, `${plural(images.plain, "image")} without a phenotype: at no term.`) : null,
    counts ? h("div", { class: "two" }, systemsTable(model), topTable(model)) : null,
  ].filter(Boolean);
}

function tiles({ size, synonyms, own, counts, images }) {
  const facts = [["terms", size], ["synonyms", synonyms.text.length]];
  if (counts) facts.push(["terms that an image shows", own.filter(Boolean).length]);
  if (images) {
    const leftOut = images.left_out.reduce((sum, group) => sum + group.total, 0);
    facts.push(["images", images.pair.length + images.plain + leftOut], ["shown on this page", images.pair.length]);
  }
  return h("div", { class: "tiles" },
    facts.map(([label, value]) => h("div", { class: "tile" }, h("b", {}, number(value)), h("span", {}, label))));
}

function systemsTable(model) {
  const terms = [...model.systems].sort((a, b) => model.below[b] - model.below[a] || a - b);
  return h("section", {}, h("h2", {}, "Organ systems"), barTable(model, terms, "Images with descendants", model.below));
}

function topTable(model) {
  const terms = [...model.own.keys()].filter((term) => model.own[term]);
  terms.sort((a, b) => model.own[b] - model.own[a] || a - b);
  return h("section", {}, h("h2", {}, "Shown most often"),
    barTable(model, terms.slice(0, TOP), "Images of the term", model.own));
}

function barTable(model, terms, header, counts) {
  const most = Math.max(1, ...terms.map((term) => counts[term]));
  const bar = (count) => {
    const fill = h("span", { class: "bar-fill" });
    fill.style.width = `${(100 * count) / most}%`;
    return h("span", { class: "bar-box", "aria-hidden": "true" }, fill);
  };
  return h("table", { class: "bars" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Term"), h("th", { scope: "col" }, header))),
    h("tbody", {}, terms.map((term) => h("tr", {},
      h("th", { scope: "row" }, termLink(model, term)),
      h("td", {}, bar(counts[term]), number(counts[term]))))));
}
