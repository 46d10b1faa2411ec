// --- elements: data become text, never markup ------------------------------------------------------

const $ = (id) => document.getElementById(id);

/** An element with attributes, listeners (`onclick`, ...) and children; strings are text. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null));
  return element;
}

const number = (value) => value.toLocaleString("en");
const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** A link out of the page; only web addresses become links. */
function externalLink(address, text) {
  return /^https?:\/\//i.test(address) ? h("a", { href: address, rel: "noreferrer", class: "external" }, text) : text;
}

/** A list that starts with `few` items and can be unfolded; `make` draws an item. */
function foldedList(items, few, make, attributes = {}) {
  const list = h("ul", attributes, items.slice(0, few).map((item) => h("li", {}, make(item))));
  if (items.length <= few) return [list];
  const more = h("button", { type: "button", class: "more", onclick: unfold }, `show all ${number(items.length)}`);
  function unfold() {
    const rest = items.slice(few).map((item) => h("li", {}, make(item)));
    list.append(...rest);
    more.remove();
    rest[0].querySelector("a")?.focus();
  }
  return [list, more];
}
