// --- start: the address decides what is shown -------------------------------------------------------

async function start() {
  const model = new Model(await unpack());
  $("release").textContent = model.release.split("/").at(-1);
  $("only-box").hidden = $("tree-legend").hidden = !model.counts;
  const tree = new Tree(model, $("tree"), $("only"));
  const gallery = new Gallery(model);
  searchField(model);

  function route() {
    const address = location.hash.slice(1).toUpperCase().replace("%3A", ":");
    const found = model.resolve(address);
    $("viewer").close();
    closeSidebar();
    const view = !address ? overview(model) : !found ? unknownView(address)
      : found.term === undefined ? deadView(model, found) : termView(model, gallery, found);
    $("content").replaceChildren(...view);
    document.title = view[0].textContent === model.title ? model.title : `${view[0].textContent} · ${model.title}`;
    tree.reveal(found?.term ?? null);
    scrollTo(0, 0);
  }
  addEventListener("hashchange", route);
  route();
}

function closeSidebar() {
  document.body.classList.remove("tree-open");
  $("tree-button").setAttribute("aria-expanded", "false");
}

$("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address stays the term's
  $("content").focus();
});

$("tree-button").addEventListener("click", () => {
  const open = document.body.classList.toggle("tree-open");
  $("tree-button").setAttribute("aria-expanded", String(open));
});

$("theme-button").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  const theme = dark ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("phenolip-theme", theme);
  } catch { /* kept for this visit only */ }
});

start().catch((error) => {
  $("content").replaceChildren(h("p", { class: "notice", role: "alert" }, error.message));
});
