// --- one term: what HPO says of it, where it stands, what it is near to -----------------------------

const FEW = 12;

function termLink(model, term, attributes = {}) {
  return h("a", { href: `#${model.curie(term)}`, ...attributes }, model.name[term]);
}

/** A link with the number of images below the term, if there are any. */
function countedLink(model, term) {
  const images = model.below[term];
  const count = images ? h("span", { class: "count", title: plural(images, "image") }, number(images)) : null;
  return [termLink(model, term), count];
}

function termView(model, gallery, { term, old }) {
  const code = model.curie(term);
  return [
    h("h1", {}, model.name[term]),
    h("p", { class: "id" }, externalLink(`https://hpo.jax.org/browse/term/${code}`, code)),
    old ? h("p", { class: "notice" }, `${old} is an old id of this term.`) : null,
    h("p", { class: "definition" }, model.definition[term] || "HPO gives no definition."),
    model.comment[term] ? h("p", { class: "comment" }, h("b", {}, "Comment. "), model.comment[term]) : null,
    factsOf(model, term),
    synonymsOf(model, term),
    imagesOf(model, gallery, term),
    relationsOf(model, term),
    neighboursOf(model, term),
  ].filter(Boolean);
}

function factsOf(model, term) {
  const systems = model.systemsOf(term);
  const rows = [
    ["Organ systems", systems.length ? systems.map((system, i) => [i ? ", " : "", termLink(model, system)]) : "none"],
    ["Annotated diseases",
      `${number(model.diseases.own[term])} (${number(model.diseases.below[term])} with descendants)`],
    ["Information content", `${(model.ic[term] / 1000).toFixed(2)} nats`],
    ["Depth", `${plural(model.depth[term], "step")} from the root`],
    ["Descendants", number(model.reach(term, model.children).size - 1)],
  ];
  const row = ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h("dl", { class: "facts-table" }, rows.map(row));
}

function synonymsOf(model, term) {
  const own = model.synonymsOf[term];
  if (!own.length) return null;
  return h("section", { id: "synonyms" }, h("h2", {}, "Synonyms"), foldedList(own, FEW, (synonym) => [
    model.synonyms.text[synonym],
    h("span", { class: "scope" }, [model.synonyms.scopes[model.synonyms.scope[synonym]],
      model.synonyms.kinds[model.synonyms.kind[synonym]]].filter(Boolean).join(", ")),
  ], { class: "inline" }));
}

function imagesOf(model, gallery, term) {
  if (model.images) return gallery.section(term);
  return h("section", { id: "images" }, h("h2", {}, "Images"), h("p", { class: "note" }, model.counts
    ? `${plural(model.below[term], "image")} with descendants; pictures are not part of this page.`
    : "PhenoKG is not built, so there are no images; `make repro` fills this part."));
}

function relationsOf(model, term) {
  const paths = model.paths(term);
  const column = (title, terms, few = FEW) => h("div", {},
    h("h3", {}, `${title} `, h("span", { class: "count" }, number(terms.length))),
    terms.length ? foldedList(terms, few, (each) => countedLink(model, each)) : h("p", { class: "note" }, "none"));
  const path = (steps) => steps.map((each, i) => [i ? h("span", { class: "step" }, " › ") : null,
    i === steps.length - 1 ? h("b", {}, model.name[each]) : termLink(model, each)]);
  return h("section", { id: "place" }, h("h2", {}, "Place in the ontology"),
    h("div", { class: "three" },
      column("Parents", [...model.parents[term]].sort(model.byName)),
      column("Children", model.children[term]),
      column("Siblings", model.siblings(term), 8)),
    h("h3", {}, "Paths from the root ", h("span", { class: "count" }, number(paths.length))),
    foldedList(paths, 4, path, { class: "paths" }));
}

function neighboursOf(model, term) {
  const lin = model.neighbours("lin", term);
  const cosine = model.near.cosine ? model.neighbours("cosine", term) : [];
  const inBoth = new Set(lin.map((row) => row.term).filter((each) => cosine.some((row) => row.term === each)));
  const part = (title, rows, note, empty) => h("div", {}, h("h3", {}, title),
    h("p", { class: "note" }, rows.length ? note : empty),
    rows.length ? neighbourTable(model, rows, inBoth) : null);
  return h("section", { id: "neighbours" }, h("h2", {}, "Nearest terms"),
    lin.length && cosine.length
      ? h("p", { class: "note" }, `${inBoth.size} of ${lin.length} are in both lists (●).`) : null,
    h("div", { class: "two" },
      part("In the ontology", lin, "Highest Lin similarity: shared information over the information of both.",
        "None: the term is no phenotypic abnormality, or shares no information with another."),
      part("In the knowledge encoder", cosine, "Highest cosine of the embedded names, after stage 1.",
        model.near.cosine ? "None: the encoder is not trained on this term."
          : "The knowledge encoder is not trained yet; `make repro` fills this part.")));
}

function neighbourTable(model, rows, inBoth) {
  const columns = model.near.cosine ? ["cosine", "lin"] : ["lin"];
  const head = { cosine: "Cosine", lin: "Lin" };
  const value = (thousandths) => (thousandths === null ? "–" : (thousandths / 1000).toFixed(2));
  return h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Term"),
      columns.map((column) => h("th", { scope: "col" }, head[column])))),
    h("tbody", {}, rows.map((row) => h("tr", { class: inBoth.has(row.term) ? "both" : null },
      h("th", { scope: "row" }, h("span", { class: "dot", title: "in both lists" }, inBoth.has(row.term) ? "●" : ""),
        termLink(model, row.term)),
      columns.map((column) => h("td", {}, value(row[column])))))));
}

function deadView(model, { dead }) {
  const hints = model.obsolete.consider[dead].map((id) => model.resolve(curie(id))?.term);
  const consider = hints.filter((term) => term !== undefined);
  return [
    h("h1", {}, model.obsolete.name[dead]),
    h("p", { class: "id" }, curie(model.obsolete.id[dead])),
    h("p", { class: "notice" }, "This term is obsolete and has no single successor."),
    ...(consider.length ? [h("h2", {}, "To consider instead")] : []),
    ...foldedList(consider, FEW, (term) => countedLink(model, term)),
  ];
}

function unknownView(address) {
  return [h("h1", {}, "No such term"), h("p", {}, `${address} is not in this release of HPO.`)];
}
