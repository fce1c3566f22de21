// Keys, the slider, the tree and "copy link". Every page works without this file: all of it is links and forms.

const typing = (target) => target.matches("input, textarea, select, [contenteditable], .cm-content");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest(".tree")) return walk(event);
  if (typing(event.composedPath()[0])) return; // the SQL editor is in a shadow root
  if (event.key === "/") {
    event.preventDefault();
    document.querySelector("input[type=search]").focus();
  } else if (event.key === "b") {
    document.querySelector("#toggle-boxes")?.click();
  }
});

// Arrows in the tree: up and down along the rows, right to open, left to close or to go to the parent.
function walk(event) {
  const links = [...document.querySelectorAll(".tree .row > a:not(.add)")].filter((link) => link.checkVisibility());
  const row = event.target.closest(".row");
  const link = row.querySelector("a");
  const button = row.querySelector("button.open");
  const open = button?.ariaExpanded === "true";
  const place = links.indexOf(link);
  const moves = {
    ArrowDown: () => links[place + 1]?.focus(),
    ArrowUp: () => links[place - 1]?.focus(),
    ArrowRight: () => (button && !open ? button.click() : links[place + 1]?.focus()),
    ArrowLeft: () => (open ? button.click() : row.closest("ul").closest("li")?.querySelector(".row > a")?.focus()),
  };
  if (moves[event.key]) {
    event.preventDefault();
    moves[event.key]();
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.open");
  if (button) button.ariaExpanded = button.ariaExpanded === "true" ? "false" : "true";
  const copy = event.target.closest("a.copy");
  if (copy) {
    event.preventDefault();
    await navigator.clipboard.writeText(copy.href);
    copy.textContent = "Copied";
  }
});

document.addEventListener("input", (event) => {
  if (event.target.id === "level") event.target.form.querySelector("output").textContent = event.target.value;
});
document.addEventListener("change", (event) => {
  if (event.target.id === "level") event.target.form.requestSubmit();
  if (event.target.matches(".submits")) event.target.form.requestSubmit();
});

document.documentElement.classList.add("scripted");
const current = document.querySelector(".tree [aria-current]");
const aside = current?.closest("aside");
if (aside) aside.scrollTop = current.getBoundingClientRect().top - aside.getBoundingClientRect().top - aside.clientHeight / 2;
