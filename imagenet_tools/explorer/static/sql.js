// The editor of the SQL page. Without this file the page has a plain text field.
const form = document.querySelector("#sql");
const field = form.querySelector("#query");
const run = () => (form.requestSubmit(), true);
const home = document.querySelector("#editor");
const editor = window.makeSqlEditor(home, field.value, JSON.parse(home.dataset.schema), run);
field.hidden = true;
form.addEventListener("submit", () => {
  field.value = editor.state.doc.toString();
});
