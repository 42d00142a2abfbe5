"use strict";
(() => {
  const key = (row, column) => {
    const cell = row.cells[column];
    if ("missing" in cell.dataset) return [2, 0];
    return "v" in cell.dataset ? [0, Number(cell.dataset.v)] : [1, cell.textContent];
  };
  const compare = (a, b) => a[0] === 1 ? a[1].localeCompare(b[1], undefined, {numeric: true}) : (a[1] > b[1]) - (a[1] < b[1]);
  const sort = (table, head) => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const body = table.tBodies[0];
    const keyed = [...body.rows].map(row => ({row, key: key(row, head.cellIndex)}));
    keyed.sort((a, b) => a.key[0] !== b.key[0] ? a.key[0] - b.key[0] : sign * compare(a.key, b.key));
    body.append(...keyed.map(each => each.row));
  };
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    table.tHead.addEventListener("click", event => {
      if (event.target.closest("button")) sort(table, event.target.closest("th"));
    });
  }
  const light = (event, on) => {
    const element = event.target.closest && event.target.closest("[data-id]");
    if (!element) return;
    for (const each of document.querySelectorAll(`[data-id="${CSS.escape(element.dataset.id)}"]`)) each.classList.toggle("hl", on);
  };
  document.addEventListener("mouseover", event => light(event, true));
  document.addEventListener("mouseout", event => light(event, false));

  const root = document.documentElement;
  const systemIsDark = matchMedia("(prefers-color-scheme:dark)");
  const isDark = () => (root.dataset.theme || (systemIsDark.matches ? "dark" : "light")) === "dark";
  const button = document.createElement("button");
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.type = "button";
  button.className = "theme";
  button.title = "Change between light and dark";
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  systemIsDark.addEventListener("change", name);
  name();
  document.querySelector("header").prepend(button);
})();
