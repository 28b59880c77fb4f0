// What pages do with a script; each of them works without it.
"use strict";

// A menu closes when the person clicks or tabs elsewhere, or presses Escape.
for (const menu of document.querySelectorAll("header details")) {
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
}

// A double click sends a form once. The button comes back when the browser shows the page again.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.matches("[data-many]")) return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// The switch "Follow the end" of a growing output. A reader who scrolls up switches it off, and on again at the end.
for (const box of document.querySelectorAll("[data-follow]")) {
  const printed = document.getElementById(box.dataset.follow);
  const near = () => printed.scrollHeight - printed.scrollTop - printed.clientHeight < 40;
  const go = () => { if (box.checked) printed.scrollTop = printed.scrollHeight; };
  box.closest("[hidden]").hidden = false;
  box.addEventListener("change", go);
  printed.addEventListener("scroll", () => { box.checked = near(); });
  document.addEventListener("htmx:afterSettle", () => {
    // Old lines go while nobody reads them, so that a page that stays open does not grow.
    const lines = printed.getElementsByClassName("line");
    while (box.checked && lines.length > Number(printed.dataset.lines)) lines[0].remove();
    go();
  });
  if (!location.hash) go();
}

// A part that is replaced keeps what the reader opened and how far they scrolled its tables. The line breaks around
// each new one would add up while a page stays open.
let kept = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.target;
  kept = {
    id: part.id,
    opened: [...part.querySelectorAll("details[open][id]")].map((each) => each.id),
    scrolled: [...part.querySelectorAll(".scroll")].map((each) => each.scrollLeft),
  };
});
document.addEventListener("htmx:afterSwap", () => {
  const part = kept && document.getElementById(kept.id);
  if (!part) return;
  for (const side of ["previousSibling", "nextSibling"]) {
    while (part[side]?.nodeType === Node.TEXT_NODE && !part[side].data.trim()) part[side].remove();
  }
  for (const id of kept.opened) {
    const same = document.getElementById(id);
    if (same) same.open = true;
  }
  part.querySelectorAll(".scroll").forEach((each, at) => { each.scrollLeft = kept.scrolled[at] || 0; });
});

// A page that cannot reach the server says so: what it shows may be old.
const stale = document.getElementById("stale");
if (stale) {
  const say = (event) => { stale.hidden = event.type === "htmx:responseError" && event.detail.xhr.status < 500; };
  for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) document.addEventListener(name, say);
  document.addEventListener("htmx:beforeOnLoad", (event) => { if (event.detail.xhr.status < 400) stale.hidden = true; });
}
