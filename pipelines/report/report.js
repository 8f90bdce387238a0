// Points at a week of a plot, with the pointer or the arrow keys, and says what the table below it says of that week.
for (const figure of document.querySelectorAll("figure")) {
  const plot = figure.querySelector(".plot");
  const table = figure.querySelector("table");
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const weeks = [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent));
  const colours = [...figure.querySelectorAll(".legend li")].map((item) => item.className);
  const cursor = Object.assign(document.createElement("div"), { className: "cursor", hidden: true });
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  tip.setAttribute("aria-live", "polite");
  plot.append(cursor, tip);
  let at = 0;

  const line = (name, value, colour) => {
    const row = document.createElement("div");
    const label = document.createElement("span");
    label.style.cssText = "position: static; font-size: inherit; line-height: inherit; color: inherit";
    if (colour) label.append(Object.assign(document.createElement("i"), { className: colour }));
    label.append(name);
    row.append(label, value);
    return row;
  };
  const show = (week) => {
    at = Math.max(0, Math.min(weeks.length - 1, week));
    const [day, ...values] = weeks[at];
    const width = 100 / weeks.length;
    cursor.style.cssText = `left: ${at * width}%; width: ${width}%`;
    tip.replaceChildren(Object.assign(document.createElement("b"), { textContent: `Week of ${day}` }));
    values.forEach((value, n) => value !== "0" && tip.append(line(heads[n + 1], value, colours[n])));
    tip.style.cssText = at < weeks.length / 2 ? `left: calc(${(at + 1) * width}% + 10px)` : `right: calc(${100 - at * width}% + 10px)`;
    cursor.hidden = tip.hidden = false;
  };
  const hide = () => { cursor.hidden = tip.hidden = true; };

  if (!weeks.length) continue;
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    show(Math.floor((weeks.length * (event.clientX - box.left)) / box.width));
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") hide();
    if (!step) return;
    event.preventDefault();
    show(tip.hidden ? at : at + step);
  });
}
