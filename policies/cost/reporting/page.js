"use strict";
const table = document.querySelector("table");
const heads = [...table.tHead.rows[0].cells];
heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
  const up = head.getAttribute("aria-sort") === "descending" || (!head.hasAttribute("aria-sort") && head.className === "name");
  const value = (row) => row.cells[column].dataset.value;
  const compare = head.className === "name"
    ? (one, other) => value(one).localeCompare(value(other))
    : (one, other) => Number(BigInt(value(one)) - BigInt(value(other)));
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((one, other) => (up ? compare(one, other) : compare(other, one)));
  heads.forEach((one) => one.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...rows);
}));
