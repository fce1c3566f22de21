// The editor of the explorer's SQL page: data/make_explorer_assets.py bundles it with CodeMirror.
import { autocompletion, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { sql, PostgreSQL } from "@codemirror/lang-sql";
import { defaultHighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";

// A strict Content-Security-Policy forbids <style> elements. In a shadow root CodeMirror uses constructed sheets.
window.makeSqlEditor = (home, text, schema, run) => {
  const root = home.attachShadow({ mode: "open" });
  const parent = root.appendChild(document.createElement("div"));
  const theme = EditorView.theme({
    "&": { fontSize: "13px", minHeight: "7em" },
    ".cm-content": { fontFamily: "ui-monospace, SFMono-Regular, Menlo, monospace", caretColor: "currentColor" },
    ".cm-tooltip": { background: "var(--panel)", color: "var(--ink)", border: "1px solid var(--line)" },
    "&.cm-focused": { outline: "none" },
    ".cm-cursor": { borderLeftColor: "currentColor" },
  });
  return new EditorView({
    root,
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        history(),
        autocompletion(),
        sql({ dialect: PostgreSQL, schema, upperCaseKeywords: true }),
        syntaxHighlighting(defaultHighlightStyle),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": "SQL" }),
        keymap.of([{ key: "Mod-Enter", run }, ...completionKeymap, ...defaultKeymap, ...historyKeymap]),
        theme,
      ],
    }),
  });
};
