// The page of imagenet_tools.selection.widget: a tree of synsets, images of the current one, and the selection as code.
// Names and captions enter the page as text only: nothing here parses HTML.
//
// State: top, under, without, code, about. Messages to Python: {want: "children" | "images", synset: wnid}. Answers:
//   {synset, children: [{wnid, synset, name, images, parts}]}, where parts says whether it has children
//   {synset, total, tiles: [{caption, problem}]}, with a JPEG in the buffers for each tile without a problem
//   {synset, error}

// The colours are made of the text's colour, so that they fit to light and dark notebooks.
const STYLE = `
.imt { --line: color-mix(in srgb, currentColor 22%, transparent); --dim: color-mix(in srgb, currentColor 65%, transparent);
  --faint: color-mix(in srgb, currentColor 7%, transparent); --accent: #2b7bd1; --out: #b3541e;
  font: 13px/1.45 system-ui, sans-serif; border: 1px solid var(--line); border-radius: 6px; overflow: hidden; }
.imt * { box-sizing: border-box; }
.imt-panes { display: grid; grid-template-columns: minmax(230px, 2fr) minmax(0, 3fr); height: 400px; }
.imt-tree { overflow: auto; padding: 6px; border-right: 1px solid var(--line); }
.imt-parts { margin-left: 8px; padding-left: 6px; border-left: 1px solid var(--line); }
.imt-row { display: flex; gap: 6px; align-items: baseline; width: 100%; padding: 1px 6px 1px 4px; border: 0;
  border-radius: 4px; background: none; color: inherit; font: inherit; text-align: left; cursor: pointer; list-style: none; }
.imt-row::-webkit-details-marker { display: none; }
.imt-row::before { content: ""; flex: none; width: 1em; text-align: center; color: var(--dim); }
details > .imt-row::before { content: "\\25B8"; }
details[open] > .imt-row::before { content: "\\25BE"; }
.imt-row:hover, .imt-row[aria-current="true"] { background: var(--faint); }
.imt-row[aria-current="true"] { font-weight: 600; }
.imt-row:focus-visible, .imt button:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
.imt-name { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.imt-count { color: var(--dim); font-variant-numeric: tabular-nums; font-weight: 400; }
[data-chosen="under"] > .imt-name::after { content: " +"; color: var(--accent); font-weight: 700; }
[data-chosen="without"] > .imt-name { text-decoration: line-through; color: var(--dim); }
.imt-shown { overflow: auto; padding: 10px 12px; }
.imt-head { display: flex; flex-wrap: wrap; gap: 4px 8px; align-items: center; margin-bottom: 10px; }
.imt-title { flex: 1 1 180px; font-weight: 600; overflow-wrap: anywhere; }
.imt-head button { padding: 2px 10px; border: 1px solid var(--line); border-radius: 12px; background: none; color: inherit;
  font: inherit; cursor: pointer; }
.imt-head button:hover { background: var(--faint); }
.imt-head button[aria-pressed="true"] { background: var(--accent); border-color: var(--accent); color: #fff; }
.imt-head button.imt-out[aria-pressed="true"] { background: var(--out); border-color: var(--out); }
.imt-tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)); gap: 10px; }
.imt figure { margin: 0; min-width: 0; }
.imt img, .imt-problem { display: block; width: 100%; aspect-ratio: 4 / 3; object-fit: contain; margin: 0; padding: 0;
  background: var(--faint); border-radius: 4px; }
.imt-problem { padding: 8px; font-size: 11px; overflow: auto; }
.imt figcaption { font-size: 11px; color: var(--dim); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.imt-note { color: var(--dim); }
.imt-foot { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: baseline; padding: 8px 12px;
  border-top: 1px solid var(--line); background: var(--faint); }
.imt code { flex: 1 1 300px; user-select: all; overflow-wrap: anywhere; background: none; color: inherit;
  font: 12px/1.5 ui-monospace, Consolas, monospace; }
@media (max-width: 620px) { .imt-panes { grid-template-columns: 1fr; grid-template-rows: 1fr 1fr; height: 560px; }
  .imt-tree { border-right: 0; border-bottom: 1px solid var(--line); } }
`;

/** Add an element of a class, with a text, to a parent. */
function add(parent, tag, name = "", text = "") {
  const child = document.createElement(tag);
  child.className = name;
  child.textContent = text;
  parent.append(child);
  return child;
}

const number = (n) => n.toLocaleString("en");

function render({ model, el }) {
  const known = new Map(); // wnid: its children, once they are here
  const waiting = new Map(); // wnid: the elements to fill with them
  let current = null; // the synset whose images are shown
  let urls = []; // of the shown images

  add(el, "style", "", STYLE);
  const page = add(el, "div", "imt");
  const panes = add(page, "div", "imt-panes");
  const tree = add(panes, "div", "imt-tree");
  const shown = add(panes, "div", "imt-shown");
  const head = add(shown, "div", "imt-head");
  const title = add(head, "span", "imt-title");
  const buttons = { under: add(head, "button", "", "+ under"), without: add(head, "button", "imt-out", "− without") };
  buttons.under.title = "Take the images at or below this synset";
  buttons.without.title = "Leave out the images at or below this synset";
  const tiles = add(shown, "div");
  const foot = add(page, "div", "imt-foot");
  const code = add(foot, "code");
  const about = add(foot, "span", "imt-note");

  function addSynset(parent, synset) {
    const home = synset.parts ? add(parent, "details") : parent;
    const row = add(home, synset.parts ? "summary" : "button", "imt-row");
    row.dataset.wnid = synset.wnid;
    row.title = `${synset.synset} ${synset.wnid}`;
    add(row, "span", "imt-name", synset.name);
    add(row, "span", "imt-count", number(synset.images));
    row.addEventListener("click", () => show(synset));
    if (!synset.parts) return home;
    const parts = add(home, "div", "imt-parts");
    home.addEventListener("toggle", () => {
      if (!home.open || parts.childElementCount) return;
      if (known.has(synset.wnid)) return fill(parts, known.get(synset.wnid));
      add(parts, "span", "imt-note", "...");
      const places = waiting.get(synset.wnid) ?? [];
      waiting.set(synset.wnid, [...places, parts]);
      if (!places.length) model.send({ want: "children", synset: synset.wnid });
    });
    return home;
  }

  function fill(parts, children) {
    parts.replaceChildren();
    for (const child of children) addSynset(parts, child);
    mark();
  }

  function show(synset) {
    current = synset;
    showNote("...");
    model.send({ want: "images", synset: synset.wnid });
    mark();
  }

  function showNote(text) {
    clearTiles();
    tiles.className = "imt-note";
    tiles.textContent = text;
  }

  function clearTiles() {
    urls.forEach(URL.revokeObjectURL);
    urls = [];
    tiles.replaceChildren();
  }

  function showTiles(answer, buffers) {
    clearTiles();
    tiles.className = "imt-tiles";
    const pictures = [...buffers];
    for (const tile of answer.tiles) {
      const figure = add(tiles, "figure");
      if (tile.problem) {
        add(figure, "div", "imt-problem", `cannot be shown: ${tile.problem}`);
      } else {
        urls.push(URL.createObjectURL(new Blob([pictures.shift()], { type: "image/jpeg" })));
        const image = add(figure, "img");
        image.src = urls.at(-1);
        image.alt = tile.caption;
      }
      add(figure, "figcaption", "", tile.caption).title = tile.caption;
    }
    title.textContent = `${current.name}: ${answer.tiles.length} of ${number(answer.total)} images`;
  }

  /** Show which synsets are chosen, and which one is current. */
  function mark() {
    const chosen = (wnid) => ["under", "without"].find((word) => model.get(word).includes(wnid)) ?? "";
    for (const row of tree.querySelectorAll(".imt-row")) {
      row.dataset.chosen = chosen(row.dataset.wnid);
      row.setAttribute("aria-current", String(row.dataset.wnid === current?.wnid));
    }
    for (const [word, button] of Object.entries(buttons)) {
      button.hidden = current === null;
      button.setAttribute("aria-pressed", String(current !== null && chosen(current.wnid) === word));
    }
    if (current === null) title.textContent = "Choose a synset to see its images.";
    else if (!tiles.childElementCount) title.textContent = current.name;
    code.textContent = model.get("code");
    about.textContent = model.get("about");
  }

  /** Put the current synset into one list and out of the other; out of both if it is there already. */
  function toggle(word) {
    const isThere = model.get(word).includes(current.wnid);
    for (const name of Object.keys(buttons)) {
      const others = model.get(name).filter((wnid) => wnid !== current.wnid);
      model.set(name, name === word && !isThere ? [...others, current.wnid] : others);
    }
    model.save_changes();
    mark();
  }

  function receive(answer, buffers) {
    if (answer.children) {
      known.set(answer.synset, answer.children);
      for (const parts of waiting.get(answer.synset) ?? []) fill(parts, answer.children);
      waiting.delete(answer.synset);
    } else if (answer.synset === current?.wnid) {
      if (answer.tiles) showTiles(answer, buffers);
      else showNote(answer.error);
    }
  }

  for (const [word, button] of Object.entries(buttons)) button.addEventListener("click", () => toggle(word));
  const top = addSynset(tree, model.get("top"));
  if (top !== tree) top.open = true;
  const changes = ["under", "without", "code", "about"].map((name) => `change:${name}`);
  changes.forEach((change) => model.on(change, mark));
  model.on("msg:custom", receive);
  mark();
  return () => {
    changes.forEach((change) => model.off(change, mark));
    model.off("msg:custom", receive);
    urls.forEach(URL.revokeObjectURL);
  };
}

export default { render };
