/* Normalised features: unit rows and unit features on a circle or a sphere, pulled by the cross-entropy at temperature τ. */
(function () {
  "use strict";
  const live = window.ncLive;
  const SIZE = 320, MIDDLE = SIZE / 2, RADIUS = 128;

  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const unit = (a) => { const norm = Math.sqrt(dot(a, a)); return a.map((x) => x / norm); };
  const kernel = {
    /* Labels are ordered by class: feature i belongs to class floor(i / n). */
    objective: function (W, H, tau) {
      const n = H.length / W.length;
      return H.reduce((sum, h, i) => {
        const z = W.map((w) => tau * dot(w, h)), own = z[Math.floor(i / n)], top = Math.max(...z);
        return sum + top - own + Math.log(z.reduce((t, x) => t + Math.exp(x - top), 0));
      }, 0) / H.length;
    },
    lowerBound: (K, tau) => Math.log1p((K - 1) * Math.exp((-K * tau) / (K - 1))),
    /* Riemannian gradient: the Euclidean one without its part along each row. */
    gradient: function (W, H, tau) {
      const K = W.length, N = H.length, n = N / K, d = W[0].length;
      const gW = W.map(() => new Array(d).fill(0)), gH = H.map(() => new Array(d).fill(0));
      H.forEach((h, i) => {
        const z = W.map((w) => tau * dot(w, h)), top = Math.max(...z);
        const e = z.map((x) => Math.exp(x - top)), total = e.reduce((a, b) => a + b, 0), own = Math.floor(i / n);
        // 1 - p_y is summed from the other classes: subtracting a p_y near 1 would cancel.
        const others = e.reduce((sum, x, k) => sum + (k === own ? 0 : x), 0);
        e.forEach((x, k) => {
          const G = ((k === own ? -others : x) / total) * (tau / N);
          for (let a = 0; a < d; a += 1) { gW[k][a] += G * h[a]; gH[i][a] += G * W[k][a]; }
        });
      });
      const flat = (points, slopes) => slopes.map((g, i) => { const r = dot(g, points[i]); return g.map((x, a) => x - r * points[i][a]); });
      return [flat(W, gW), flat(H, gH)];
    },
    norm: (gradient) => Math.sqrt(gradient.flat(2).reduce((sum, x) => sum + x * x, 0)),
    move: (points, slopes, rate) => points.map((p, i) => unit(p.map((x, a) => x - rate * slopes[i][a]))),
    /* The simplex ETF in its own plane or space; in the plane with one feature put opposite its row: the trap. */
    star: (K, d) => Array.from({ length: K }, (_, k) => {
      const angle = Math.PI / 2 + (2 * Math.PI * k) / K;
      return d === 2 ? [Math.cos(angle), Math.sin(angle)] : [Math.cos(angle), Math.sin(angle), 0];
    }),
  };
  live.kernels.sphere = kernel;

  live.define("sphere", function (lab) {
    const first = { K: lab.parameters.num_classes || 3, d: lab.parameters.feature_dim || 2, n: 3, tau: lab.parameters.temperature || 5, yaw: 0.5, pitch: 0.35 };
    let state, seed = 1, dots = [], trail = [];
    const stage = lab.stage(SIZE, SIZE, "rows (arrows) and features (dots)"), chart = lab.stage(SIZE, SIZE, "loss against its lower bound");
    const ground = live.svg("rect", { x: 0, y: 0, width: SIZE, height: SIZE, fill: "transparent" }, stage);
    live.svg("circle", { cx: MIDDLE, cy: MIDDLE, r: RADIUS, class: "nclive-guide" }, stage);
    const marks = live.svg("g", {}, stage);
    const bound = live.svg("line", { x1: 34, x2: SIZE - 8, stroke: "var(--nc-2)", "stroke-width": 2, "stroke-dasharray": "6 4" }, chart);
    const curve = live.svg("polyline", { fill: "none", stroke: "var(--nc-1)", "stroke-width": 2.5 }, chart);
    live.svg("path", { d: `M34 8V${SIZE - 28}H${SIZE - 8}`, class: "nclive-guide" }, chart);
    const label = (x, y, text, anchor) => { live.svg("text", { x, y, class: "nclive-cell", style: `text-anchor:${anchor}`, "font-size": 13 }, chart).textContent = text; };
    label(SIZE - 8, SIZE - 10, "steps →", "end");
    label(40, 20, "loss (blue), least possible (dashed)", "start");
    lab.drag(ground, stage, "turn the view (arrow keys)", (at, by, key) => {
      if (state.d < 3) return;
      const pace = key ? 0.12 : 0.012;
      state.yaw += pace * by[0];
      state.pitch = Math.max(-1.5, Math.min(1.5, state.pitch + pace * by[1]));
    });
    const setTau = lab.slider("tau", "temperature τ", 0.5, 20, 0.1, first.tau, (tau) => { state.tau = tau; trail = []; }, (x) => live.show(x, 1));
    const setK = lab.slider("K", "classes K", 2, 6, 1, first.K, (K) => { lab.stop(); state.K = K; shuffle(); });
    const setD = lab.choice("d", "they live on", [[2, "a circle"], [3, "a sphere"]], first.d, (d) => { lab.stop(); state.d = d; shuffle(); });
    lab.buttons(
      ["Descend", () => lab.play(() => step(5))],
      ["One step", () => { lab.stop(); step(1); lab.keep(); }],
      ["Throw them", () => { lab.stop(); seed += 1; shuffle(); lab.keep(); }],
      ["The trap", () => { lab.stop(); trap(); lab.keep(); }],
    );
    const tell = lab.readout([["loss"], ["length of the gradient"], ["smallest angle between rows"]]);

    function seen(w) {
      if (state.d === 2) return [w[0], w[1], 0];
      const c = Math.cos(state.yaw), s = Math.sin(state.yaw), a = Math.cos(state.pitch), b = Math.sin(state.pitch);
      const z = -s * w[0] + c * w[2];
      return [c * w[0] + s * w[2], a * w[1] - b * z, b * w[1] + a * z];
    }
    function unseen([x, y, z]) {
      const c = Math.cos(state.yaw), s = Math.sin(state.yaw), a = Math.cos(state.pitch), b = Math.sin(state.pitch);
      const flat = -b * y + a * z;
      return [c * x - s * flat, a * y + b * z, s * x + c * flat];
    }
    function take(list, i, at, by, key) {
      const now = seen(list[i]);
      const goal = key ? [now[0] + 0.06 * by[0], now[1] - 0.06 * by[1]] : [(at[0] - MIDDLE) / RADIUS, (MIDDLE - at[1]) / RADIUS];
      const length = Math.hypot(...goal);
      if (state.d === 2) { if (length > 1e-6) list[i] = unit(goal); return; }
      const edge = length > 0.999 ? goal.map((x) => (0.999 * x) / length) : goal;
      list[i] = unit(unseen([...edge, (now[2] < 0 ? -1 : 1) * Math.sqrt(1 - dot(edge, edge))]));
    }

    function shuffle() {
      const draw = live.random(1000 * seed + 10 * state.K + state.d);
      const normal = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
      const some = (count) => Array.from({ length: count }, () => unit(Array.from({ length: state.d }, normal)));
      state.W = some(state.K);
      state.H = some(state.K * state.n);
      rebuild();
    }
    function trap() {
      state.K = 3; state.d = 2;
      if (state.tau < 10) state.tau = 12;
      setK(3); setD(2); setTau(state.tau);
      state.W = kernel.star(3, 2);
      state.H = state.W.flatMap((w) => Array.from({ length: state.n }, () => w.slice()));
      state.H[0] = state.H[0].map((x) => -x);
      rebuild();
    }
    function step(times) {
      for (let i = 0; i < times; i += 1) {
        const [gW, gH] = kernel.gradient(state.W, state.H, state.tau);
        // Rows carry n features each, so their slopes are n times as steep; the rate bounds both.
        const rate = (state.K * state.n) / (state.tau * state.n * (1 + state.tau / 2)), slope = kernel.norm([gW, gH]);
        if (slope < 1e-10) return false;
        state.W = kernel.move(state.W, gW, rate);
        state.H = kernel.move(state.H, gH, rate);
      }
      trail.push(kernel.objective(state.W, state.H, state.tau));
      if (trail.length > 600) trail = trail.filter((_, i) => i % 2 === 0);
      return trail.length < 600;
    }
    function rebuild() {
      trail = [];
      dots = [];
      marks.replaceChildren();
      const K = state.K, color = (k) => live.colors[k % live.colors.length];
      state.W.forEach((_, k) => {
        const line = live.svg("line", { x1: MIDDLE, y1: MIDDLE, stroke: color(k), "stroke-width": 4, "stroke-linecap": "round" }, marks);
        const tip = live.svg("g", {}, marks);
        live.svg("circle", { r: 20, fill: "transparent" }, tip);
        live.svg("circle", { r: 11, fill: color(k) }, tip);
        live.svg("text", { y: 4, class: "nclive-number" }, tip).textContent = String(k + 1);
        lab.drag(tip, stage, `row ${k + 1} (drag, or arrow keys)`, (at, by, key) => take(state.W, k, at, by, key), () => { lab.stop(); trail = []; });
        dots.push(() => [state.W[k], tip, line]);
      });
      state.H.forEach((_, i) => {
        const dot_ = live.svg("g", {}, marks);
        live.svg("circle", { r: 15, fill: "transparent" }, dot_);
        live.svg("circle", { r: 6, fill: color(Math.floor((i * K) / state.H.length)), stroke: "currentColor", "stroke-width": 1.5 }, dot_);
        lab.drag(dot_, stage, `feature of class ${Math.floor(i / state.n) + 1} (drag, or arrow keys)`, (at, by, key) => take(state.H, i, at, by, key), () => { lab.stop(); trail = []; });
        dots.push(() => [state.H[i], dot_, null]);
      });
    }
    function draw() {
      dots.forEach((at) => {
        const [point, mark, line] = at(), [x, y, z] = seen(point), fade = state.d === 3 ? 0.55 + 0.45 * ((z + 1) / 2) : 1;
        const px = MIDDLE + RADIUS * x, py = MIDDLE - RADIUS * y;
        live.set(mark, { transform: `translate(${px.toFixed(2)} ${py.toFixed(2)})`, opacity: fade });
        if (line) live.set(line, { x2: px, y2: py, opacity: fade });
      });
      const loss = kernel.objective(state.W, state.H, state.tau), least = kernel.lowerBound(state.K, state.tau);
      const reachable = state.K <= state.d + 1, slope = kernel.norm(kernel.gradient(state.W, state.H, state.tau));
      const points = trail.length ? trail : [loss], top = Math.max(...points, loss, Math.log(state.K));
      const height = (v) => 30 + (SIZE - 58) * (1 - Math.max(0, v) / top);
      live.set(curve, { points: points.map((v, i) => `${(34 + ((SIZE - 42) * i) / Math.max(60, points.length - 1)).toFixed(1)},${height(v).toFixed(1)}`).join(" ") });
      live.set(bound, { y1: height(least), y2: height(least) });
      let widest = -1;
      state.W.forEach((v, i) => state.W.slice(0, i).forEach((w) => { widest = Math.max(widest, dot(v, w)); }));
      const angle = (cosine) => live.show((Math.acos(Math.max(-1, Math.min(1, cosine))) * 180) / Math.PI, 1) + "°";
      const small = (v) => (v >= 1e-3 ? live.show(v, 4) : live.scientific(v));
      tell([[small(loss), (reachable ? "" : "above ") + small(least)], [small(slope), "0"], [angle(widest), (reachable ? "" : "below ") + angle(-1 / (state.K - 1))]]);
      const stuck = slope < 1e-4 && loss > 1.05 * least + 1e-9 && reachable ? " Stuck: nothing pulls, and yet it is not the least." : "";
      lab.say(`Loss ${small(loss)}, least possible ${small(least)}.${stuck}`);
    }
    return {
      draw,
      save: () => { const short = (list) => list.map((w) => w.map((x) => +x.toFixed(6))); return { K: state.K, d: state.d, tau: state.tau, yaw: +state.yaw.toFixed(3), pitch: +state.pitch.toFixed(3), W: short(state.W), H: short(state.H) }; },
      load: function (saved) {
        const list = (points, count) => Array.isArray(points) && points.length === count && points.every((w) => w.length === saved.d && w.every(Number.isFinite) && dot(w, w) > 0.1);
        const sound = saved && saved.K >= 2 && saved.K <= 6 && [2, 3].includes(saved.d) && saved.tau >= 0.5 && saved.tau <= 20 && list(saved.W, saved.K) && list(saved.H, saved.K * first.n);
        state = { ...first, ...(sound ? saved : {}) };
        setK(state.K); setD(state.d); setTau(state.tau);
        if (sound) { state.W = state.W.map(unit); state.H = state.H.map(unit); rebuild(); } else shuffle();
      },
    };
  });
})();
