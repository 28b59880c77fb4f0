// Disabled times by dragging over the drawn week. It writes the lines that a person could type, and sends nothing.
"use strict";

{
  const LEFT = 72, PER_MINUTE = 0.5, STEP = 30, DAY = 1440; // as views/drawing.py draws
  const SVG = "http://www.w3.org/2000/svg";
  let drag = null;

  // Where the pointer is: which drawn day, and which minute of it.
  const place = (week, event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(week.getScreenCTM().inverse());
    const rows = [...week.querySelectorAll("[data-day]")];
    const row = Math.min(rows.length - 1, Math.max(0, Math.floor(at.y / Number(week.dataset.row))));
    return { rows, row, minute: Math.min(DAY, Math.max(0, (at.x - LEFT) / PER_MINUTE)) };
  };
  const clock = (minute) => [Math.floor(minute / 60), minute % 60].map((each) => String(each).padStart(2, "0")).join(":");
  const chosen = (to) => {
    const [first, last] = [drag.row, to.row].sort((a, b) => a - b);
    const [early, late] = [drag.minute, to.minute].sort((a, b) => a - b);
    const begins = Math.min(DAY - STEP, Math.floor(early / STEP) * STEP);
    return { rows: to.rows.slice(first, last + 1), begins, ends: Math.max(begins + STEP, Math.ceil(late / STEP) * STEP) };
  };
  const show = (to) => {
    for (const old of drag.week.querySelectorAll(".drawn-now")) old.remove();
    if (!to) return;
    for (const row of to.rows) {
      const box = document.createElementNS(SVG, "rect");
      const sizes = { x: LEFT + to.begins * PER_MINUTE, y: 2, width: (to.ends - to.begins) * PER_MINUTE, height: 20 };
      for (const [name, value] of Object.entries(sizes)) box.setAttribute(name, value);
      box.setAttribute("class", "drawn-now");
      row.append(box);
    }
  };
  const write = (to) => {
    const field = document.getElementById(drag.week.dataset.disables);
    const line = `${to.rows.map((row) => row.dataset.day).join(" ")} ${clock(to.begins)}-${clock(to.ends)}`;
    field.value = [...field.value.split("\n").filter((each) => each.trim()), line].join("\n");
    field.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // A finger scrolls the drawing, as everywhere.
  document.addEventListener("pointerdown", (event) => {
    const week = event.target.closest?.("svg[data-disables]");
    if (!week || event.pointerType === "touch" || event.button !== 0) return;
    event.preventDefault();
    const { row, minute } = place(week, event);
    drag = { week, row, minute, x: event.clientX, y: event.clientY, far: false };
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    drag.far ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 4; // a click is no drag
    if (drag.far) show(chosen(place(drag.week, event)));
  });
  document.addEventListener("pointerup", (event) => {
    if (!drag) return;
    show(null);
    if (drag.far && drag.week.isConnected) write(chosen(place(drag.week, event)));
    drag = null;
  });
  const give_up = () => {
    if (drag) show(null);
    drag = null;
  };
  document.addEventListener("pointercancel", give_up);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") give_up(); });
}
