/* The unconstrained feature model in the plane: drag features and rows, set the decays, and see what the gap is made of. */
(function () {
  "use strict";
  const live = window.ncLive;
  const SIZE = 320, MIDDLE = SIZE / 2, REACH = 4.2, n = 4;

  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const squares = (rows) => rows.reduce((sum, row) => sum + dot(row, row), 0);
  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const kernel = {
    /* Features are ordered by class, as many for each; no bias. */
    objective: (W, H, decayW, decayH) => {
      const each = H.length / W.length;
      const fit = H.reduce((sum, h, i) => {
        const z = W.map((w) => dot(w, h)), top = Math.max(...z);
        return sum + top + Math.log(z.reduce((t, x) => t + Math.exp(x - top), 0)) - z[Math.floor(i / each)];
      }, 0);
      return fit / H.length + (decayW * squares(W) + decayH * squares(H)) / 2;
    },
    gradient: (W, H, decayW, decayH) => {
      const N = H.length, each = N / W.length;
      const gW = W.map((w) => w.map((x) => decayW * x)), gH = H.map((h) => h.map((x) => decayH * x));
      H.forEach((h, i) => {
        const z = W.map((w) => dot(w, h)), top = Math.max(...z), e = z.map((x) => Math.exp(x - top));
        const total = e.reduce((a, b) => a + b, 0), own = Math.floor(i / each);
        const others = e.reduce((sum, x, k) => sum + (k === own ? 0 : x), 0);
        e.forEach((x, k) => {
          const G = (k === own ? -others : x) / total / N;
          h.forEach((y, a) => { gW[k][a] += G * y; gH[i][a] += G * W[k][a]; });
        });
      });
      return [gW, gH];
    },
    /* The closed form: margin, value, and the length of a row, for `each` samples a class. */
    optimum: (K, each, decayW, decayH) => {
      const q = Math.sqrt(each) * Math.sqrt(decayW) * Math.sqrt(decayH);
      const margin = K * q < 1 ? Math.log1p((1 - K * q) / q) : 0;
      return { margin, price: (K - 1) * q, value: Math.log1p((K - 1) * Math.exp(-margin)) + q * (K - 1) * margin,
        row: Math.sqrt(((K - 1) / K) * margin) * Math.sqrt(Math.sqrt((each * decayH) / decayW)) };
    },
    /* f − f* as a sum of non-negative pieces, each the loss of one inequality of the proof. */
    budget: (W, H, decayW, decayH) => {
      const K = W.length, N = H.length, each = N / K, best = kernel.optimum(K, each, decayW, decayH);
      const ofMargin = (m) => softplus(Math.log(K - 1) - m);
      const margins = H.map((h, i) => {
        const z = W.map((w) => dot(w, h)), own = z[Math.floor(i / each)];
        return own - (z.reduce((a, b) => a + b, 0) - own) / (K - 1);
      });
      const average = margins.reduce((a, b) => a + b, 0) / N, each_ = margins.reduce((sum, m) => sum + ofMargin(m), 0) / N;
      const fit = kernel.objective(W, H, 0, 0), means = W.map((w, k) => w.map((_, a) => H.slice(k * each, (k + 1) * each).reduce((sum, h) => sum + h[a], 0) / each));
      const root = Math.sqrt(decayW) * Math.sqrt(decayH), w = Math.sqrt(squares(W)), h = Math.sqrt(squares(H)), m = Math.sqrt(each * squares(means));
      const gain = best.price * Math.max(average, 0);
      return [fit - each_, each_ - ofMargin(average), root * w * (h - m), root * w * m - gain, (Math.sqrt(decayW) * w - Math.sqrt(decayH) * h) ** 2 / 2, ofMargin(average) + gain - best.value];
    },
  };
  live.kernels.freefeatures = kernel;
  const PIECES = ["wrong logits unequal", "margins unequal", "classes not collapsed (NC1)", "W and H not aligned (NC3)", "decays not balanced", "length not right"];

  live.define("freefeatures", function (lab) {
    const first = { K: lab.parameters.num_classes || 3, decayW: lab.parameters.weight_decay || 0.02, decayH: lab.parameters.feature_decay || 0.01 };
    let state, seed = 1, speed, steps, marks = [];
    const stage = lab.stage(SIZE, SIZE, "rows of W (arrows) and features (dots)"), chart = lab.stage(SIZE, SIZE, "what the gap is made of");
    live.svg("rect", { x: 0, y: 0, width: SIZE, height: SIZE, class: "nclive-guide" }, stage);
    live.svg("path", { d: `M${MIDDLE} 0V${SIZE}M0 ${MIDDLE}H${SIZE}`, class: "nclive-guide", opacity: 0.5 }, stage);
    const ring = live.svg("circle", { cx: MIDDLE, cy: MIDDLE, class: "nclive-guide", "stroke-dasharray": "5 4" }, stage), things = live.svg("g", {}, stage);
    const bars = PIECES.map((name, i) => {
      const y = 14 + i * 46;
      live.svg("text", { x: 8, y: y + 10, class: "nclive-cell", style: "text-anchor:start", "font-size": 14 }, chart).textContent = name;
      const amount = live.svg("text", { x: SIZE - 8, y: y + 10, class: "nclive-cell", style: "text-anchor:end;font-weight:700", "font-size": 14 }, chart);
      return [live.svg("rect", { x: 8, y: y + 16, height: 14, rx: 2, fill: live.colors[i % 6] }, chart), amount];
    });
    live.svg("text", { x: 8, y: SIZE - 8, class: "nclive-cell", style: "text-anchor:start", "font-size": 13 }, chart).textContent = "bars: logarithmic, from 10⁻⁸ to 10";

    const logarithmic = (name, label, value, change) => {
      const put = lab.slider(name, label, -3, -0.5, 0.05, Math.log10(value), (x) => { lab.stop(); speed = null; change(10 ** x); }, (x) => (10 ** x).toPrecision(2));
      return (v) => put(Math.log10(v));
    };
    const setW = logarithmic("decayW", "decay of W", first.decayW, (x) => { state.decayW = x; });
    const setH = logarithmic("decayH", "decay of H", first.decayH, (x) => { state.decayH = x; });
    const setK = lab.slider("K", "classes K", 2, 5, 1, first.K, (K) => { lab.stop(); state.K = K; shuffle(); });
    lab.buttons(
      ["Descend", () => lab.play(() => step(8))],
      ["One step", () => { lab.stop(); step(1); lab.keep(); }],
      ["Throw them", () => { lab.stop(); seed += 1; shuffle(); lab.keep(); }],
    );
    const tell = lab.readout([["objective f"], ["gap f − f*"], ["mean length of a row"]]);

    function shuffle() {
      const draw = live.random(1000 * seed + state.K);
      const normal = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
      const some = (count) => Array.from({ length: count }, () => [normal(), normal()]);
      state.W = some(state.K);
      state.H = some(state.K * n);
      rebuild();
    }
    /* Heavy-ball steps, as long as the curvature allows: softmax's Hessian is at most 1/2. */
    function step(times) {
      let slope = 0;
      for (let t = 0; t < times; t += 1) {
        const { W, H, decayW, decayH } = state, gradient = kernel.gradient(W, H, decayW, decayH);
        slope = Math.sqrt(squares(gradient[0]) + squares(gradient[1]));
        const rate = 1 / ((squares(W) + squares(H)) / (2 * H.length) + 0.5 / Math.sqrt(H.length) + Math.max(decayW, decayH));
        speed = gradient.map((rows, p) => rows.map((row, i) => row.map((x, a) => 0.9 * (speed ? speed[p][i][a] : 0) - rate * x)));
        state.W = W.map((row, i) => row.map((x, a) => x + speed[0][i][a]));
        state.H = H.map((row, i) => row.map((x, a) => x + speed[1][i][a]));
      }
      steps += times;
      return slope > 1e-9 && steps < 20000;
    }
    function rebuild() {
      speed = null;
      steps = 0;
      marks = [];
      things.replaceChildren();
      const color = (k) => live.colors[k % live.colors.length];
      const take = (list, i) => (at, by, key) => {
        const goal = key ? [list()[i][0] + 0.12 * by[0], list()[i][1] - 0.12 * by[1]] : [((at[0] - MIDDLE) / MIDDLE) * REACH, ((MIDDLE - at[1]) / MIDDLE) * REACH];
        list()[i] = goal.map((x) => Math.max(-REACH, Math.min(REACH, x)));
        steps = 0;
      };
      const grab = () => { lab.stop(); speed = null; };
      state.W.forEach((_, k) => {
        const line = live.svg("line", { x1: MIDDLE, y1: MIDDLE, stroke: color(k), "stroke-width": 4, "stroke-linecap": "round" }, things), tip = live.svg("g", {}, things);
        live.svg("circle", { r: 20, fill: "transparent" }, tip);
        live.svg("circle", { r: 11, fill: color(k) }, tip);
        live.svg("text", { y: 4, class: "nclive-number" }, tip).textContent = String(k + 1);
        lab.drag(tip, stage, `row ${k + 1} (drag, or arrow keys)`, take(() => state.W, k), grab);
        marks.push(() => [state.W[k], tip, line]);
      });
      state.H.forEach((_, i) => {
        const mark = live.svg("g", {}, things);
        live.svg("circle", { r: 15, fill: "transparent" }, mark);
        live.svg("circle", { r: 6, fill: color(Math.floor(i / n)), stroke: "currentColor", "stroke-width": 1.5 }, mark);
        lab.drag(mark, stage, `feature of class ${Math.floor(i / n) + 1} (drag, or arrow keys)`, take(() => state.H, i), grab);
        marks.push(() => [state.H[i], mark, null]);
      });
    }
    function draw() {
      const { W, H, decayW, decayH, K } = state, best = kernel.optimum(K, n, decayW, decayH);
      const x = (v) => MIDDLE * (1 + v / REACH), y = (v) => MIDDLE * (1 - v / REACH);
      marks.forEach((get) => {
        const [point, mark, line] = get();
        live.set(mark, { transform: `translate(${x(point[0]).toFixed(2)} ${y(point[1]).toFixed(2)})` });
        if (line) live.set(line, { x2: x(point[0]), y2: y(point[1]) });
      });
      live.set(ring, { r: (best.row / REACH) * MIDDLE });
      const pieces = kernel.budget(W, H, decayW, decayH), small = (v) => (v >= 0.01 ? live.show(v, 3) : v < 1e-8 ? "0" : live.scientific(v));
      pieces.forEach((piece, i) => {
        live.set(bars[i][0], { width: Math.max(0, (SIZE - 16) * (Math.log10(Math.max(piece, 1e-8)) + 8) / 9) });
        const words = small(piece);
        if (bars[i][1].textContent !== words) bars[i][1].textContent = words;
      });
      const value = kernel.objective(W, H, decayW, decayH), gap = value - best.value, rows = W.reduce((sum, w) => sum + Math.sqrt(dot(w, w)), 0) / K;
      tell([[live.show(value, 4), (K > 3 ? "above " : "") + live.show(best.value, 4)], [small(Math.max(0, gap)), K > 3 ? "above 0" : "0"], [live.show(rows, 3), live.show(best.row, 3) + (K > 3 ? " with more room" : " (ring)")]]);
      lab.say(`Objective ${live.show(value, 3)}, ${small(Math.max(0, gap))} above the closed form.`);
    }
    return {
      draw,
      save: () => { const short = (rows) => rows.map((row) => row.map((x) => +x.toFixed(6))); return { K: state.K, decayW: state.decayW, decayH: state.decayH, W: short(state.W), H: short(state.H) }; },
      load: function (saved) {
        const rows = (list, count) => Array.isArray(list) && list.length === count && list.every((r) => r.length === 2 && r.every(Number.isFinite));
        const decay = (x) => Number.isFinite(x) && x >= 1e-3 && x <= 0.4;
        const sound = saved && [2, 3, 4, 5].includes(saved.K) && decay(saved.decayW) && decay(saved.decayH) && rows(saved.W, saved.K) && rows(saved.H, saved.K * n);
        state = { ...first, ...(sound ? saved : {}) };
        setK(state.K); setW(state.decayW); setH(state.decayH);
        if (sound) rebuild(); else shuffle();
      },
    };
  });
})();
