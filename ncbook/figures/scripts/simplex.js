/* Unit vectors in the plane or in space: take one, and every angle, coherence and distance follows. */
(function () {
  "use strict";
  const live = window.ncLive;
  const SIZE = 320, MIDDLE = SIZE / 2, RADIUS = 118;

  const { dot, unit, ...measures } = live.vectors;

  const kernel = {
    ...measures,
    simplexBound: (K, d) => (d >= K - 1 ? -1 / (K - 1) : 0),
    etfDistance: function (W) {
      const K = W.length, gram = W.map((v) => W.map((w) => dot(v, w)));
      const size = Math.sqrt(gram.flat().reduce((sum, x) => sum + x * x, 0));
      let total = 0;
      gram.forEach((row, i) => row.forEach((x, j) => {
        total += (x / size - ((i === j) - 1 / K) / Math.sqrt(K - 1)) ** 2;
      }));
      return Math.sqrt(total);
    },
    simplex: function (K, d) {
      // Helmert's contrasts: row k of the basis of the zero-sum vectors, at unit length.
      const rows = Array.from({ length: K }, () => new Array(d).fill(0));
      for (let j = 1; j < K; j += 1) {
        const scale = Math.sqrt(K / (K - 1)) / Math.sqrt(j * (j + 1));
        for (let k = 0; k < j; k += 1) rows[k][j - 1] = scale;
        rows[j][j - 1] = -j * scale;
      }
      return rows;
    },
    /* One step away from the nearest: the slope of log sum exp(sharpness * cosine), along the sphere. */
    spread: function (W, rate, sharpness) {
      return W.map((w, i) => {
        const pull = w.map(() => 0);
        const logits = W.map((v, j) => (i === j ? -Infinity : sharpness * dot(w, v)));
        const top = Math.max(...logits);
        const weights = logits.map((x) => Math.exp(x - top));
        const total = weights.reduce((a, b) => a + b, 0);
        W.forEach((v, j) => v.forEach((x, a) => { pull[a] += (weights[j] / total) * x; }));
        const along = dot(pull, w);
        return unit(w.map((x, a) => x - rate * (pull[a] - along * x)));
      });
    },
  };
  live.kernels.simplex = kernel;

  live.define("simplex", function (lab) {
    const first = { K: lab.parameters.num_classes || 3, d: lab.parameters.feature_dim || 2, yaw: 0.5, pitch: 0.35 };
    let state, seed = 1;
    const stage = lab.stage(SIZE, SIZE, "the vectors");
    const gram = lab.stage(SIZE, SIZE, "cosines of all pairs");
    const ground = live.svg("rect", { x: 0, y: 0, width: SIZE, height: SIZE, fill: "transparent" }, stage);
    const circle = live.svg("circle", { cx: MIDDLE, cy: MIDDLE, r: RADIUS, class: "nclive-guide" }, stage);
    const arms = live.svg("g", {}, stage), cells = live.svg("g", {}, gram);
    lab.drag(ground, stage, "turn the view (arrow keys)", (at, by, key) => {
      if (state.d < 3) return;
      const pace = key ? 0.12 : 0.012;
      state.yaw += pace * by[0];
      state.pitch = Math.max(-1.5, Math.min(1.5, state.pitch + pace * by[1]));
    });

    const setK = lab.slider("K", "vectors K", 2, 8, 1, first.K, (K) => { lab.stop(); state.K = K; shuffle(); });
    const setD = lab.choice("d", "they live in", [[2, "the plane"], [3, "space"]], first.d, (d) => { lab.stop(); state.d = d; shuffle(); });
    lab.buttons(
      ["Spread them", () => lab.play(() => step(4))],
      ["One step", () => { lab.stop(); step(1); lab.keep(); }],
      ["Throw them", () => { lab.stop(); seed += 1; shuffle(); lab.keep(); }],
    );
    const tell = lab.readout([["smallest angle"], ["largest cosine"], ["coherence"], ["distance to a simplex ETF"]]);

    const seen = (w) => (state.d === 2 ? [w[0], w[1], 0] : live.seen(w, state.yaw, state.pitch));
    function unseen([x, y, z]) {
      const c = Math.cos(state.yaw), s = Math.sin(state.yaw), a = Math.cos(state.pitch), b = Math.sin(state.pitch);
      const flat = -b * y + a * z;
      return [c * x - s * flat, a * y + b * z, s * x + c * flat];
    }

    /* Put vector ``i`` where the finger is; in space it stays on the half of the sphere that it was on. */
    function take(i, at, by, key) {
      const now = seen(state.W[i]);
      const goal = key ? [now[0] + 0.06 * by[0], now[1] - 0.06 * by[1]] : [(at[0] - MIDDLE) / RADIUS, (MIDDLE - at[1]) / RADIUS];
      if (state.d === 2) {
        const angle = Math.atan2(state.W[i][1], state.W[i][0]) - 0.06 * (by[0] - by[1]);
        state.W[i] = key ? [Math.cos(angle), Math.sin(angle)] : Math.hypot(...goal) > 1e-6 ? unit(goal) : state.W[i];
        return;
      }
      const length = Math.hypot(...goal), side = now[2] < 0 ? -1 : 1;
      const edge = length > 0.999 ? goal.map((x) => (0.999 * x) / length) : goal;
      state.W[i] = unit(unseen([...edge, side * Math.sqrt(1 - dot(edge, edge))]));
    }

    function shuffle() {
      const draw = live.random(1000 * seed + 10 * state.K + state.d);
      const normal = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
      state.W = Array.from({ length: state.K }, () => unit(Array.from({ length: state.d }, normal)));
      rebuild();
    }

    /* Sharpen as the vectors settle, so that in the end the nearest pair alone decides. */
    function step(times) {
      const before = state.W;
      for (let i = 0; i < times; i += 1) {
        state.age = (state.age || 0) + 1;
        const sharpness = Math.min(60, 3 + state.age / 12);
        state.W = kernel.spread(state.W, 0.6 / Math.sqrt(sharpness), sharpness);
      }
      const moved = Math.max(...state.W.map((w, i) => Math.hypot(...w.map((x, a) => x - before[i][a]))));
      return state.age < 4000 && (moved > 1e-5 || state.age < 800);
    }

    function rebuild() {
      state.age = 0;
      arms.replaceChildren();
      cells.replaceChildren();
      state.W.forEach((_, i) => {
        const color = live.colors[i % live.colors.length];
        const line = live.svg("line", { x1: MIDDLE, y1: MIDDLE, stroke: color, "stroke-width": 4, "stroke-linecap": "round" }, arms);
        const tip = live.svg("g", {}, arms);
        live.svg("circle", { r: 20, fill: "transparent" }, tip);
        live.svg("circle", { r: 11, fill: color, class: "nclive-dot" }, tip);
        live.svg("text", { y: 4, class: "nclive-number" }, tip).textContent = String(i + 1);
        lab.drag(tip, stage, `vector ${i + 1} (drag, or arrow keys)`, (at, by, key) => take(i, at, by, key), () => { lab.stop(); state.age = 0; });
        tip.line = line;
      });
      const side = (SIZE - 20) / state.K;
      for (let i = 0; i < state.K; i += 1) {
        for (let j = 0; j < state.K; j += 1) {
          const cell = live.svg("g", { transform: `translate(${10 + j * side} ${10 + i * side})` }, cells);
          live.svg("rect", { width: side - 2, height: side - 2, rx: 3 }, cell);
          live.svg("text", { x: side / 2 - 1, y: side / 2 + 4, class: "nclive-cell", "font-size": Math.min(15, side / 3.3) }, cell);
        }
      }
    }

    function draw() {
      const tips = arms.querySelectorAll("g"), shown = state.W.map(seen);
      shown.forEach(([x, y, z], i) => {
        const px = MIDDLE + RADIUS * x, py = MIDDLE - RADIUS * y, fade = state.d === 3 ? 0.62 + 0.38 * (z + 1) / 2 : 1;
        live.set(tips[i].line, { x2: px, y2: py, opacity: fade });
        live.set(tips[i], { transform: `translate(${px.toFixed(2)} ${py.toFixed(2)})`, opacity: fade });
      });
      const cosines = kernel.cosines(state.W), K = state.K;
      [...cells.children].forEach((cell, n) => {
        const value = cosines[Math.floor(n / K)][n % K];
        const tint = value < 0 ? "var(--nc-cold)" : "var(--nc-warm)";
        live.set(cell.firstChild, { fill: tint, "fill-opacity": Math.abs(value).toFixed(3) });
        const text = live.show(value, 2);
        if (cell.lastChild.textContent !== text) cell.lastChild.textContent = text;
        live.set(cell.lastChild, { class: Math.abs(value) > 0.6 ? "nclive-cell nclive-strong" : "nclive-cell" });
      });
      live.set(ground, { "aria-hidden": String(state.d < 3) });
      live.set(circle, { "stroke-dasharray": state.d === 3 ? "3 5" : "none" });
      const largest = kernel.largestCosine(state.W), bound = kernel.simplexBound(K, state.d);
      const attained = state.d >= K - 1 || K <= 2 * state.d;
      const degrees = (cosine) => (Math.acos(cosine) * 180) / Math.PI;
      const polygon = state.d === 2 ? Math.cos((2 * Math.PI) / K) : null;
      const best = polygon !== null ? polygon : attained ? bound : null;
      const distance = kernel.etfDistance(state.W);
      const reach = state.d >= K - 1 ? "0" : "≥ " + live.show(Math.sqrt(2 - 2 * Math.sqrt(state.d / (K - 1))), 3);
      tell([
        [live.show(degrees(largest), 1) + "°", best === null ? "below " + live.show(degrees(bound), 1) + "°" : live.show(degrees(best), 1) + "°"],
        [live.show(largest, 3), best === null ? "above " + live.show(bound, 3) : live.show(best, 3)],
        [live.show(kernel.coherence(state.W), 3), "≥ " + live.show(kernel.welchBound(K, state.d), 3) + " (Welch)"],
        [live.show(distance, 3), reach],
      ]);
      const verdict = distance < 0.0005 ? " This is a simplex ETF." : "";
      lab.say(`${K} vectors, smallest angle ${live.show(degrees(largest), 0)} degrees, distance to a simplex ETF ${live.show(distance, 3)}.${verdict}`);
    }

    return {
      draw,
      save: () => ({ K: state.K, d: state.d, yaw: +state.yaw.toFixed(3), pitch: +state.pitch.toFixed(3), W: state.W.map((w) => w.map((x) => +x.toFixed(6))) }),
      load: function (saved) {
        const sound = saved && saved.K >= 2 && saved.K <= 8 && [2, 3].includes(saved.d) && Array.isArray(saved.W) &&
          saved.W.length === saved.K && saved.W.every((w) => w.length === saved.d && w.every(Number.isFinite) && dot(w, w) > 0.1);
        state = { ...first, ...(sound ? saved : {}) };
        setK(state.K);
        setD(state.d);
        if (sound) { state.W = state.W.map(unit); rebuild(); } else if (state.d >= state.K - 1) { state.W = kernel.simplex(state.K, state.d).map((w) => w.slice(0, state.d)); rebuild(); } else shuffle();
      },
    };
  });
})();
