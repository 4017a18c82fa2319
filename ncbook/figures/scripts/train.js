/* Train it yourself: three classes of digits, two features each, and neural collapse as it happens. */
(function () {
  "use strict";
  const live = window.ncLive, kernel = live.kernels.train;
  const SIZE = 320, MIDDLE = SIZE / 2, RUN = 600, MOMENTUM = 0.9, HIDDEN = [16, 16], KEPT = 1200, BUDGET = 2.4, SPREAD = 0.15;
  const LEFT = 40, RIGHT = SIZE - 54, TOP = 76, BOTTOM = SIZE - 26, LOW = -5; // the chart: NC from 1 to 10^LOW
  const MEASURES = [["nc1", "NC1", "var(--nc-4)"], ["nc2_means", "NC2", "var(--nc-5)"], ["nc3", "NC3", "var(--nc-6)"]];

  live.define("train", function (lab) {
    const given = lab.parameters, names = given.names, K = names.length;
    const X = kernel.unpack(given.images), T = kernel.unpack(given.tests), pixels = given.side * given.side;
    const N = X.length / pixels, each = N / K, truth = Array.from({ length: N }, (_, i) => Math.floor(i / each));
    const tests = T.length / pixels, testTruth = Array.from({ length: tests }, (_, i) => Math.floor((i * K) / tests));
    const net = kernel.network([pixels, ...HIDDEN, 2, K], N), G = new Float64Array(net.count);
    const first = { seed: given.seed || 1, decay: given.weight_decay || 0.01, rate: given.learning_rate || 0.1, noise: 0 };
    let state, P, V, labels, order, records, stride, trails, shown, goal, chosen = -1, learnt, exam, early = false;

    const stage = lab.stage(SIZE, SIZE, "features (dots), class means (numbers) and rows of the classifier (arrows)");
    const chart = lab.stage(SIZE, SIZE, "accuracy above, NC1 to NC4 below, over the steps");
    const piece = (tag, attributes, parent) => live.svg(tag, attributes, parent);
    const world = piece("g", { fill: "none", "stroke-linecap": "round", "stroke-linejoin": "round" }, stage);
    const line = (width, color, opacity) => piece("path", { stroke: color, "stroke-width": width, "stroke-opacity": opacity, "vector-effect": "non-scaling-stroke" }, world);
    const rays = names.map((_, k) => line(1.2, live.colors[k], 0.4)), triangle = line(1, "var(--nc-line)", 0.9);
    const dots = names.map((_, k) => line(5.5, live.colors[k], 0.85)), arrows = names.map((_, k) => line(3.5, live.colors[k], 1));
    const ring = piece("circle", { r: 9, class: "nclive-mark", visibility: "hidden" }, stage);
    const tags = names.map((name, k) => {
      const tag = piece("g", {}, stage);
      piece("circle", { r: 12, fill: live.colors[k] }, tag);
      piece("text", { y: 5, class: "nclive-number", style: "font-size:15px" }, tag).textContent = name;
      return tag;
    });
    const words = (x, y, text, anchor, parent, size) => {
      const node = piece("text", { x, y, class: "nclive-cell", style: `text-anchor:${anchor}`, "font-size": size || 13 }, parent);
      node.textContent = text;
      return node;
    };
    const picture = piece("g", { transform: "translate(8 8)", visibility: "hidden" }, stage);
    const squares = Array.from({ length: pixels }, (_, i) => piece("rect", { x: 6 * (i % given.side), y: 6 * Math.floor(i / given.side), width: 6.2, height: 6.2, fill: "currentColor" }, picture));
    const caption = words(0, 6 * given.side + 15, "", "start", picture);
    const counter = words(SIZE - 8, SIZE - 10, "", "end", stage);

    piece("path", { d: `M${LEFT} ${TOP}V${BOTTOM}H${RIGHT}M${LEFT} 20V58`, class: "nclive-guide" }, chart);
    for (let p = 0; p >= LOW; p -= 1) {
      const y = TOP + ((BOTTOM - TOP) * p) / LOW;
      piece("path", { d: `M${LEFT} ${y}H${RIGHT}`, class: "nclive-guide", opacity: 0.3 }, chart);
      words(LEFT - 6, y + 4, p ? "10" + "⁻¹⁻²⁻³⁻⁴⁻⁵".slice(-2 * p - 2, -2 * p) : "1", "end", chart, 12);
    }
    words(LEFT - 6, 24, "100 %", "end", chart, 12);
    words(LEFT - 6, 62, "0", "end", chart, 12);
    const steps = words(RIGHT, SIZE - 8, "", "end", chart, 12);
    const plot = (color, dashes) => piece("polyline", { fill: "none", stroke: color, "stroke-width": 2.2, "stroke-dasharray": dashes || "none", "stroke-linejoin": "round" }, chart);
    const hit = piece("path", { class: "nclive-guide", "stroke-dasharray": "3 3" }, chart), hitWords = words(0, BOTTOM - 6, "no mistake from here", "start", chart, 12);
    const shares = [["training", (r) => r.found.accuracy, "none"], ["test", (r) => r.test, "2 4"], ["NC4", (r) => r.found.nc4, "7 4"]].map(([name, get, dashes]) =>
      [get, plot("currentColor", dashes), words(0, 0, name, "start", chart, 12)]);
    const lines = MEASURES.map(([, , color], i) => plot(color, ["none", "7 3", "2 3"][i]));
    const ends = MEASURES.map(([, name, color]) => { const node = words(RIGHT + 5, 0, name, "start", chart, 12); node.style.fill = color; node.style.fontWeight = 700; return node; });
    const cursor = piece("path", { class: "nclive-mark", "stroke-opacity": 0.6 }, chart);

    const setAt = lab.slider("at", "step", 0, RUN, 1, 0, (t) => { lab.stop(); look(t); });
    const scrub = lab.panel.querySelector("input");
    const [playing, , , ] = lab.buttons(
      ["Play", () => (lab.ticking ? lab.stop() : go())],
      ["One step", () => { lab.stop(); if (state.age >= RUN) state.age = 0; train(); look(Infinity); lab.keep(); }],
      ["Other start", () => { lab.stop(); begin({ seed: state.seed % 1000 + 1 }); go(); }],
    );
    lab.group("nclive-trio");
    const power = (name, label, low, high, key) => {
      const put = lab.slider(name, label, low, high, 0.05, Math.log10(first[key]), (x) => change(key, 10 ** x), (x) => (10 ** x).toPrecision(2));
      return (v) => put(Math.log10(v));
    };
    const setDecay = power("decay", "weight decay", -4, -1, "decay"), setRate = power("rate", "learning rate", -2.5, -0.3, "rate");
    const setNoise = lab.slider("noise", "wrong labels", 0, 0.5, 0.05, 0, (x) => change("noise", x), (x) => Math.round(100 * x) + " %");
    lab.group(null);
    const tell = given.table === false ? () => {} : lab.readout([["NC1, spread within classes"], ["NC2, means from an ETF"], ["NC3, arrows from the means"], ["NC4, decided by the nearest mean"], ["training accuracy"], ["accuracy on new images"]], "at collapse");

    /* Wrong labels come in triples, one image of each class, passed round: every class keeps its size. */
    function relabel() {
      labels = truth.slice();
      const wrong = Math.round(state.noise * each);
      for (let r = 0; r < wrong; r += 1) for (let k = 0; k < K; k += 1) labels[order[k][r]] = (k + 1 + (r % (K - 1))) % K;
    }
    function begin(wish) {
      state = { ...first, log: [], steps: 0, age: 0, ...wish };
      P = net.start(state.seed, SPREAD);
      V = new Float64Array(net.count);
      const draw = live.random(state.seed + 7);
      order = names.map((_, k) => {
        const mine = Array.from({ length: each }, (_, i) => k * each + i);
        for (let i = each - 1; i > 0; i -= 1) { const j = Math.floor(draw() * (i + 1)); [mine[i], mine[j]] = [mine[j], mine[i]]; }
        return mine;
      });
      trails = Array.from({ length: N }, () => []);
      records = [];
      stride = 1;
      goal = learnt = null;
      relabel();
      record(net.forward(P, X).features);
      look(Infinity);
      setDecay(state.decay); setRate(state.rate); setNoise(state.noise);
    }
    /* A change is made where training stands, and the learning rate's schedule begins again. */
    function change(key, value) {
      if (shown < records.length - 1) look(Infinity);
      state[key] = value;
      state.age = 0;
      if (key === "noise") relabel();
      const last = state.log[state.log.length - 1], entry = [state.steps, state.decay, state.rate, state.noise];
      if (last && last[0] === state.steps) state.log.pop();
      state.log.push(entry);
      learnt = null;
      if (!lab.ticking) lab.keep();
    }
    function adopt(decay, rate, noise) {
      change("decay", decay); change("rate", rate); change("noise", noise);
      setDecay(decay); setRate(rate); setNoise(noise);
    }
    function train() {
      const pace = (1 + Math.cos((Math.PI * state.age) / RUN)) / 2;
      net.slope(P, X, labels, G);
      kernel.descend(P, V, G, state.rate * pace, MOMENTUM, state.decay);
      state.steps += 1;
      state.age += 1;
      const { features } = net.forward(P, X); // the next slope is taken from here
      if (state.steps % stride === 0) record(features);
    }
    function record(features) {
      const W = net.rows(P), b = net.bias(P), found = kernel.collapse(features, labels, W, b);
      if (records.length % 4 === 0 || state.age >= RUN) exam = examined();
      if (learnt === null && found.accuracy === 1) learnt = state.steps;
      records.push({ step: state.steps, H: Float32Array.from(features), W, found, test: exam, learnt, noise: state.noise });
      for (let n = 0; n < N; n += 3) {
        const trail = trails[n], x = features[2 * n] - found.middle[0], y = features[2 * n + 1] - found.middle[1], last = trail[trail.length - 1];
        if (!last || Math.hypot(x - last[1], y - last[2]) > 0.08) trail.push([state.steps, x, y, `${last ? "L" : "M"}${x.toFixed(3)} ${y.toFixed(3)}`]);
      }
      if (records.length > KEPT) {
        stride *= 2;
        records = records.filter((r) => r.step % stride === 0);
      }
    }
    /* The share of new images that the network gets right. */
    function examined() {
      const z = net.predict(P, T, tests);
      let right = 0;
      for (let n = 0; n < tests; n += 1) {
        let best = 0;
        for (let k = 1; k < K; k += 1) if (z[n * K + k] > z[n * K + best]) best = k;
        right += best === testTruth[n];
      }
      return right / tests;
    }
    function look(step) {
      const at = records.findIndex((r) => r.step >= step);
      shown = at < 0 ? records.length - 1 : at;
    }
    function go() {
      if (state.age >= RUN) state.age = 0;
      lab.play(tick);
    }
    function tick() {
      const begin = performance.now(), most = state.steps < 90 ? 1 : 4;
      if (state.steps < 50 && (early = !early) && !live.still()) return true; // the first steps are worth seeing
      for (let i = 0; i < most; i += 1) {
        train();
        for (const [step, decay, rate, noise] of state.replay || []) {
          if (step === state.steps) adopt(decay, rate, noise);
        }
        if (goal !== null && state.steps >= goal) { goal = null; look(Infinity); return false; }
        if (state.age >= RUN || (performance.now() - begin) * (i + 2) > BUDGET * (i + 1)) break; // the next would be too long
      }
      look(Infinity);
      return state.age < RUN;
    }

    function draw() {
      const now = records[shown], { found, H, W } = now, past = records.slice(0, shown + 1);
      let reach = 2.2;
      for (const r of past) for (const m of r.found.centred) reach = Math.max(reach, Math.abs(m));
      const zoom = MIDDLE / (1.7 * reach), turn = given.turn || 0, c = zoom * Math.cos(turn), s = zoom * Math.sin(turn);
      const place = (x, y) => [MIDDLE - c * x + s * y, MIDDLE - s * x - c * y]; // seen from behind: the book's emblem
      live.set(world, { transform: `matrix(${-c} ${-s} ${s} ${-c} ${MIDDLE} ${MIDDLE})` });
      const [mx, my] = found.middle, M = found.centred, short = (x) => x.toFixed(3);
      names.forEach((_, k) => {
        let d = "", ray = "";
        for (let n = k * each; n < (k + 1) * each; n += 1) {
          d += `M${short(H[2 * n] - mx)} ${short(H[2 * n + 1] - my)}h0`;
          for (const spot of trails[n]) if (spot[0] <= now.step) ray += spot[3];
        }
        live.set(dots[k], { d });
        live.set(rays[k], { d: ray });
      });
      live.set(triangle, { d: names.map((_, k) => `${k ? "L" : "M"}${short(M[2 * k])} ${short(M[2 * k + 1])}`).join("") + "Z" });
      const norm = (A) => Math.sqrt(A.reduce((sum, x) => sum + x * x, 0)), scale = norm(M) / (norm(W) || 1);
      names.forEach((_, k) => {
        const x = scale * W[2 * k], y = scale * W[2 * k + 1], r = Math.hypot(x, y) || 1, u = (0.07 * reach * x) / r, v = (0.07 * reach * y) / r;
        live.set(arrows[k], { d: `M0 0L${short(x)} ${short(y)}M${short(x - u - 0.6 * v)} ${short(y - v + 0.6 * u)}L${short(x)} ${short(y)}L${short(x - u + 0.6 * v)} ${short(y - v - 0.6 * u)}` });
        const length = Math.hypot(M[2 * k], M[2 * k + 1]) || 1, way = [M[2 * k] / length, M[2 * k + 1] / length];
        // A class's name stands just outside the last of its dots.
        const last = labels.reduce((top, own, n) => (own === k ? Math.max(top, way[0] * (H[2 * n] - mx) + way[1] * (H[2 * n + 1] - my)) : top), length), far = last + 0.22 * reach;
        const [px, py] = place(far * way[0], far * way[1]), inside = (z) => Math.max(13, Math.min(SIZE - 13, z)).toFixed(1);
        live.set(tags[k], { transform: `translate(${inside(px)} ${inside(py)})` });
      });
      live.set(picture, { visibility: chosen < 0 ? "hidden" : "visible" });
      live.set(ring, { visibility: chosen < 0 ? "hidden" : "visible" });
      if (chosen >= 0) {
        const [cx, cy] = place(H[2 * chosen] - mx, H[2 * chosen + 1] - my);
        live.set(ring, { cx, cy });
        squares.forEach((square, i) => live.set(square, { "fill-opacity": X[chosen * pixels + i] }));
        caption.textContent = "a " + names[truth[chosen]] + (labels[chosen] === truth[chosen] ? "" : ", called " + names[labels[chosen]]);
      }
      counter.textContent = "step " + now.step;
      drawChart(past, now);
      live.set(scrub, { max: String(Math.max(1, state.steps)) });
      setAt(now.step);
      playing.textContent = lab.ticking ? "Pause" : "Play";
      const small = (v) => (v >= 0.1 ? live.show(v, 2) : v >= 1e-3 ? live.show(v, 4) : live.scientific(v)), percent = (v) => live.show(100 * v, 1) + " %";
      tell([[small(found.nc1), "0"], [small(found.nc2_means), "0"], [small(found.nc3), "0"], [live.show(found.nc4, 3), "1"], [percent(found.accuracy), "100 %"], [percent(now.test), "no promise"]]);
      lab.say(`Step ${now.step}: training accuracy ${percent(found.accuracy)}, NC1 ${small(found.nc1)}, NC2 ${small(found.nc2_means)}, NC3 ${small(found.nc3)}.` + (state.age >= RUN && found.nc1 < 1e-2 && found.nc3 < 0.1 ? " Collapsed." : ""));
    }
    function drawChart(past, now) {
      const width = Math.max(RUN, state.steps), across = (t) => LEFT + ((RIGHT - LEFT) * t) / width, skip = Math.ceil(past.length / 100);
      const some = past.filter((r, i) => i % skip === 0 || i === past.length - 1);
      const down = (v) => TOP + (BOTTOM - TOP) * Math.min(1, Math.max(0, Math.log10(Math.max(v, 1e-12)) / LOW)), share = (v) => 20 + 38 * (1 - v);
      const points = (f) => some.map((r) => `${across(r.step).toFixed(1)},${f(r).toFixed(1)}`).join(" ");
      const logarithmic = MEASURES.map(([key], i) => [(r) => down(r.found[key]), lines[i], ends[i]]), linear = shares.map(([get, curve, name]) => [(r) => share(get(r)), curve, name]);
      // The names stand where the curves end, pushed apart so that each can be read.
      for (const [curves, low] of [[linear, 62], [logarithmic, BOTTOM]]) {
        const heights = curves.map(([f, curve, name]) => { live.set(curve, { points: points(f) }); return [f(now) + 4, name]; }).sort((a, b) => a[0] - b[0]);
        for (let i = 1; i < heights.length; i += 1) heights[i][0] = Math.max(heights[i][0], heights[i - 1][0] + 13);
        for (let i = heights.length - 1, floor = low; i >= 0; i -= 1, floor -= 13) heights[i][0] = Math.min(heights[i][0], floor);
        heights.forEach(([y, name]) => live.set(name, { y, x: across(now.step) + 5 }));
      }
      live.set(hit, { d: now.learnt === null ? "" : `M${across(now.learnt)} ${TOP}V${BOTTOM}` });
      live.set(hitWords, { x: across(now.learnt || 0) + 4, visibility: now.learnt === null ? "hidden" : "visible" });
      live.set(cursor, { d: shown === records.length - 1 ? "" : `M${across(now.step)} 12V${BOTTOM}` });
      steps.textContent = width + " steps";
    }

    /* The image behind a dot: under the mouse, under a tap, or the next one by the arrow keys. */
    const nearest = (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(world.getScreenCTM().inverse()), now = records[shown], [mx, my] = now.found.middle;
      let best = -1, least = 0.35;
      for (let n = 0; n < N; n += 1) {
        const far = Math.hypot(now.H[2 * n] - mx - at.x, now.H[2 * n + 1] - my - at.y);
        if (far < least) { least = far; best = n; }
      }
      if (best !== chosen) { chosen = best; lab.redraw(); }
    };
    stage.addEventListener("pointermove", nearest);
    stage.addEventListener("pointerdown", nearest, true);
    stage.addEventListener("pointerleave", () => { chosen = -1; lab.redraw(); });
    const ground = piece("rect", { width: SIZE, height: SIZE, fill: "transparent" });
    stage.prepend(ground);
    lab.drag(ground, stage, "see the image behind a dot (arrow keys)", (at, by, key) => { if (key) chosen = (chosen + N + (by[0] || by[1])) % N; });
    const strip = piece("rect", { width: SIZE, height: SIZE, fill: "transparent" }, chart);
    lab.drag(strip, chart, "go through the steps (drag, or arrow keys)", (at, by, key) => {
      lab.stop();
      const width = Math.max(RUN, state.steps);
      look(key ? Math.max(0, records[shown].step + stride * (by[0] || by[1])) : Math.max(0, Math.min(width, (width * (at[0] - LEFT)) / (RIGHT - LEFT))));
    });

    for (const node of [ground, strip]) node.style.touchAction = "pan-y"; // a finger still scrolls the page

    return {
      draw,
      save: () => ({ seed: state.seed, log: state.log, steps: state.steps }),
      load: function (saved) {
        const between = (x, low, high) => Number.isFinite(x) && x >= low && x <= high;
        const sound = saved && Number.isInteger(saved.seed) && between(saved.seed, 1, 1000) && Number.isInteger(saved.steps) && between(saved.steps, 0, 6000) &&
          Array.isArray(saved.log) && saved.log.length < 200 && saved.log.every((e) => Array.isArray(e) && e.length === 4 && between(e[0], 0, 6000) && between(e[1], 9e-5, 0.11) && between(e[2], 3e-3, 0.51) && between(e[3], 0, 0.5));
        begin(sound ? { seed: saved.seed, replay: saved.log } : {});
        if (!sound) { if (given.autoplay !== false) go(); return; }
        const early = saved.log.find((e) => e[0] === 0);
        if (early) adopt(...early.slice(1));
        if (saved.steps) { goal = saved.steps; lab.play(tick); }
      },
    };
  });
})();
