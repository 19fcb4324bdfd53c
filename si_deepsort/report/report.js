"use strict";
// Sorts and filters the table of units, opens the card that a link names, and enlarges the map of the probe.
const table = document.getElementById("units");
if (table) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const valueOf = (row, column) => {
    const text = row.cells[column].textContent.trim();
    // "0.93 0.88 to 0.97" counts as its first number.
    const number = Number(text.split(" ")[0]);
    return text !== "" && !Number.isNaN(number) ? number : text;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b
    : typeof a === typeof b ? a.localeCompare(b, "en", { numeric: true })
    : typeof a === "number" ? 1 : -1;
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = cell.textContent;
    cell.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
      rows.sort((a, b) => down * compare(valueOf(a, column), valueOf(b, column)));
      body.append(...rows);
    });
  });
  const filter = document.getElementById("filter");
  const onlyChecked = document.getElementById("only-checked");
  const titles = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim().toLowerCase());
  // "snr > 5" compares the first column whose title begins with "snr".
  const comparison = (wanted) => {
    const [, name, sign, limit] = wanted.match(/^(.+?)\s*([<>])=?\s*(-?[\d.]+)$/) || [];
    const column = name === undefined ? -1 : titles.findIndex((title) => title.startsWith(name));
    if (column < 0) return null;
    return (row) => {
      const value = valueOf(row, column);
      return typeof value === "number" && (sign === ">" ? value >= limit : value <= limit);
    };
  };
  // Words are looked for in the unit, its label and its failed checks.
  const named = [0, titles.indexOf("label"), titles.length - 1].filter((column) => column >= 0);
  const update = () => {
    const wanted = filter.value.trim().toLowerCase();
    const compared = comparison(wanted);
    let shown = 0;
    for (const row of rows) {
      const label = row.cells[row.cells.length - 1].textContent.trim();
      const text = named.map((column) => row.cells[column].textContent).join(" ").toLowerCase();
      row.hidden = !(compared ? compared(row) : text.includes(wanted)) || (onlyChecked.checked && label === "");
      shown += row.hidden ? 0 : 1;
    }
    document.getElementById("count").textContent = `${shown} of ${rows.length} units`;
  };
  filter.addEventListener("input", update);
  onlyChecked.addEventListener("change", update);
  update();
}
// Drawings of a card are text until it is opened: a browser that builds a thousand cards at once takes seconds.
const fill = (card) => {
  const stored = card.querySelector(":scope > script");
  if (stored) {
    stored.insertAdjacentHTML("afterend", stored.textContent);
    stored.remove();
  }
};
document.addEventListener("toggle", (event) => {
  if (event.target.open && event.target.classList.contains("unit")) fill(event.target);
}, true);
const openLinked = () => {
  const card = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (card instanceof HTMLDetailsElement) {
    fill(card);
    card.open = true;
    card.scrollIntoView();
    card.querySelector("summary").focus({ preventScroll: true });
  }
};
addEventListener("hashchange", openLinked);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#unit-']");
  if (link && link.getAttribute("href") === location.hash) openLinked();
});
openLinked();
const zoom = document.getElementById("zoom");
const map = document.getElementById("map");
if (zoom && map) {
  const width = map.getAttribute("width");
  zoom.addEventListener("input", () => { map.style.width = `${width * zoom.value}px`; });
}
