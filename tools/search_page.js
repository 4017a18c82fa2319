/* The search page: excerpts from the texts that follow, the section that fits best, chapters before the appendix. */
(function (texts) {
  "use strict";
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false; // it would fetch the page
  const LENGTH = 240;
  const SUFFIX = DOCUMENTATION_OPTIONS.LINK_SUFFIX || "";
  let query = "";
  let words = []; // as the index has them: stems
  let marked = [];

  const count = (text, word) => text.split(word).length - 1;
  const hits = (text) => words.reduce((sum, word) => sum + count(text, word), 0);
  const whole = (section) => (section[1] + " " + section[2]).toLowerCase();

  function fit(section) {
    const text = whole(section);
    const found = words.filter((word) => text.includes(word)).length;
    return 1000 * found + 500 * count(section[1].toLowerCase(), query) + 100 * count(text, query) + hits(text);
  }

  function best(name, anchor) {
    const sections = texts[name] || [];
    const named = sections.find((section) => section[0] === anchor);
    return named || sections.reduce((a, b) => (a && fit(a) >= fit(b) ? a : b), undefined);
  }

  Scorer.score = function (item) {
    const [name, title, , about, score] = item;
    const exact = about !== null && query !== "" && title.toLowerCase().split(".").pop() === query;
    const said = (texts[name] || []).reduce((sum, section) => sum + hits(whole(section)), 0);
    const chapter = name.startsWith("chapters/");
    return score + (exact ? 400 : 0) + (chapter ? 200 : 0) + (about === null ? Math.min(said, 100) / 10 : 0);
  };

  const perform = Search._performSearch;
  Search._performSearch = function (text, stems, excluded, highlight, objects) {
    query = text.toLowerCase().trim();
    words = [...stems].map((word) => word.toLowerCase());
    marked = [...highlight];
    const results = perform(text, stems, excluded, highlight, objects);
    for (const item of results) {
      const section = item[2] === "" && item[3] === null && best(item[0], "");
      if (section && section !== texts[item[0]][0]) item[2] = "#" + section[0];
    }
    // Two ways to one place are one result: the last of them is the better one.
    const key = (item) => item[0] + item[2];
    return results.filter((item, i) => !results.slice(i + 1).some((later) => key(later) === key(item)));
  };

  function excerpt(section) {
    const low = section[2].toLowerCase();
    const places = [query, ...words].map((word) => low.indexOf(word)).filter((at) => at >= 0);
    let begin = Math.max(0, (places[0] || 0) - LENGTH / 3);
    if (begin > 0) begin = section[2].indexOf(" ", begin) + 1;
    const end = begin + LENGTH < low.length ? section[2].lastIndexOf(" ", begin + LENGTH) : low.length;
    return (begin > 0 ? "\u2026 " : "") + section[2].slice(begin, end) + (end < low.length ? " \u2026" : "");
  }

  function describe(item) {
    const link = item.querySelector("a");
    if (!link || item.querySelector(":scope > .context, :scope > span")) return;
    const [file, anchor] = link.getAttribute("href").split("#");
    const section = best(file.slice(0, file.length - SUFFIX.length), anchor);
    if (!section) return;
    if (!link.textContent.includes(section[1])) link.append(" \u203a " + section[1]);
    const place = document.createElement("p");
    place.className = "context";
    place.textContent = excerpt(section);
    item.append(place);
    if (SPHINX_HIGHLIGHT_ENABLED) for (const word of marked) _highlightText(place, word, "highlighted");
  }

  document.addEventListener("DOMContentLoaded", function () {
    const place = document.getElementById("search-results");
    place.querySelectorAll("li").forEach(describe); // the first may be there already
    new MutationObserver(function (changes) {
      for (const change of changes) for (const node of change.addedNodes) if (node.nodeName === "LI") describe(node);
    }).observe(place, { childList: true, subtree: true });
  });
});
