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

window.addEventListener("load", () => {
  nameCitations();
  nameArrows();
  const typeset = window.MathJax?.startup?.promise ?? Promise.resolve();
  typeset.then(reachScrollable);
});
window.addEventListener("resize", reachScrollable);
