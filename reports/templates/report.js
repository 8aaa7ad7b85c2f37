"use strict";
{
  document.documentElement.classList.add("scripted");

  /** The value that a row sorts by: a number or an instant where the cell has one, else its text. */
  function sortValue(row, column) {
    const cell = row.cells[column];
    const exact = cell.dataset.value;
    if (exact === undefined) return cell.textContent.trim();
    if (exact === "") return null;
    return cell.classList.contains("instant") ? exact : Number(exact);
  }

  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  /** Numbers as numbers, texts as people order them. */
  function compare(one, other) {
    return typeof one === "number" ? one - other : collator.compare(one, other);
  }

  /** Sort the rows by a column, the other way round the second time; cells without a value stay last. */
  function sortBy(table, column, header) {
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const rows = Array.from(table.tBodies[0].rows, (row) => ({ row, value: sortValue(row, column) }));
    rows.sort((one, other) => {
      if (one.value === null || other.value === null) return (one.value === null) - (other.value === null);
      return ascending ? compare(one.value, other.value) : compare(other.value, one.value);
    });
    table.tBodies[0].append(...rows.map(({ row }) => row));
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
    const rows = Array.from(document.getElementById(input.dataset.table).tBodies[0].rows);
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const told = input.parentElement.querySelector("output");
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      rows.forEach((row, index) => { row.hidden = !texts[index].includes(wanted); });
      const shown = rows.filter((row) => !row.hidden).length;
      told.textContent = wanted ? `${shown} of ${rows.length} rows` : "";
    });
  }
}
