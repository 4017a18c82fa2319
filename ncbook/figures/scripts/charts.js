/* What views of closed forms share: panels with axes and curves, dots under the hand, numbers of the state under sliders. */
(function () {
  "use strict";
  const live = window.ncLive, piece = live.svg, show = live.show;

  const small = (v) => (v === 0 ? "0" : v >= 0.001 && v < 1000 ? String(Number(v.toPrecision(3))) : live.scientific(v));
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
      if (by > 1 || b - a > 2) for (let k = a; k <= b; k += by || 1) found.push([10 ** k, live.power(k)]);
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

  /* A number of the state, its slider or buttons, and its limits: along a line, along powers of ten, or from a list. */
  function knob(lab, state, name, spec) {
    const { values, log } = spec, step = values ? 1 : spec.step || 0.01;
    const there = (u) => (values ? values[u] : log ? 10 ** u : u);
    const place = (v) => (values ? values.reduce((near, k, i) => (Math.abs(k - v) < Math.abs(values[near] - v) ? i : near), 0) : log ? Math.log10(v) : v);
    const [low, high] = values ? [0, values.length - 1] : [place(spec.low), place(spec.high)];
    const format = (u) => (spec.format || small)(there(u));
    const change = (u) => { state[name] = there(u); lab.keep(); };
    const put = spec.free ? () => {}
      : spec.names ? lab.choice(name, spec.label, spec.names.map((text, u) => [u, text]), place(state[name]), change)
      : lab.slider(name, spec.label, low, high, step, place(state[name]), change, format);
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

  /* Experiments of one script that differ by the parameter "which". Each view draws its panels and returns its start, its
     knobs, what to draw and what to say. */
  const views = (made) => function (lab) {
    const state = {}, turn = {}, view = made[lab.parameters.which](lab, lab.parameters, state, turn);
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
  };

  live.charts = { chart, handle, round, small, views, words };
})();
