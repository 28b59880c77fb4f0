// Puts CodeMirror over the text field of the page that edits a script. The field stays, holds the text at all times,
// and is what the form sends: without this file the page works the same.
//
// The editor stands in a shadow root: there its styles are style sheets made by a script, which our Content Security
// Policy allows, and not <style> elements, which it forbids.

import { indentWithTab } from "@codemirror/commands";
import { HighlightStyle, StreamLanguage, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { perl } from "@codemirror/legacy-modes/mode/perl";
import { python } from "@codemirror/legacy-modes/mode/python";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { basicSetup } from "codemirror";

const LANGUAGES = { shell, python, perl };

// The page's own colours: they follow light and dark without a word from here.
const theme = EditorView.theme({
  "&": { color: "inherit", backgroundColor: "transparent", height: "100%" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--tblr-font-monospace, monospace)", fontSize: ".875rem", lineHeight: "1.5" },
  ".cm-content": { caretColor: "var(--tblr-body-color)" },
  ".cm-cursor": { borderLeftColor: "var(--tblr-body-color)" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--quiet)", borderRight: "1px solid var(--tblr-border-color)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "rgb(128 128 128 / 10%)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground":
    { backgroundColor: "rgb(64 128 255 / 30%)" },
  ".cm-panels": { backgroundColor: "var(--tblr-bg-surface)", color: "inherit" },
});
const colours = HighlightStyle.define([
  { tag: tags.comment, color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.atom], color: "var(--code-number)" },
  { tag: [tags.variableName, tags.definition(tags.variableName), tags.standard(tags.variableName)], color: "var(--code-name)" },
  { tag: tags.meta, color: "var(--code-comment)" },
]);

// Typed over a selection, a text would take the colours of what it replaces along: the browser writes them into the
// page as an inline style, which our policy forbids. So the editor replaces it before the browser does.
const replacing = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { from, to, empty } = view.state.selection.main;
    if (event.inputType !== "insertText" || !event.data || !event.cancelable || event.isComposing || empty) return false;
    const change = () => view.state.update(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
    const isTaken = view.state.facet(EditorView.inputHandler).some((each) => each(view, from, to, event.data, change));
    if (!isTaken) view.dispatch(change());
    event.preventDefault();
    return true;
  },
});

function over(field, language) {
  const host = document.createElement("div");
  host.className = "form-control editor-host";
  const root = host.attachShadow({ mode: "open" });
  field.after(host);
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: field.value,
      extensions: [
        basicSetup,
        theme,
        syntaxHighlighting(colours),
        replacing,
        indentUnit.of("  "),
        // Tab leaves the editor after Escape, so that the keyboard is not caught in it.
        keymap.of([indentWithTab]),
        language ? StreamLanguage.define(language) : [],
        EditorView.contentAttributes.of({ "aria-label": field.labels[0]?.textContent ?? "Text", id: "editor-content" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) field.value = update.state.doc.toString();
        }),
      ],
    }),
  });
  field.hidden = true;
  for (const label of field.labels) label.addEventListener("click", () => view.focus());
  // A page that comes out of the browser's history has what was typed in its field.
  addEventListener("pageshow", () => {
    const text = view.state.doc.toString();
    if (field.value !== text)
      view.dispatch({ changes: { from: 0, to: text.length, insert: field.value } });
  });
  return view;
}

for (const place of document.querySelectorAll(".editor")) {
  const field = place.querySelector("textarea");
  if (field) over(field, LANGUAGES[place.dataset.language]);
}
