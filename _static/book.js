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
  // A formula that is a little wider than its place is set smaller; one that is much wider scrolls. What a cell prints
  // is a little smaller where that keeps its lines whole; where not, a table scrolls and anything else wraps.
  const SMALLEST = 0.7;
  const SMALLEST_PRINT = 0.8;
  function isTable(text) {
    const lines = text.split("\n").filter((line) => line.trim());
    const rows = lines.filter((line) => line.trim().split(/ {2,}/).length >= 4);
    return rows.length >= 3 && rows.length >= 0.8 * lines.length;
  }
  function fitPrint() {
    const printed = [...document.querySelectorAll(".cell_output pre")].filter((node) => node.offsetParent);
    for (const node of printed) Object.assign(node.style, { fontSize: "", whiteSpace: "pre" });
    const fits = printed.map(function (node) {
      const style = getComputedStyle(node);
      const [left, right, size] = [style.paddingLeft, style.paddingRight, style.fontSize].map(parseFloat);
      const ratio = (node.clientWidth - left - right) / (node.scrollWidth - left);
      const tooWide = node.scrollWidth > node.clientWidth, shrinks = tooWide && ratio >= SMALLEST_PRINT;
      const fontSize = shrinks ? `${Math.floor(size * ratio * 100) / 100}px` : "";
      return { fontSize, scrolls: tooWide && !shrinks && isTable(node.textContent) };
    });
    printed.forEach(function (node, i) {
      Object.assign(node.style, { fontSize: fits[i].fontSize, whiteSpace: "" });
      node.classList.toggle("nc-columns", fits[i].scrolls);
    });
  }
  function fit() {
    const formulas = [...document.querySelectorAll(".bd-content mjx-container")].filter((node) => node.offsetParent);
    for (const node of formulas) node.style.fontSize = "";
    const sizes = formulas.map(function (node) {
      const block = node.hasAttribute("display") ? node : node.closest("p, li, dd, td, th, figcaption, summary") || node;
      const ratio = block.clientWidth / (node.firstElementChild || node).scrollWidth;
      const size = parseFloat(getComputedStyle(node).fontSize);
      return ratio < 0.999 && ratio >= SMALLEST ? `${Math.floor(size * ratio * 100) / 100}px` : "";
    });
    formulas.forEach((node, i) => (node.style.fontSize = sizes[i]));
  }
  function fade(event) {
    const node = event.target;
    node.classList.toggle("nc-more", node.scrollLeft + node.clientWidth < node.scrollWidth - 1);
  }
  // What scrolls inside its own box can be reached with the keyboard; other formulas are no tab stops.
  function mark() {
    fit();
    fitPrint();
    const scrolling = "mjx-container[display], .bd-content pre, .bd-content table.table, div.math, .nc-panels";
    for (const node of document.querySelectorAll(scrolling)) {
      const scrolls = node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflowX !== "visible";
      if (scrolls) node.tabIndex = 0;
      else node.removeAttribute("tabindex");
      if (node.matches("pre, .nc-panels")) continue; // these have their shadows
      node.classList.toggle("nc-more", scrolls && node.scrollLeft + node.clientWidth < node.scrollWidth - 1);
      node.addEventListener("scroll", fade);
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
  // What was folded away had no width until now.
  document.addEventListener("toggle", mark, true);
  document.addEventListener("click", function (event) {
    if (event.target.closest(".toggle-button, .toggle > .admonition-title")) setTimeout(mark, 50);
  });
});
