/* References that open: a term's definition, a theorem's statement or an equation in a card, on hover or focus.
   The pointer may enter the card, Escape closes it, and a tap follows the link. The texts come with the first card. */
(function () {
  "use strict";
  const WAIT = 200; // ms before a pointer opens or closes a card
  const GAP = 6; // px between the line and the card
  const REFERENCE = ".bd-article a.reference.internal[href*='#']";
  const TALLEST = 480; // px
  const root = new URL(document.documentElement.dataset.content_root || "./", location.href);
  const card = document.createElement("div");
  let texts; // undefined until asked for
  let asked; // the link that waits for the texts
  let shown = null; // the link whose card is open
  let timer = 0;

  function load(file) {
    document.head.append(Object.assign(document.createElement("script"), { src: new URL(file, root).href }));
  }

  /* The key of a link is its address below the book's root. */
  function textOf(link) {
    const address = new URL(link.href);
    const path = address.pathname.slice(root.pathname.length);
    return address.pathname.startsWith(root.pathname) ? texts[path + decodeURIComponent(address.hash)] : undefined;
  }

  function typeset() {
    if (!card.querySelector(".math")) return Promise.resolve();
    if (!window.MathJax) {
      window.MathJax = { startup: { typeset: false }, options: { enableMenu: false, processHtmlClass: "math" } };
      load("_static/mathjax/tex-chtml.js");
    }
    if (MathJax.typesetPromise) return MathJax.startup.promise.then(() => MathJax.typesetPromise([card]));
    return new Promise((done) => setTimeout(done, 50)).then(() => (shown ? typeset() : undefined));
  }

  /* A formula wider than the card is set smaller. */
  function fit() {
    for (const formula of card.querySelectorAll("mjx-container[display]")) {
      const number = formula.parentElement.querySelector(".eqno");
      const room = formula.parentElement.clientWidth - (number ? number.offsetWidth + 10 : 0);
      const wide = formula.firstElementChild.scrollWidth;
      if (wide > room) formula.style.fontSize = (parseFloat(getComputedStyle(formula).fontSize) * room) / wide + "px";
    }
  }

  /* Under the line that is pointed at, or above it where there is more room; never beyond the window's edge. */
  function place(link, x) {
    const lines = [...link.getClientRects()];
    const line = lines.find((box) => x >= box.left && x <= box.right) || lines[0];
    if (!line) return;
    const wide = document.documentElement.clientWidth;
    card.style.maxHeight = "";
    card.style.left = card.style.top = "0";
    const below = innerHeight - line.bottom - 2 * GAP;
    const above = line.top - 2 * GAP;
    const under = card.offsetHeight <= below || below >= above;
    card.style.maxHeight = Math.max(80, Math.min(under ? below : above, 420)) + "px";
    const left = Math.max(GAP, Math.min(line.left, wide - card.offsetWidth - GAP));
    const top = under ? line.bottom + GAP : line.top - GAP - card.offsetHeight;
    card.style.left = left + scrollX + "px";
    card.style.top = top + scrollY + "px";
    if (card.scrollHeight > card.clientHeight + 1 || card.scrollWidth > card.clientWidth + 1) card.tabIndex = 0;
    else card.removeAttribute("tabindex");
  }

  const focused = () => shown && [shown, card].includes(document.activeElement);

  function close() {
    clearTimeout(timer);
    asked = null;
    if (!shown) return;
    shown.removeAttribute("aria-describedby");
    shown = null;
    if (window.MathJax && MathJax.typesetClear) MathJax.typesetClear([card]);
    if (card.matches(":popover-open")) card.hidePopover();
    card.remove();
  }

  function open(link, x) {
    clearTimeout(timer);
    if (shown === link) return;
    close();
    if (!texts) {
      asked = { link, x };
      if (texts === undefined) load("cardtexts.js");
      texts = null;
      return;
    }
    const text = textOf(link);
    if (!text) return;
    shown = link;
    card.innerHTML = '<p class="nc-card-title">' + text[0] + "</p>" + text[1];
    link.after(card); // so that Tab leads from the link into a card that scrolls
    link.setAttribute("aria-describedby", card.id);
    card.showPopover();
    place(link, x);
    typeset().then(function () {
      if (shown !== link) return;
      fit();
      place(link, x);
    });
  }

  window.ncCards = function (found) {
    texts = found;
    if (asked) open(asked.link, asked.x);
  };

  function begin() {
    if (!card.showPopover) return; // an old browser: references stay links
    Object.assign(card, { id: "nc-card", className: "nc-card", popover: "manual" });
    card.setAttribute("role", "tooltip");
    document.addEventListener("pointerover", function (event) {
      if (event.pointerType === "touch") return;
      const link = event.target.closest(REFERENCE);
      if (link && link !== shown) {
        clearTimeout(timer);
        timer = setTimeout(open, WAIT, link, event.clientX);
      } else if (link || card.contains(event.target)) clearTimeout(timer);
    });
    document.addEventListener("pointerout", function (event) {
      const from = card.contains(event.target) ? card : event.target.closest(REFERENCE);
      if (!from || from.contains(event.relatedTarget)) return;
      clearTimeout(timer);
      timer = setTimeout(() => focused() || close(), WAIT);
    });
    document.addEventListener("focusin", function (event) {
      const link = event.target.closest(REFERENCE);
      if (link && link.matches(":focus-visible")) open(link);
      else if (event.target !== card) close();
    });
    document.addEventListener("focusout", function (event) {
      if (!event.relatedTarget && !card.matches(":hover")) close();
    });
    document.addEventListener("keydown", function (event) {
      if (event.key !== "Escape" || !shown) return;
      if (document.activeElement === card) shown.focus();
      close();
    });
    document.addEventListener("click", (event) => event.target.closest(REFERENCE) && close());
    addEventListener("resize", close);
  }
  begin();
})();
