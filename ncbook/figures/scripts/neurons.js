/* Gradient flow of a two-layer ReLU network on data in the plane: neurons align first, the loss falls later; move a sample. */
(function () {
  "use strict";
  const live = window.ncLive;
  const SIZE = 320, MIDDLE = SIZE / 2, REACH = 1.6, K = 3, n = 3, WIDTH = 24;

  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const kernel = {
    /* log of the summed cross-entropy, and its gradient in W (h, 2) and V (K, h). The slope of the ReLU at 0 is 0. */
    lossAndGradient: function (W, V, X, y) {
      const gW = W.map((w) => w.map(() => 0)), gV = V.map((v) => v.map(() => 0));
      const losses = [], pulls = [], features = X.map((x) => W.map((w) => Math.max(0, dot(w, x))));
      features.forEach((a, i) => {
        const z = V.map((v) => dot(v, a)), own = y[i];
        const gaps = z.map((v, k) => (k === own ? -Infinity : v - z[own])), top = Math.max(0, ...gaps);
        const wrong = gaps.map((g) => Math.exp(g - top)), others = wrong.reduce((s, e) => s + e, 0), total = others + Math.exp(-top);
        // log1p keeps its digits where the loss itself is tiny.
        losses.push(top > 0 ? top + Math.log(total) : Math.log1p(others));
        pulls.push(wrong.map((e, k) => (k === own ? -others : e) / total));
      });
      const loss = losses.reduce((s, l) => s + l, 0);
      features.forEach((a, i) => a.forEach((f, j) => {
        if (f <= 0) return;
        let back = 0;
        V.forEach((v, k) => { gV[k][j] += (pulls[i][k] / loss) * f; back += (pulls[i][k] / loss) * v[j]; });
        X[i].forEach((x, a_) => { gW[j][a_] += back * x; });
      }));
      return [Math.log(loss), gW, gV];
    },
    /* The class whose samples alone switch a neuron on; -1: none, -2: several. */
    assignment: (W, X, y) => W.map((w) => {
      const on = [...new Set(y.filter((_, i) => dot(w, X[i]) > 0))];
      return on.length === 1 ? on[0] : on.length ? -2 : -1;
    }),
  };
  live.kernels.neurons = kernel;

  live.define("neurons", function (lab) {
    const first = { scale: -lab.parameters.log_scale || -4, seed: 1 };
    const labels = Array.from({ length: K * n }, (_, i) => Math.floor(i / n));
    let state, W, V, trail, took, start;
    const stage = lab.stage(SIZE, SIZE, "samples (dots) and neurons (arrows)"), chart = lab.stage(SIZE, SIZE, "alignment and loss after each step");
    live.svg("path", { d: `M${MIDDLE} 0V${SIZE}M0 ${MIDDLE}H${SIZE}`, class: "nclive-guide", opacity: 0.5 }, stage);
    const arrows = Array.from({ length: WIDTH }, () => live.svg("line", { x1: MIDDLE, y1: MIDDLE, "stroke-width": 2.5, "stroke-linecap": "round" }, stage));
    live.svg("path", { d: `M34 8V${SIZE - 28}H${SIZE - 8}`, class: "nclive-guide" }, chart);
    const curves = ["var(--nc-3)", "var(--nc-1)"].map((color) => live.svg("polyline", { fill: "none", stroke: color, "stroke-width": 2.5 }, chart));
    const text = (x, y, words, anchor) => { live.svg("text", { x, y, class: "nclive-cell", style: `text-anchor:${anchor}`, "font-size": 13 }, chart).textContent = words; };
    text(SIZE - 8, SIZE - 10, "steps →", "end");
    text(SIZE - 8, 20, "aligned neurons (green), loss (blue)", "end");
    [["1", 30], ["0", SIZE - 28]].forEach(([words, y]) => text(28, y + 4, words, "end"));
    const dots = labels.map((k, i) => {
      const mark = live.svg("g", {}, stage);
      live.svg("circle", { r: 16, fill: "transparent" }, mark);
      live.svg("circle", { r: 7, fill: live.colors[k], stroke: "currentColor", "stroke-width": 1.5 }, mark);
      lab.drag(mark, stage, `sample ${i + 1} of class ${k + 1} (drag, or arrow keys)`, (at, by, key) => {
        const goal = key ? [state.X[i][0] + 0.05 * by[0], state.X[i][1] - 0.05 * by[1]] : [((at[0] - MIDDLE) / MIDDLE) * REACH, ((MIDDLE - at[1]) / MIDDLE) * REACH];
        state.X[i] = goal.map((x) => Math.max(-REACH, Math.min(REACH, x)));
        begin();
      }, () => lab.stop());
      return mark;
    });
    const setScale = lab.slider("scale", "size of the start", -6, -0.5, 0.25, first.scale, (x) => { lab.stop(); state.scale = x; begin(); }, (x) => live.scientific(10 ** x));
    lab.buttons(
      ["Flow", () => lab.play(() => step(4))],
      ["One step", () => { lab.stop(); step(1); lab.keep(); }],
      ["Other start", () => { lab.stop(); state.seed += 1; begin(); lab.keep(); }],
    );
    const tell = lab.readout([["loss, of the loss at the start"], ["neurons of one class alone"], ["shared by classes"], ["dead"], ["size of all weights"]]);

    function begin() {
      const draw = live.random(77 * state.seed), normal = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
      const size = 10 ** state.scale;
      W = Array.from({ length: WIDTH }, () => [normal(), normal()].map((x) => (size * x) / Math.SQRT2));
      V = Array.from({ length: K }, () => new Array(WIDTH).fill(0));
      // Balanced: each neuron's outer weights are as long as its inner ones.
      W.forEach((w, j) => {
        const v = Array.from({ length: K }, normal), ratio = Math.hypot(...w) / Math.hypot(...v);
        v.forEach((x, k) => { V[k][j] = ratio * x; });
      });
      trail = [];
      took = 0;
      start = kernel.lossAndGradient(W, V, state.X, labels)[0];
    }
    /* Steps along the slope of log L: the clock runs faster as the loss falls, so that both phases can be watched. */
    function step(times) {
      let logLoss = 0;
      for (let t = 0; t < times; t += 1) {
        const [value, gW, gV] = kernel.lossAndGradient(W, V, state.X, labels);
        const size = W.flat().reduce((s, x) => s + x * x, 0) + V.flat().reduce((s, x) => s + x * x, 0), pace = 0.4 / Math.max(2, size);
        W = W.map((w, j) => w.map((x, a) => x - pace * gW[j][a]));
        V = V.map((v, k) => v.map((x, j) => x - pace * gV[k][j]));
        logLoss = value;
      }
      took += times;
      record(logLoss);
      return took < 6000 && logLoss - start > Math.log(1e-5);
    }
    /* How far neurons that are on point along the class that their outer weights favour, between 0 and 1. */
    function alignment() {
      const ways = Array.from({ length: K }, (_, k) => {
        const sum = [0, 0];
        state.X.forEach((x, i) => { if (labels[i] === k) { const r = Math.hypot(...x) || 1; sum[0] += x[0] / r; sum[1] += x[1] / r; } });
        const r = Math.hypot(...sum) || 1;
        return sum.map((x) => x / r);
      });
      const found = W.map((w, j) => {
        const best = V.reduce((top, v, k) => (v[j] > V[top][j] ? k : top), 0);
        return state.X.some((x) => dot(w, x) > 0) ? Math.max(0, dot(w, ways[best]) / (Math.hypot(...w) || 1)) : null;
      }).filter((x) => x !== null);
      return found.length ? found.reduce((s, x) => s + x, 0) / found.length : 0;
    }
    function record(logLoss) {
      trail.push([alignment(), Math.exp(logLoss - start)]);
      if (trail.length > 700) trail = trail.filter((_, i) => i % 2 === 0);
    }
    function draw() {
      const x = (v) => MIDDLE * (1 + v / REACH), y = (v) => MIDDLE * (1 - v / REACH);
      dots.forEach((mark, i) => live.set(mark, { transform: `translate(${x(state.X[i][0]).toFixed(2)} ${y(state.X[i][1]).toFixed(2)})` }));
      const whose = kernel.assignment(W, state.X, labels), longest = Math.max(...W.map((w) => Math.hypot(...w)), 1e-300);
      arrows.forEach((line, j) => {
        // Lengths on a root scale: small neurons stay visible.
        const r = Math.hypot(...W[j]) || 1e-300, shown = 1.25 * Math.sqrt(r / longest);
        live.set(line, { x2: x((shown * W[j][0]) / r), y2: y((shown * W[j][1]) / r), stroke: whose[j] >= 0 ? live.colors[whose[j]] : "var(--nc-line)", "stroke-dasharray": whose[j] === -1 ? "2 4" : "none" });
      });
      const [value] = kernel.lossAndGradient(W, V, state.X, labels), now = Math.exp(value - start);
      const points = trail.length ? trail : [[alignment(), now]], across = (i) => 34 + ((SIZE - 42) * i) / Math.max(60, points.length - 1);
      curves.forEach((curve, c) => live.set(curve, { points: points.map((p, i) => `${across(i).toFixed(1)},${(30 + (SIZE - 58) * (1 - Math.min(1, p[c]))).toFixed(1)}`).join(" ") }));
      const count = (test) => String(whose.filter(test).length), size = Math.sqrt(W.flat().reduce((s, v) => s + v * v, 0) + V.flat().reduce((s, v) => s + v * v, 0));
      tell([[live.show(now, 4), "0, never reached"], [count((k) => k >= 0) + " of " + WIDTH, ""], [count((k) => k === -2), "0"], [count((k) => k === -1), ""], [size >= 0.001 ? live.show(size, 3) : live.scientific(size), "grows for ever"]]);
      lab.say(`After ${took} steps: loss ${live.show(now, 3)} of its start, alignment ${live.show(alignment(), 2)}, ${count((k) => k >= 0)} of ${WIDTH} neurons belong to one class.`);
    }
    const placed = () => labels.map((k, i) => {
      const angle = Math.PI / 2 + (2 * Math.PI * k) / K + 0.35 * ((i % n) - 1), r = 0.8 + 0.15 * (i % n);
      return [r * Math.cos(angle), r * Math.sin(angle)];
    });
    return {
      draw,
      save: () => ({ scale: state.scale, seed: state.seed, X: state.X.map((x) => x.map((v) => +v.toFixed(4))), steps: took }),
      load: function (saved) {
        const sound = saved && saved.scale >= -6 && saved.scale <= -0.5 && Number.isInteger(saved.seed) && saved.seed > 0 && saved.seed < 1e6 && saved.steps >= 0 && saved.steps <= 6000 &&
          Array.isArray(saved.X) && saved.X.length === K * n && saved.X.every((x) => x.length === 2 && x.every((v) => Math.abs(v) <= REACH));
        state = { ...first, X: placed(), ...(sound ? saved : {}) };
        setScale(state.scale);
        begin();
        if (sound) for (let t = 0; t < saved.steps; t += 1) step(1);
      },
    };
  });
})();
