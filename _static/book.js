/* What the theme leaves open for readers with a keyboard, a voice or a screen reader. */
window.addEventListener("load", function () {
  "use strict";
  // Their own words are their names.
  for (const node of document.querySelectorAll("summary[aria-label], .search-button-field[aria-label]")) {
    node.removeAttribute("aria-label");
  }
  // The entries of the bibliography are items of its list.
  for (const node of document.querySelectorAll('.citation-list > [role="doc-biblioentry"]')) {
    node.setAttribute("role", "listitem");
  }
  const side = document.querySelector(".bd-sidebar-primary");
  if (side && !side.hasAttribute("role")) {
    side.setAttribute("role", "navigation");
    side.setAttribute("aria-label", "Book");
  }
  // What scrolls inside its own box can be reached with the keyboard; other formulas are no tab stops.
  function mark() {
    for (const node of document.querySelectorAll("mjx-container[display], .bd-content pre, .bd-content table.table, div.math, .nc-panels")) {
      if (node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflowX !== "visible") node.tabIndex = 0;
      else node.removeAttribute("tabindex");
    }
  }
  function wait(times) {
    const math = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
    if (math) math.then(mark);
    else if (times > 0) setTimeout(wait, 200, times - 1);
  }
  mark();
  wait(100);
  window.addEventListener("resize", mark);
});
