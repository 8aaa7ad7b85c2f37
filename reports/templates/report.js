"use strict";
document.documentElement.classList.add("scripted");

/** The value that a cell sorts by: its number where it has one, else its text. */
function valueOf(row, column) {
  const cell = row.cells[column];
  const exact = cell.dataset.value;
  if (exact === undefined) return cell.textContent.trim().toLowerCase();
  return exact === "" ? -Infinity : Number(exact);
}

function sortBy(table, column, header) {
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const rows = Array.from(table.tBodies[0].rows).map((row, index) => [valueOf(row, column), index, row]);
  rows.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1]) * (ascending ? 1 : -1));
  for (const [, , row] of rows) table.tBodies[0].appendChild(row);
}

for (const table of document.querySelectorAll("table.sortable")) {
  Array.from(table.tHead.rows[0].cells).forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    header.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, column, header));
  });
}

for (const input of document.querySelectorAll(".filter input")) {
  const table = document.getElementById(input.dataset.table);
  const told = input.parentElement.querySelector("output");
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    told.textContent = wanted ? `${shown} rows` : "";
  });
}
