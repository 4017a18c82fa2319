/* "Check yourself": choices that answer, numbers that are compared. Without this script the answers are in a <details>.
   In the source: a question, an ordered list of choices, and <details class="nccheck"> with one explanation a choice, of
   which the right one begins "Right."; or a question and <details class="nccheck" data-answer data-within="2%">.
   Nothing is stored. */
document.addEventListener("DOMContentLoaded", function () {
  "use strict";
  function make(tag, options, parent) {
    const node = Object.assign(document.createElement(tag), options);
    if (parent) parent.append(node);
    return node;
  }

  /* "-1/9", "0,111", "6.7e1" and "27 %" are numbers; anything else is NaN. */
  function read(text) {
    const plain = text.trim().replace(/[\u2212\u2013]/g, "-").replace(",", ".");
    const parts = plain.replace(/\s*%$/, "").split("/").map((part) => (part.trim() === "" ? NaN : Number(part)));
    const value = parts.length > 2 ? NaN : parts.length === 2 ? parts[0] / parts[1] : parts[0];
    return plain.endsWith("%") ? value / 100 : value;
  }

  function verdict(value, answer, within) {
    const off = Math.abs(value - answer);
    if (!Number.isFinite(value)) return "This is not a number. Digits, a decimal point and a fraction like 1/3 are.";
    if (off <= within * Math.abs(answer)) return "";
    if (Math.abs(value + answer) <= within * Math.abs(answer)) return "The size is right, the sign is not.";
    if (off <= 0.1 * Math.abs(answer)) return "Close, but not within the tolerance.";
    return value < answer ? "Too small." : "Too large.";
  }

  /* Say it below the question; a copy, so that the list of all answers stays as it is. */
  function say(place, good, nodes) {
    place.className = "nccheck-said " + (good ? "nccheck-right" : "nccheck-wrong");
    place.replaceChildren(...nodes);
    if (window.MathJax && MathJax.typesetPromise) MathJax.typesetPromise([place]);
  }
  const copies = (node) => [...node.childNodes].map((child) => child.cloneNode(true));

  function choices(details, list, place) {
    const why = [...details.querySelectorAll("ol > li")];
    list.classList.add("nccheck-choices");
    list.setAttribute("role", "list");
    [...list.children].forEach(function (item, i) {
      const button = make("button", { type: "button" });
      const inside = item.children.length === 1 && item.firstElementChild.tagName === "P" ? item.firstElementChild : item;
      button.append(...inside.childNodes);
      item.replaceChildren(button);
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", function () {
        const good = why[i].textContent.trim().startsWith("Right.");
        for (const other of list.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
        item.classList.add(good ? "nccheck-right" : "nccheck-wrong");
        say(place, good, copies(why[i]));
      });
    });
  }

  function number(details, question, place) {
    const form = make("form", { className: "nccheck-number", autocomplete: "off" });
    const label = make("label", { textContent: "Your number " }, form);
    const field = make("input", { type: "text", inputMode: "text", size: 10, autocomplete: "off" }, label);
    make("button", { type: "submit", textContent: "Check" }, form);
    field.setAttribute("aria-describedby", question.id);
    form.addEventListener("submit", function (event) {
      event.preventDefault();
      const wrong = verdict(read(field.value), read(details.dataset.answer), read(details.dataset.within));
      const right = [make("strong", { textContent: "Right. " }), ...copies(details.querySelector("p"))];
      say(place, !wrong, wrong ? [make("span", { textContent: wrong })] : right);
    });
    details.before(form);
  }

  document.querySelectorAll("details.nccheck").forEach(function (details, i) {
    const before = details.previousElementSibling;
    const list = before && before.tagName === "OL" ? before : null;
    const question = list ? list.previousElementSibling : before;
    if (!question || (!list && !("answer" in details.dataset))) return;
    question.id = question.id || "nccheck-" + (i + 1);
    const place = make("div", { className: "nccheck-said" });
    place.setAttribute("role", "status");
    place.setAttribute("aria-live", "polite");
    if (list) {
      list.setAttribute("aria-labelledby", question.id);
      choices(details, list, place);
    } else number(details, question, place);
    details.before(place);
  });
});
