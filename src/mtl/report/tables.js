// Tables are sorted by a click on a column's name: numbers by value, texts by the alphabet; a second click turns the order.
const value = cell => cell.dataset.sort ?? cell.textContent.trim().replace(/\u202f/g, "").replace("\u2212", "-");
const order = (a, b) => {
  const [x, y] = [Number.parseFloat(a), Number.parseFloat(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? Number.isNaN(x) - Number.isNaN(y) || a.localeCompare(b) : x - y;
};

function sort(table, index, head) {
  const turn = head.ariaSort === "ascending" ? -1 : 1;
  for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
  head.ariaSort = turn > 0 ? "ascending" : "descending";
  const rows = [...table.tBodies[0].rows].sort((a, b) => turn * order(value(a.cells[index]), value(b.cells[index])));
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  if (table.tBodies[0].rows.length < 2) continue;
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(table, index, head));
  });
}

// Long tables have a field that hides the rows without its words.
for (const table of document.querySelectorAll("table.searchable")) {
  const field = document.createElement("input");
  field.type = "search";
  field.className = "search";
  field.placeholder = "Search";
  field.setAttribute("aria-label", "Search this table");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of table.tBodies[0].rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
  });
  table.closest(".scroll").before(field);
}
