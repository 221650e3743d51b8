// A formula or table that is wider than its column scrolls inside itself; the keyboard must be able to reach it.
function reachScrollable() {
  for (const box of document.querySelectorAll('.bd-article mjx-container[display="true"], .pst-scrollable-table-container')) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
// The arrows that open a chapter in the sidebar have no name in the theme.
function nameArrows() {
  for (const arrow of document.querySelectorAll("nav.bd-links summary")) {
    const chapter = arrow.closest("li").querySelector("a").textContent.trim();
    arrow.setAttribute("aria-label", `Pages of ${chapter}`);
  }
}

// Docutils gives the entries of a bibliography a role that ARIA has withdrawn.
function nameCitations() {
  for (const entry of document.querySelectorAll('[role="doc-biblioentry"]')) entry.setAttribute("role", "listitem");
}

// The output of a cell tagged `sortable`: the heads of its table become buttons that sort the rows.
function valueOf(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replaceAll(",", ""));
  return Number.isNaN(number) || !/^[-+\d.]/.test(text) ? text : number;
}
function compare(a, b) {
  // What has no number, as a dash, stands below the numbers whichever way they are sorted.
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return typeof a === "number" ? a - b : a.localeCompare(b);
}
function sortRows(table, column, descending) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
  rows.sort(([a], [b]) => compare(a, b) * (descending && typeof a === typeof b ? -1 : 1));
  body.append(...rows.map(([, row]) => row));
  for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
  table.tHead.rows[0].cells[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
}
function makeSortable() {
  for (const table of document.querySelectorAll(".tag_sortable table")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.append(...head.childNodes);
      button.addEventListener("click", () => {
        // Numbers are wanted from the largest down first, names from A on.
        const current = head.getAttribute("aria-sort");
        const first = typeof valueOf(table.tBodies[0].rows[0], column) === "number" ? "descending" : "ascending";
        sortRows(table, column, (current ? { ascending: "descending", descending: "ascending" }[current] : first) === "descending");
      });
      head.append(button);
    });
  }
}

// Paper is light.
const root = document.documentElement;
let theme;
window.addEventListener("beforeprint", () => {
  theme = root.dataset.theme;
  root.dataset.theme = "light";
});
window.addEventListener("afterprint", () => { root.dataset.theme = theme; });

window.addEventListener("load", () => {
  nameCitations();
  makeSortable();
  nameArrows();
  const typeset = window.MathJax?.startup?.promise ?? Promise.resolve();
  typeset.then(reachScrollable);
});
window.addEventListener("resize", reachScrollable);
