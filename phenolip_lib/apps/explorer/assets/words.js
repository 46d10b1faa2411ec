// --- words: which are one in other forms, which may stand for another, which is nearest in spelling --

const SUREST = 40; // price of the dearest replacement in a name of two words, in hundredths

class Words {
  /** `texts` are folded; `groups` and `stands` are those of families.py. */
  constructor({ groups, stands }, texts) {
    this.family = new Map(groups.flatMap((group, i) => group.split(" ").map((word) => [word, i])));
    this.stands = new Map();
    for (const [said, ...meant] of stands) this.stands.set(said, [...this.stands.get(said) ?? [], meant]);
    this.count = new Map();
    this.rows = new Map();
    this.own = texts.map((text, row) => {
      for (const word of text.split(" ")) this.count.set(word, (this.count.get(word) ?? 0) + 1);
      const own = this.families(text);
      for (const family of own) {
        if (this.rows.has(family)) this.rows.get(family).push(row);
        else this.rows.set(family, [row]);
      }
      return own;
    });
  }

  /** Families of a text's words, each once; a word in no group is its own. */
  families(text) {
    const found = text.split(" ").map((word) => this.family.get(word) ?? word);
    return [...new Set(found)].filter((family) => family !== 0); // the first group has no meaning
  }

  /** Rows of texts that hold the meaning of all words, at most one of them replaced: [row, {price, left}].
   *  `left` is the number of words that a text has beyond those. */
  meaning(query) {
    let found = null;
    for (const family of this.families(query)) {
      const here = this.saying(family);
      const both = !found ? [...here] : [...found].filter(([row, { price }]) => here.has(row)
        && !(price && here.get(row).price)).map(([row, { price, used }]) => (
        [row, { price: price + here.get(row).price, used: used + here.get(row).used }]));
      found = new Map(both);
    }
    return [...found ?? []].map(([row, { price, used }]) => [row, { price, left: this.own[row].length - used }]);
  }

  /** Rows whose text holds a family or what it may stand for, at the least price. */
  saying(family) {
    const found = new Map((this.rows.get(family) ?? []).map((row) => [row, { price: 0, used: 1 }]));
    for (const [price, others, beside] of this.stands.get(family) ?? []) {
      for (const row of this.rows.get(others[0]) ?? []) {
        const own = this.own[row];
        const fits = (found.get(row)?.price ?? Infinity) > price && others.every((other) => own.includes(other))
          && (own.length > 2 || price <= SUREST) && (!beside.length || beside.some((other) => own.includes(other)));
        if (fits) found.set(row, { price, used: others.length });
      }
    }
    return found;
  }

  /** The query with each word that begins none of the page's replaced by the nearest in spelling; null without. */
  corrected(query) {
    const known = [...this.count.keys()];
    const words = query.split(" ").map((word) => (
      known.some((each) => each.startsWith(word)) ? word : this.nearest(word, known)));
    return words.includes(null) || words.join(" ") === query ? null : words.join(" ");
  }

  /** The nearest word, the more frequent of equals: one letter away, of eight letters or more two. */
  nearest(word, known) {
    let best = null;
    let least = word.length < 4 ? 0 : word.length < 8 ? 1 : 2;
    for (const other of known) {
      const away = distance(word, other, least);
      if (away > least) continue;
      if (best === null || away < least || this.count.get(other) > this.count.get(best)) best = other;
      least = away;
    }
    return best;
  }
}

/** Letters to insert, drop, change or swap with the next to make one word of the other; more than `most` as it is. */
function distance(a, b, most) {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  let [before, last] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] !== b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    if (Math.min(...row) > most) return most + 1;
    [before, last] = [last, row];
  }
  return last[b.length];
}
