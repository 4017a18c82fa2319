/* What every live experiment shares: stage, controls, dragging, numbers, the frame loop, state in the address.
   A classic script without dependencies; laid into the page once or many times, it installs itself once. */
(function () {
  "use strict";
  if (window.ncLive) return;
  const SVG = "http://www.w3.org/2000/svg";
  const factories = {};
  const still = window.matchMedia ? window.matchMedia("(prefers-reduced-motion: reduce)") : { matches: false };

  function html(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  }

  function svg(tag, attributes, parent) {
    const node = document.createElementNS(SVG, tag);
    set(node, attributes);
    if (parent) parent.append(node);
    return node;
  }

  function set(node, attributes) {
    for (const [key, value] of Object.entries(attributes || {})) {
      const text = typeof value === "number" ? String(Math.round(value * 100) / 100) : value;
      if (node.getAttribute(key) !== text) node.setAttribute(key, text);
    }
    return node;
  }

  /* A number as a reader wants it: a fixed count of decimals, a true minus sign, never "-0". */
  function show(value, decimals) {
    if (!Number.isFinite(value)) return Number.isNaN(value) ? "–" : value > 0 ? "∞" : "−∞";
    const text = Math.abs(value).toFixed(decimals);
    return (value < 0 && Number(text) !== 0 ? "−" : "") + text;
  }

  /* The same of a number too small or too large for decimals: 2.5 · 10⁻⁶. */
  const power = (k) => "10" + String(k).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
  function scientific(value) {
    const [digits, exponent] = Math.abs(value).toExponential(1).split("e");
    return (value < 0 ? "−" : "") + digits + "\u00a0·\u00a0" + power(Number(exponent));
  }

  /* A place in space as the reader sees it: turned about the vertical, then tipped forward. Returns x, y, depth. */
  function seen([x, y, z], yaw, pitch) {
    const c = Math.cos(yaw), s = Math.sin(yaw), a = Math.cos(pitch), b = Math.sin(pitch), back = -s * x + c * z;
    return [c * x + s * z, a * y - b * back, b * y + a * back];
  }

  /* Mulberry32: reproducible draws from a whole number. */
  function random(seed) {
    let a = seed >>> 0;
    return function () {
      a = (a + 0x6d2b79f5) >>> 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  function Lab(box, parameters) {
    this.box = box;
    this.parameters = parameters;
    this.panel = html("div", { class: "nclive-panel" });
    this.into = this.panel; // where controls go
    this.figures = html("div", { class: "nclive-figures" });
    this.status = html("p", { class: "nclive-status", "aria-live": "polite", role: "status" });
    this.setters = {};
    this.visible = true;
    this.touched = false;
    this.frame = 0;
    this.ticking = null;
    this.costs = []; // milliseconds of script in the last frames, for the tests
  }

  Lab.prototype.stage = function (width, height, label) {
    const group = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label, class: "nclive-stage" });
    this.figures.append(group);
    return group;
  };

  /* Lay the controls that follow into a box of their own, until the next call; null ends it. */
  Lab.prototype.group = function (name) {
    this.into = this.panel;
    if (name) this.panel.append((this.into = html("div", { class: name })));
  };

  Lab.prototype.slider = function (name, label, low, high, step, value, change, format) {
    const said = format || ((x) => show(x, step < 1 ? 2 : 0));
    const output = html("output", {}, said(value));
    const input = html("input", { type: "range", min: low, max: high, step: step, value: value, "aria-label": label });
    const put = (x) => {
      input.value = x;
      output.textContent = said(Number(input.value));
      input.setAttribute("aria-valuetext", output.textContent);
    };
    input.addEventListener("input", () => { put(input.value); change(Number(input.value)); this.redraw(); });
    put(value);
    this.into.append(html("label", { class: "nclive-row" }, html("span", {}, label), output, input));
    this.setters[name] = put;
    return put;
  };

  /* A choice of a few: buttons of which one is pressed. */
  Lab.prototype.choice = function (name, label, options, value, change) {
    const buttons = options.map(([key, text]) =>
      html("button", { type: "button", onclick: () => { put(key); change(key); this.redraw(); } }, text));
    const put = (key) => options.forEach(([k], i) => buttons[i].setAttribute("aria-pressed", String(k === key)));
    put(value);
    this.into.append(html("div", { class: "nclive-choice", role: "group", "aria-label": label }, html("span", {}, label), ...buttons));
    this.setters[name] = put;
    return put;
  };

  Lab.prototype.buttons = function (...named) {
    const row = (this.row = html("div", { class: "nclive-buttons" }));
    const made = named.map(([text, press]) => html("button", { type: "button", onclick: () => { press(); this.redraw(); } }, text));
    row.append(...made);
    this.into.append(row);
    return made;
  };

  /* Lines of "what: value (theory)"; returns a function that takes the values. */
  Lab.prototype.readout = function (lines, heading) {
    const cells = lines.map(([name]) => [name, html("td", {}), html("td", {})]);
    const rows = cells.map(([name, value, theory]) => html("tr", {}, html("th", { scope: "row" }, name), value, theory));
    const head = html("tr", {}, html("td", {}), html("th", { scope: "col" }, "now"), html("th", { scope: "col" }, heading || "the best there is"));
    this.into.append(html("table", { class: "nclive-readout" }, html("thead", {}, head), html("tbody", {}, ...rows)));
    return (values) => values.forEach(([value, theory], i) => {
      cells[i][1].textContent = value;
      cells[i][2].textContent = theory;
    });
  };

  /* Drag with mouse, pen or finger, and with the arrow keys while focused. Coordinates are the stage's own. */
  Lab.prototype.drag = function (node, stage, label, move, grab) {
    set(node, { tabindex: "0", role: "button", "aria-label": label });
    node.classList.add("nclive-handle");
    const at = (event) => {
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(stage.getScreenCTM().inverse());
      return [point.x, point.y];
    };
    let last = null;
    node.addEventListener("pointerdown", (event) => {
      last = at(event);
      node.setPointerCapture(event.pointerId);
      if (grab) grab();
      event.preventDefault();
      event.stopPropagation();
      node.focus({ preventScroll: true });
    });
    node.addEventListener("pointermove", (event) => {
      if (!last) return;
      const now = at(event);
      move(now, [now[0] - last[0], now[1] - last[1]], false);
      last = now;
      this.redraw();
    });
    const release = () => { if (last) { last = null; this.keep(); } };
    node.addEventListener("pointerup", release);
    node.addEventListener("pointercancel", release);
    node.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!way) return;
      event.preventDefault();
      if (grab) grab();
      move(null, way, true);
      this.redraw();
      this.keep();
    });
  };

  Lab.prototype.redraw = function () {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      const begin = performance.now();
      if (this.ticking && this.visible && !this.ticking()) this.stop();
      this.experiment.draw();
      this.costs.push(performance.now() - begin);
      if (this.costs.length > 300) this.costs.shift();
      if (this.ticking && this.visible) this.redraw();
    });
  };

  /* Call ``tick`` once a frame until it returns false; off screen nothing runs, with reduced motion nothing moves. */
  Lab.prototype.play = function (tick) {
    if (still.matches) {
      for (let i = 0; i < 2000 && tick(); i += 1);
      this.keep();
    } else this.ticking = tick;
    this.redraw();
  };

  Lab.prototype.stop = function () {
    if (this.ticking) { this.ticking = null; this.keep(); }
  };

  Lab.prototype.say = function (text) {
    // At most twice a second: a screen reader should not be flooded while something moves.
    this.news = text;
    this.saying = this.saying || setTimeout(() => {
      this.saying = 0;
      if (this.status.textContent !== this.news) this.status.textContent = this.news;
    }, 500);
  };

  /* The state stands in the address, so that a link shows what is shown here. */
  Lab.prototype.keep = function () {
    if (!this.touched) return; // what ran by itself leaves the address alone
    try {
      const others = location.hash.slice(1).split("&").filter((part) => part && !part.startsWith(this.box.id + "="));
      const mine = this.box.id + "=" + encodeURIComponent(JSON.stringify(this.experiment.save()));
      history.replaceState(null, "", "#" + [...others, mine].join("&"));
    } catch (error) { /* an output frame without an address of its own */ }
  };

  Lab.prototype.kept = function () {
    try {
      const mine = location.hash.slice(1).split("&").find((part) => part.startsWith(this.box.id + "="));
      return mine ? JSON.parse(decodeURIComponent(mine.slice(this.box.id.length + 1))) : null;
    } catch (error) { return null; }
  };

  window.ncLive = {
    html, svg, set, show, power, scientific, random, seen,
    still: () => still.matches,
    kernels: {},
    labs: {},
    colors: ["var(--nc-1)", "var(--nc-2)", "var(--nc-3)", "var(--nc-4)", "var(--nc-5)", "var(--nc-6)", "var(--nc-7)"],
    define: (name, factory) => { factories[name] = factory; },
    start: function (ident) {
      const box = document.getElementById(ident);
      if (!box || box.dataset.ready) return;
      box.dataset.ready = "1";
      const given = JSON.parse(box.querySelector('script[type="application/json"]').textContent);
      const lab = new Lab(box, given.parameters);
      for (const kind of ["pointerdown", "keydown", "click", "input"]) box.addEventListener(kind, () => { lab.touched = true; }, true);
      this.labs[ident] = lab;
      lab.experiment = factories[given.name](lab);
      const again = () => { lab.stop(); lab.experiment.load(null); lab.keep(); lab.redraw(); };
      lab.row.append(html("button", { type: "button", onclick: again }, "Start again"));
      box.querySelector(".nclive-still").remove();
      box.append(lab.figures, lab.panel, lab.status);
      lab.experiment.load(lab.kept());
      if (window.IntersectionObserver) {
        new IntersectionObserver((seen) => {
          lab.visible = seen[seen.length - 1].isIntersecting;
          if (lab.visible) lab.redraw();
        }).observe(box);
      }
      lab.redraw();
    },
  };
})();
