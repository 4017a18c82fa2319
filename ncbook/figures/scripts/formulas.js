/* Closed forms as curves under sliders: one script, a view for each figure, chosen by the parameter "which". */
(function () {
  "use strict";
  const live = window.ncLive, piece = live.svg, show = live.show;

  const kernel = {
    /* The price of a margin: the loss where every wrong logit lies s below the right one, and the q that makes s the best. */
    loss: (s, K) => Math.log1p((K - 1) * Math.exp(-s)),
    margin: (K, q) => (K * q < 1 ? Math.log1p((1 - K * q) / q) : 0),
    worth: (K, s) => 1 / (Math.exp(s) + K - 1),
    /* Normalised features at the temperature tau: probabilities of the right class and of each wrong one at the optimum. */
    best: (K, tau) => 1 / (1 + (K - 1) * Math.exp((-K * tau) / (K - 1))),
    wrong: (K, tau) => 1 / (Math.exp((K * tau) / (K - 1)) + K - 1),
    /* Where tau times wrong is largest: (x - 1) e^x = K - 1 for x = K tau / (K - 1), by Newton's method. */
    peak: (K) => {
      const z = (K - 1) / Math.E;
      let w = Math.log1p(z);
      for (let i = 0; i < 30; i += 1) w -= (w - z * Math.exp(-w)) / (w + 1);
      return ((1 + w) * (K - 1)) / K;
    },
    /* Two classes of a simplex ETF with isotropic noise: standard deviations from a mean to the boundary. */
    deviations: (K, nc1) => Math.sqrt((K - 1) / (2 * nc1)),
    /* How much of a normal distribution lies beyond z: a series near zero, a continued fraction farther out. */
    beyond: (z) => {
      const density = Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
      if (z > 3) {
        let below = z;
        for (let k = 60; k > 0; k -= 1) below = z + k / below;
        return density / below;
      }
      let term = z, sum = z;
      for (let k = 1; k < 80; k += 1) sum += term *= (z * z) / (2 * k + 1);
      return 0.5 - density * sum;
    },
  };
  live.kernels.formulas = kernel;

  const powers = (k) => "10" + String(k).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
  const small = (v) => (v === 0 ? "0" : v >= 0.001 && v < 1000 ? String(Number(v.toPrecision(3))) : v.toExponential(1).replace(/e([+-])(\d+)/, (_, sign, k) => " · " + powers((sign === "-" ? "-" : "") + k)));
  const ROUND = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200, 300, 500, 700, 1000];
  const round = (low, high) => ROUND.filter((k) => k >= low && k <= high);

  function words(x, y, text, anchor, parent) {
    const node = piece("text", { x, y, class: "nclive-cell", style: `text-anchor:${anchor}`, "font-size": 14 }, parent);
    node.textContent = text;
    return node;
  }

  /* Values and words along an axis: given ones, powers of ten, or steps of 1, 2 or 5. */
  function ticks(axis) {
    if (axis.ticks) return axis.ticks;
    const [low, high] = [axis.low, axis.high], found = [];
    if (axis.log) {
      const a = Math.ceil(Math.log10(low) - 1e-9), b = Math.floor(Math.log10(high) + 1e-9), by = Math.ceil((b - a) / 5);
      if (by > 1 || b - a > 2) for (let k = a; k <= b; k += by || 1) found.push([10 ** k, powers(k)]);
      else for (let k = a - 1; k <= b; k += 1) for (const m of [1, 3]) if (m * 10 ** k >= low * 0.999 && m * 10 ** k <= high) found.push([m * 10 ** k, small(m * 10 ** k)]);
      return found;
    }
    const rough = (high - low) / 4, ten = 10 ** Math.floor(Math.log10(rough)), by = ten * [1, 2, 5, 10].find((m) => m * ten >= rough * 0.8);
    for (let v = Math.ceil(low / by - 1e-9) * by; v <= high + 1e-9; v += by) found.push([v, show(v, Math.max(0, -Math.floor(Math.log10(by) + 1e-9)))]);
    return found;
  }

  /* A panel with two axes; curves are clipped to it, and a handle may be dragged over it. */
  function chart(lab, label, [wide, high], x, y) {
    const stage = lab.stage(wide, high, label), left = y.ticks ? 14 : 50, right = wide - 16, top = 28, bottom = high - 46;
    const scale = (axis, from, to) => {
      const f = axis.log ? Math.log10 : (v) => v, a = f(axis.low), b = f(axis.high);
      return {
        at: (v) => Math.max(-9999, Math.min(9999, from + ((to - from) * (f(v) - a)) / (b - a))),
        back: (p) => { const u = a + ((b - a) * (p - from)) / (to - from); return axis.log ? 10 ** u : u; },
      };
    };
    const made = { stage, x: scale(x, left, right) };
    for (const [v, text] of ticks(x)) words(made.x.at(v), bottom + 18, text, "middle", stage);
    words((left + right) / 2, bottom + 38, x.label, "middle", stage);
    words(4, 16, y.label, "start", stage);
    const marks = piece("g", {}, stage);
    made.plot = piece("svg", { x: left, y: top, width: right - left, height: bottom - top, viewBox: `${left} ${top} ${right - left} ${bottom - top}` }, stage);
    piece("path", { d: `M${left} ${top}V${bottom}H${right}`, class: "nclive-guide" }, stage);
    made.rescale = (axis) => {
      made.y = scale(axis, bottom, top);
      marks.replaceChildren();
      for (const [v, text] of ticks(axis)) words(left - 6, made.y.at(v) + 5, text, "end", marks);
    };
    made.rescale(y);
    made.curve = (stroke, dash, more) => piece("polyline", { fill: "none", stroke, "stroke-width": 2.4, "stroke-dasharray": dash || "none", ...more }, made.plot);
    made.grid = Array.from({ length: 161 }, (_, i) => made.x.back(left + ((right - left) * i) / 160));
    made.trace = (curve, f, over) => live.set(curve, { points: (over || made.grid).map((v) => `${made.x.at(v).toFixed(1)},${made.y.at(f(v)).toFixed(1)}`).join(" ") });
    made.level = () => piece("path", { class: "nclive-guide", "stroke-dasharray": "3 3", "stroke-width": 1.5 }, made.plot);
    made.cross = (path, v, w) => live.set(path, { d: (w == null ? "" : `M${left} ${made.y.at(w).toFixed(1)}H${right}`) + (v == null ? "" : `M${made.x.at(v).toFixed(1)} ${top}V${bottom}`) });
    made.legend = (...entries) => entries.reduce((from, [stroke, dash, text, width]) => {
      piece("path", { d: `M${from} 11h26`, stroke, "stroke-width": 2.6, "stroke-dasharray": dash || "none", fill: "none" }, stage);
      words(from + 32, 16, text, "start", stage);
      return from + width;
    }, 46);
    made.dot = (color) => handle(lab, stage, color);
    return made;
  }

  /* A dot under the hand: ``move(x, y)`` takes a place on the stage, ``nudge(right, up)`` an arrow key. */
  function handle(lab, stage, color) {
    const group = piece("g", {}, stage);
    piece("circle", { r: 18, fill: "transparent" }, group);
    piece("circle", { r: 7.5, fill: color }, group);
    return {
      on: (label, move, nudge) => lab.drag(group, stage, label + " (drag, or arrow keys)", (at, by, key) => (key ? nudge(by[0], -by[1]) : move(at[0], at[1]))),
      put: (x, y) => live.set(group, { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` }),
    };
  }

  /* A number of the state, its slider and its limits: along a line, along powers of ten, or from a list. */
  function knob(lab, state, name, spec) {
    const { values, log } = spec, step = values ? 1 : spec.step || 0.01;
    const there = (u) => (values ? values[u] : log ? 10 ** u : u);
    const place = (v) => (values ? values.reduce((near, k, i) => (Math.abs(k - v) < Math.abs(values[near] - v) ? i : near), 0) : log ? Math.log10(v) : v);
    const [low, high] = values ? [0, values.length - 1] : [place(spec.low), place(spec.high)];
    const format = (u) => (spec.format || small)(there(u));
    const put = spec.free ? () => {} : lab.slider(name, spec.label, low, high, step, place(state[name]), (u) => { state[name] = there(u); lab.keep(); }, format);
    const set = (v) => {
      const u = Math.max(low, Math.min(high, Math.round(place(v) / step) * step));
      state[name] = there(u);
      put(u);
    };
    return {
      set,
      nudge: (steps) => set(there(Math.max(low, Math.min(high, place(state[name]) + steps * step)))),
      put: (v) => put(place(v)),
      sound: (v) => Number.isFinite(v) && (values ? values.includes(v) : place(v) >= low - 1e-6 && place(v) <= high + 1e-6),
    };
  }

  /* Each view draws its panels, and returns its start, its knobs, what to draw and what to say. */
  const VIEWS = {
    price: function (lab, given, state, turn) {
      const over = "Kq" in given ? "Kq" : "q", unit = () => (over === "Kq" ? state.K : 1), q = () => state[over] / unit();
      const c = chart(lab, "cross-entropy, price and their sum over the margin", [430, 310], { low: 0, high: 10, label: "margin s" }, { low: 0, high: 1, label: "loss" });
      const loss = c.curve(live.colors[0], "8 5"), price = c.curve(live.colors[1], "2 4"), sum = c.curve("currentColor"), down = c.level();
      c.legend([live.colors[0], "8 5", "cross-entropy", 140], [live.colors[1], "2 4", "price (K−1) q s", 150], ["currentColor", "", "sum", 0]);
      const dot = c.dot(live.colors[2]);
      dot.on("best margin", (x) => turn[over].set(unit() * kernel.worth(state.K, Math.max(0, c.x.back(x)))), (right, up) => turn[over].nudge(up - right));
      return {
        start: { K: given.num_classes, [over]: given[over] },
        knobs: {
          K: { label: "classes K", values: round(2, 100) },
          [over]: over === "Kq" ? { label: "K q", low: 0.01, high: 10 ** 0.2, log: true } : { label: "decay q", low: 0.001, high: 10 ** -0.2, log: true },
        },
        readout: [["best margin s", "cross-entropy", "price", "sum"], "at margin 0"],
        draw: () => {
          const K = state.K, slope = (K - 1) * q(), s = kernel.margin(K, q()), at = kernel.loss(s, K);
          c.rescale({ low: 0, high: 1.75 * Math.log(K) });
          c.trace(loss, (v) => kernel.loss(v, K));
          c.trace(price, (v) => slope * v);
          c.trace(sum, (v) => kernel.loss(v, K) + slope * v);
          c.cross(down, s);
          dot.put(c.x.at(s), c.y.at(at + slope * s));
          return {
            rows: [s, at, slope * s, at + slope * s].map((v, i) => [show(v, 3), show([0, Math.log(K), 0, Math.log(K)][i], 3)]),
            say: `${K} classes, K q = ${small(K * q())}: ` + (s > 0 ? `the sum is least at margin ${show(s, 2)}.` : "no margin is worth its price."),
          };
        },
      };
    },
    temperature: function (lab, given, state, turn) {
      const x = { low: 0.3, high: 50, log: true, label: "temperature τ" }, size = [330, 280];
      const a = chart(lab, "best probability over the temperature", size, x, { low: 0, high: 1, label: "best probability" });
      const b = chart(lab, "curvature at the optimum over the temperature", size, x, { low: 1e-9, high: 3, log: true, label: "curvature τε at the optimum" });
      const best = a.curve(live.colors[0]), bend = b.curve(live.colors[1]), chance = a.level(), top = b.level();
      const label = words(a.x.at(50) - 4, 0, "chance", "end", a.plot);
      const dots = [a.dot(live.colors[0]), b.dot(live.colors[1])];
      [a, b].forEach((c, i) => dots[i].on(["best probability", "curvature"][i], (p) => turn.tau.set(c.x.back(p)), (right, up) => turn.tau.nudge(right + up)));
      const rows = (K, tau) => [show(tau, 2), show(kernel.best(K, tau), 4), small(tau * kernel.wrong(K, tau))];
      return {
        start: { K: given.num_classes, tau: given.temperature },
        knobs: { K: { label: "classes K", values: round(2, 1000) }, tau: { label: "temperature τ", low: 10 ** -0.5, high: 10 ** 1.7, log: true } },
        readout: [["temperature τ", "best probability", "curvature τε"], "most curved"],
        draw: () => {
          const { K, tau } = state, peak = kernel.peak(K), theirs = rows(K, peak);
          a.trace(best, (t) => kernel.best(K, t));
          b.trace(bend, (t) => t * kernel.wrong(K, t));
          a.cross(chance, null, 1 / K);
          b.cross(top, peak);
          live.set(label, { y: a.y.at(1 / K) - 5 });
          dots[0].put(a.x.at(tau), a.y.at(kernel.best(K, tau)));
          dots[1].put(b.x.at(tau), Math.min(b.y.at(1e-9), b.y.at(tau * kernel.wrong(K, tau))));
          return {
            rows: rows(K, tau).map((v, i) => [v, theirs[i]]),
            say: `${K} classes at temperature ${show(tau, 2)}: best probability ${show(kernel.best(K, tau), 3)}; most curved at ${show(peak, 2)}.`,
          };
        },
      };
    },
    overlap: function (lab, given, state, turn) {
      const x = { low: -2.2, high: 2.2, label: "along the line through two means", ticks: [[-1, "mean of j"], [0, "boundary"], [1, "mean of k"]] };
      const c = chart(lab, "two classes along the line that joins their means", [430, 270], x, { low: 0, high: 1.15, label: "", ticks: [] });
      const fills = [-1, 1].map((_, i) => c.curve(live.colors[i], i ? "8 4" : "", { fill: live.colors[i], "fill-opacity": 0.3 })), line = c.level();
      words(c.x.at(-1), 20, "class j", "middle", c.stage);
      words(c.x.at(1), 20, "class k", "middle", c.stage);
      c.cross(line, 0);
      const dot = c.dot(live.colors[1]);
      dot.on("one standard deviation", (p) => turn.nc1.set(((state.K - 1) / 2) * Math.max(1e-3, c.x.back(p) - 1) ** 2), (right, up) => turn.nc1.nudge(right + up));
      const wide = Array.from({ length: 121 }, (_, i) => (i - 60) / 10);
      return {
        start: { K: given.num_classes, nc1: given.nc1 },
        knobs: { nc1: { label: "NC1", low: 0.001, high: 10, log: true }, K: { label: "classes K", values: round(2, 100) } },
        readout: [["standard deviations to the boundary", "of a class beyond the boundary"], "two classes"],
        draw: () => {
          const rows = [state.K, 2].map((K) => kernel.deviations(K, state.nc1)).map((z) => [show(z, 2), small(100 * kernel.beyond(z)) + " %"]), z = kernel.deviations(state.K, state.nc1);
          [-1, 1].forEach((centre, i) => c.trace(fills[i], (v) => Math.exp(-0.5 * (z * (v - centre)) ** 2), [-9, ...wide.map((u) => centre + u / z), 9]));
          const at = Math.min(2.2, 1 + 1 / z);
          dot.put(c.x.at(at), c.y.at(Math.exp(-0.5 * (z * (at - 1)) ** 2)));
          return {
            rows: [0, 1].map((i) => [rows[0][i], rows[1][i]]),
            say: `NC1 = ${small(state.nc1)}, ${state.K} classes: ${rows[0][0]} standard deviations to the boundary, ${rows[0][1]} beyond it.`,
          };
        },
      };
    },
  };

  live.define("formulas", function (lab) {
    const state = {}, turn = {}, view = VIEWS[lab.parameters.which](lab, lab.parameters, state, turn);
    Object.assign(state, view.start);
    for (const [name, spec] of Object.entries(view.knobs)) turn[name] = knob(lab, state, name, spec);
    lab.buttons(...(view.buttons || []));
    const tell = lab.readout(view.readout[0].map((name) => [name]), view.readout[1]);
    return {
      draw: () => {
        const now = view.draw();
        tell(now.rows);
        lab.say(now.say);
      },
      save: () => ({ ...state }),
      load: (saved) => {
        const sound = saved && Object.entries(turn).every(([name, knob]) => knob.sound(saved[name]));
        for (const name of Object.keys(turn)) turn[name].put((state[name] = (sound ? saved : view.start)[name]));
      },
    };
  });
})();
