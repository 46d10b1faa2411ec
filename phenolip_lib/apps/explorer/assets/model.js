// --- the ontology and its images in memory; a term is its position in the release ------------------

/** The data of the page. Fails where the browser cannot unpack gzip. */
async function unpack() {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser cannot unpack the page: it lacks DecompressionStream. Browsers since 2023 have it.");
  }
  const packed = atob($("data").textContent);
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

class Model {
  constructor(data) {
    Object.assign(this, data);
    this.size = data.id.length;
    this.position = new Map(data.id.map((id, term) => [id, term]));
    this.oldIds = new Map(data.old.id.map((id, i) => [id, data.old.term[i]]));
    this.dead = new Map(data.obsolete.id.map((id, i) => [id, i]));
    this.children = Array.from({ length: this.size }, () => []);
    this.parents.forEach((parents, term) => parents.forEach((parent) => this.children[parent].push(term)));
    const byName = new Intl.Collator("en").compare;
    this.byName = (a, b) => byName(this.name[a], this.name[b]) || a - b;
    this.children.forEach((below) => below.sort(this.byName));
    this.systems.sort(this.byName);
    this.synonymsOf = Array.from({ length: this.size }, () => []);
    data.synonyms.term.forEach((term, i) => this.synonymsOf[term].push(i));
    for (const side of ["lin", "cosine"]) if (this.near[side]) this.near[side].start = starts(this.near[side].count);
    this.own = new Uint32Array(this.size);
    this.below = new Uint32Array(this.size);
    if (data.counts) {
      data.counts.term.forEach((term, i) => {
        this.own[term] = data.counts.own[i];
        this.below[term] = data.counts.below[i];
      });
    }
    this.picturesOf = new Map();
    data.images?.terms.forEach((terms, picture) => {
      for (const term of terms) {
        if (!this.picturesOf.has(term)) this.picturesOf.set(term, []);
        this.picturesOf.get(term).push(picture);
      }
    });
  }

  curie(term) {
    return curie(this.id[term]);
  }

  /** What an id leads to: {term, old}, {dead} for an obsolete id without one successor, or null. */
  resolve(text) {
    const match = /^HP:(\d{7})$/.exec(text);
    if (!match) return null;
    const id = Number(match[1]);
    if (this.position.has(id)) return { term: this.position.get(id), old: null };
    if (this.oldIds.has(id)) return { term: this.oldIds.get(id), old: text };
    return this.dead.has(id) ? { dead: this.dead.get(id) } : null;
  }

  /** The term and everything above (`step` parents) or below it (children), nearest first. */
  reach(term, step) {
    const found = new Set([term]);
    for (const each of found) for (const next of step[each]) found.add(next);
    return found;
  }

  systemsOf(term) {
    const above = this.reach(term, this.parents);
    return this.systems.filter((system) => above.has(system));
  }

  siblings(term) {
    const all = new Set(this.parents[term].flatMap((parent) => this.children[parent]));
    all.delete(term);
    return [...all].sort(this.byName);
  }

  /** All paths from the root to the term, shortest first. */
  paths(term) {
    const up = (each) => this.parents[each].length
      ? this.parents[each].flatMap((parent) => up(parent).map((path) => [...path, each])) : [[each]];
    return up(term).sort((a, b) => a.length - b.length);
  }

  /** Neighbours by `lin` or `cosine`: [{term, lin, cosine}], nearest first. */
  neighbours(side, term) {
    const table = this.near[side];
    const from = table.start[term];
    return Array.from({ length: table.count[term] }, (_, i) => from + i).map((i) => (
      { term: table.term[i], lin: table.lin[i], cosine: table.cosine?.[i] ?? null }));
  }

  /** Embedded pictures of a term, then (`deep`) those of its descendants, each once. */
  pictures(term, deep) {
    if (!this.images) return [];
    const terms = deep ? this.reach(term, this.children) : [term];
    return [...new Set([...terms].flatMap((each) => this.picturesOf.get(each) ?? []))];
  }

  /** A column of a picture that is kept as codes, such as its licence. */
  fact(picture, column) {
    const { values, code } = this.images[column];
    return values[code[picture]];
  }

  /** Pictures of a term that are only counted: [{reason, licence, count}]. */
  leftOut(term, deep) {
    return (this.images?.left_out ?? []).map((group) => {
      const at = group.term.indexOf(term);
      return { ...group, count: at < 0 ? 0 : group[deep ? "below" : "own"][at] };
    }).filter((group) => group.count);
  }
}

const curie = (id) => `HP:${String(id).padStart(7, "0")}`;

/** Where each run begins, given the lengths of runs that follow each other. */
function starts(lengths) {
  let sum = 0;
  return lengths.map((length) => (sum += length) - length);
}
