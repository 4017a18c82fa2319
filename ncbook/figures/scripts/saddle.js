/* The smallest landscape with a strict saddle: drop a ball, stand on the saddle, nudge it, race momentum against plain descent. */
(function () {
  "use strict";
  const live = window.ncLive;
  const SIZE = 320, REACH = 3.2; // the map shows w and h between -REACH and REACH

  const kernel = {
    /* f(w, h) = log(1 + e^{-wh}) + λ/2 (w² + h²) */
    value: (w, h, decay) => {
      const z = -w * h;
      return Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) + (decay / 2) * (w * w + h * h);
    },
    share: (w, h) => 1 / (1 + Math.exp(w * h)), // the probability of the wrong answer
    gradient: (w, h, decay) => {
      const p = kernel.share(w, h);
      return [-p * h + decay * w, -p * w + decay * h];
    },
    /* Eigenvalues of the Hessian, the smaller first, and the unit direction that belongs to it. */
    curvature: (w, h, decay) => {
      const p = kernel.share(w, h), q = p * (1 - p);
      const a = q * h * h + decay, b = q * w * h - p, c = q * w * w + decay;
      const mean = (a + c) / 2, half = Math.hypot((a - c) / 2, b);
      const direction = Math.abs(b) < 1e-300 ? (a <= c ? [1, 0] : [0, 1]) : [b, mean - half - a];
      const norm = Math.hypot(...direction);
      return { low: mean - half, high: mean + half, direction: direction.map((x) => x / norm) };
    },
    /* At the minima w = h = ±√s with s = log(1/λ − 1); for λ ≥ 1/2 the origin is the only one. */
    minimum: (decay) => {
      const s = decay < 0.5 ? Math.log(1 / decay - 1) : 0;
      return { s, value: Math.log1p(Math.exp(-s)) + decay * s };
    },
  };
  live.kernels.saddle = kernel;

  /* Level lines by marching squares: one path of short strokes for each level. */
  function contour(values, count, level) {
    const strokes = [], cell = SIZE / (count - 1), at = (i, j) => values[i * count + j];
    const cut = (a, b) => (level - a) / (b - a);
    for (let i = 0; i + 1 < count; i += 1) {
      for (let j = 0; j + 1 < count; j += 1) {
        const [a, b, c, d] = [at(i, j), at(i, j + 1), at(i + 1, j + 1), at(i + 1, j)], ends = [];
        if (a < level !== b < level) ends.push([j + cut(a, b), i]);
        if (b < level !== c < level) ends.push([j + 1, i + cut(b, c)]);
        if (d < level !== c < level) ends.push([j + cut(d, c), i + 1]);
        if (a < level !== d < level) ends.push([j, i + cut(a, d)]);
        for (let k = 0; k + 1 < ends.length; k += 2) {
          strokes.push(`M${(ends[k][0] * cell).toFixed(1)} ${(ends[k][1] * cell).toFixed(1)}L${(ends[k + 1][0] * cell).toFixed(1)} ${(ends[k + 1][1] * cell).toFixed(1)}`);
        }
      }
    }
    return strokes.join("");
  }

  live.define("saddle", function (lab) {
    const first = { decay: lab.parameters.weight_decay || 0.1, rate: 0.15, momentum: 0.8, start: [-1.6, 1.7] };
    let state, runs;
    const stage = lab.stage(SIZE, SIZE, "the landscape from above: w to the right, h upwards"), chart = lab.stage(SIZE, SIZE, "loss after each step");
    const ground = live.svg("rect", { x: 0, y: 0, width: SIZE, height: SIZE, fill: "transparent", class: "nclive-guide" }, stage);
    const levels = live.svg("g", { class: "nclive-levels", "pointer-events": "none" }, stage);
    const text = (parent, x, y, words, anchor) => { live.svg("text", { x, y, class: "nclive-cell", style: `text-anchor:${anchor}`, "font-size": 13 }, parent).textContent = words; };
    text(stage, SIZE - 8, SIZE - 8, "w →", "end");
    text(stage, 8, 18, "↑ h", "start");
    const wells = [1, -1].map(() => live.svg("path", { d: "M-6 0H6M0 -6V6", class: "nclive-mark" }, stage));
    live.svg("path", { d: "M-6 -6L6 6M-6 6L6 -6", class: "nclive-mark", transform: `translate(${SIZE / 2} ${SIZE / 2})` }, stage);
    const way = live.svg("line", { stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": "2 4" }, stage);
    const paths = ["var(--nc-1)", "var(--nc-2)"].map((color) => live.svg("polyline", { fill: "none", stroke: color, "stroke-width": 2.5, "stroke-linejoin": "round" }, stage));
    const balls = ["var(--nc-2)", "var(--nc-1)"].map((color) => {
      const ball = live.svg("g", {}, stage);
      live.svg("circle", { r: 20, fill: "transparent" }, ball);
      live.svg("circle", { r: 9, fill: color, stroke: "currentColor", "stroke-width": 1.5 }, ball);
      return ball;
    }).reverse();
    live.set(balls[1], { "pointer-events": "none" });
    live.svg("path", { d: `M34 8V${SIZE - 28}H${SIZE - 8}`, class: "nclive-guide" }, chart);
    const bound = live.svg("line", { x1: 34, x2: SIZE - 8, stroke: "currentColor", "stroke-dasharray": "6 4", opacity: 0.7 }, chart);
    const curves = ["var(--nc-1)", "var(--nc-2)"].map((color) => live.svg("polyline", { fill: "none", stroke: color, "stroke-width": 2.5 }, chart));
    text(chart, SIZE - 8, SIZE - 10, "steps →", "end");
    text(chart, 40, 20, "loss: plain (blue), momentum (orange)", "start");

    const across = (w) => (SIZE / 2) * (1 + w / REACH), up = (h) => (SIZE / 2) * (1 - h / REACH);
    const inside = (x) => Math.max(-REACH, Math.min(REACH, x));
    function drop(w, h) { lab.stop(); state.start = [inside(w), inside(h)]; begin(); }
    lab.drag(balls[0], stage, "the ball (drag, or arrow keys)", (at, by, key) => {
      if (key) drop(state.start[0] + 0.1 * by[0], state.start[1] - 0.1 * by[1]);
      else drop((at[0] / (SIZE / 2) - 1) * REACH, (1 - at[1] / (SIZE / 2)) * REACH);
    });
    ground.addEventListener("click", (event) => {
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(stage.getScreenCTM().inverse());
      drop((point.x / (SIZE / 2) - 1) * REACH, (1 - point.y / (SIZE / 2)) * REACH);
      lab.redraw();
      lab.keep();
    });
    const setDecay = lab.slider("decay", "decay λ", 0.02, 0.6, 0.01, first.decay, (decay) => { lab.stop(); state.decay = decay; map(); begin(); });
    const setRate = lab.slider("rate", "step size", 0.05, 1.5, 0.05, first.rate, (rate) => { lab.stop(); state.rate = rate; begin(); });
    const setMomentum = lab.slider("momentum", "momentum of the second ball", 0, 0.98, 0.02, first.momentum, (m) => { lab.stop(); state.momentum = m; begin(); });
    lab.buttons(
      ["Race", () => { begin(); lab.play(() => step(1)); }],
      ["One step", () => { lab.stop(); step(1); lab.keep(); }],
      ["Stand on the saddle", () => { drop(0, 0); lab.keep(); }],
      ["Nudge along the way out", () => { const [w, h] = state.start, { direction } = kernel.curvature(w, h, state.decay); drop(w + 0.01 * direction[0], h + 0.01 * direction[1]); lab.keep(); }],
    );
    const tell = lab.readout([["loss, plain"], ["loss, momentum"], ["steps taken"], ["length of the gradient"], ["smallest curvature"]]);

    function begin() {
      runs = [0, 1].map(() => ({ at: state.start.slice(), speed: [0, 0], path: [state.start.slice()] }));
    }
    function step(times) {
      for (let t = 0; t < times; t += 1) {
        runs.forEach((run, i) => {
          const slope = kernel.gradient(...run.at, state.decay), memory = i ? state.momentum : 0;
          run.speed = run.speed.map((v, a) => memory * v - state.rate * slope[a]);
          run.at = run.at.map((x, a) => x + run.speed[a]);
          run.path.push(run.at.slice());
        });
      }
      const resting = runs.every((run) => Math.hypot(...kernel.gradient(...run.at, state.decay)) < 1e-6 && Math.hypot(...run.speed) < 1e-6);
      return !resting && runs[0].path.length < 600;
    }
    function map() {
      const count = 49, values = [];
      for (let i = 0; i < count; i += 1) for (let j = 0; j < count; j += 1) values.push(kernel.value(REACH * ((2 * j) / (count - 1) - 1), REACH * (1 - (2 * i) / (count - 1)), state.decay));
      const least = kernel.minimum(state.decay).value, ridge = kernel.value(0, 0, state.decay);
      const heights = [0.05, 0.2, 0.45, 0.7, 0.9, 1, 1.15, 1.5, 2, 2.7, 3.6, 4.8].map((x) => (ridge - least > 1e-6 ? least + x * (ridge - least) : least + x / 3));
      levels.replaceChildren(...heights.map((level) => live.svg("path", { d: contour(values, count, level) })));
      const root = Math.sqrt(kernel.minimum(state.decay).s);
      wells.forEach((mark, i) => live.set(mark, { transform: `translate(${across(i ? -root : root).toFixed(1)} ${up(i ? -root : root).toFixed(1)})` }));
    }
    function draw() {
      const least = kernel.minimum(state.decay).value, losses = runs.map((run) => run.path.map(([w, h]) => kernel.value(w, h, state.decay)));
      const top = Math.max(...losses.flat(), Math.LN2), length = Math.max(40, losses[0].length - 1);
      const height = (v) => 30 + (SIZE - 58) * (1 - v / top), now = losses.map((list) => list[list.length - 1]);
      runs.forEach((run, i) => {
        live.set(paths[i], { points: run.path.map(([w, h]) => `${across(w).toFixed(1)},${up(h).toFixed(1)}`).join(" ") });
        live.set(balls[i], { transform: `translate(${across(run.at[0]).toFixed(2)} ${up(run.at[1]).toFixed(2)})` });
        live.set(curves[i], { points: losses[i].map((v, t) => `${(34 + ((SIZE - 42) * t) / length).toFixed(1)},${height(v).toFixed(1)}`).join(" ") });
      });
      live.set(bound, { y1: height(least), y2: height(least) });
      const [w, h] = runs[0].at, slope = Math.hypot(...kernel.gradient(w, h, state.decay)), bend = kernel.curvature(w, h, state.decay);
      const out = bend.low < 0 ? 26 : 0;
      live.set(way, { x1: across(w) - out * bend.direction[0], y1: up(h) + out * bend.direction[1], x2: across(w) + out * bend.direction[0], y2: up(h) - out * bend.direction[1] });
      tell([[live.show(now[0], 5), live.show(least, 5)], [live.show(now[1], 5), live.show(least, 5)], [String(runs[0].path.length - 1), ""], [live.show(slope, 5), "0"], [live.show(bend.low, 4), bend.low < 0 ? "negative: a way out (dotted)" : "no way out"]]);
      const saddle = slope < 1e-9 && bend.low < 0 ? " On the saddle: nothing pulls, and yet there is a way out." : "";
      lab.say(`Loss ${live.show(now[0], 3)} plain, ${live.show(now[1], 3)} with momentum, least possible ${live.show(least, 3)}.${saddle}`);
    }
    return {
      draw,
      save: () => ({ decay: state.decay, rate: state.rate, momentum: state.momentum, start: state.start.map((x) => +x.toFixed(6)), steps: runs[0].path.length - 1 }),
      load: function (saved) {
        const within = (x, low, high) => Number.isFinite(x) && x >= low && x <= high;
        const sound = saved && within(saved.decay, 0.02, 0.6) && within(saved.rate, 0.05, 1.5) && within(saved.momentum, 0, 0.98) && Array.isArray(saved.start) && saved.start.length === 2 && saved.start.every((x) => within(x, -REACH, REACH)) && within(saved.steps, 0, 600);
        state = { ...first, ...(sound ? saved : {}) };
        setDecay(state.decay); setRate(state.rate); setMomentum(state.momentum);
        map();
        begin();
        if (sound) for (let t = 0; t < saved.steps; t += 1) step(1);
      },
    };
  });
})();
