/* Turn the page at hand into what a reader of books can show: MathML for formulas, no scripts, no controls.
   Returns its title, its headings, and its text as XHTML. */
() => {
  const article = document.querySelector("article.bd-article");
  const all = (what) => article.querySelectorAll(what);
  const TO_DROP = "script, style, link, .headerlink, svg.svg-inline--fa, .tb-icon, .copybtn, .toggle-button, form, .nccheck-said, " +
    "details.hide.above-input, .sd-summary-state-marker, .sd-summary-icon, .nclive > :not(.nclive-still), #jb-print-docs-body";
  const KEPT = new Set(["id", "class", "href", "title", "src", "alt", "colspan", "rowspan", "scope", "start"]);

  function rename(node, tag) {
    const made = document.createElement(tag);
    for (const { name, value } of node.attributes) made.setAttribute(name, value);
    made.append(...node.childNodes);
    node.replaceWith(made);
    return made;
  }
  const text = (node) => node.textContent.replace(/\s+/g, " ").trim();

  /* Readers know few variants of letters; the letters themselves exist: a bold 1 is no 1. */
  const FIRST = { bold: [0x1d400, 0x1d41a, 0x1d7ce], "double-struck": [0x1d538, 0x1d552, 0x1d7d8], script: [0x1d49c, 0x1d4b6, 0x30] };
  const ELSEWHERE = {
    "double-struck": { C: "\u2102", H: "\u210d", N: "\u2115", P: "\u2119", Q: "\u211a", R: "\u211d", Z: "\u2124" },
    script: { B: "\u212c", E: "\u2130", F: "\u2131", H: "\u210b", I: "\u2110", L: "\u2112", M: "\u2133", R: "\u211b" },
  };
  function letter(variant, sign) {
    const at = [/[A-Z]/, /[a-z]/, /[0-9]/].findIndex((kind) => kind.test(sign));
    const own = (ELSEWHERE[variant] || {})[sign];
    return own || (at < 0 ? sign : String.fromCodePoint(FIRST[variant][at] + sign.codePointAt(0) - [65, 97, 48][at]));
  }
  for (const node of all("math [mathvariant]")) {
    const variant = node.getAttribute("mathvariant");
    if (!(variant in FIRST)) continue;
    node.textContent = [...node.textContent].map((sign) => letter(variant, sign)).join("");
    node.removeAttribute("mathvariant");
  }

  for (const box of all(".nc-panels")) box.replaceWith(box.querySelector("img:not(.only-dark)"));
  for (const box of all("mjx-container")) box.replaceWith(box.querySelector("mjx-assistive-mml math"));
  for (const box of all(".ncx-controls")) {
    const said = [...box.querySelectorAll(".ncx-row, .ncx-two")].map(function (row) {
      const value = row.querySelector("output, [aria-pressed=true]");
      return text(row.querySelector("span")) + ": " + (value ? text(value) : "");
    });
    const line = document.createElement("p");
    line.className = "shown";
    line.textContent = said.join(", ");
    box.replaceWith(line);
  }
  for (const node of all(TO_DROP)) node.remove();
  for (const node of all(".nccheck-choices > li > button")) node.replaceWith(...node.childNodes);
  for (const node of all("button, input")) node.remove();
  for (const node of all("summary")) rename(node, "p").className = "opened";
  for (const node of all("details, output, label")) rename(node, node.tagName === "DETAILS" ? "div" : "span");

  const seen = new Set();
  for (const node of all("*")) {
    const math = node.namespaceURI.endsWith("MathML");
    for (const name of node.getAttributeNames()) {
      if (math ? name.startsWith("data-") || name === "class" : !KEPT.has(name)) node.removeAttribute(name);
    }
    if (node.id && (seen.has(node.id) || /[\s/]/.test(node.id))) node.removeAttribute("id");
    if (node.id) seen.add(node.id);
    if (node.getAttribute("class") === "") node.removeAttribute("class");
  }
  const headings = [...all("section[id] > h2")].map((node) => [node.parentElement.id, text(node)]);
  const title = text(article.querySelector("h1"));
  const inside = [...article.childNodes].map((node) => new XMLSerializer().serializeToString(node)).join("");
  return { title, headings, ids: [...seen], text: inside };
}
