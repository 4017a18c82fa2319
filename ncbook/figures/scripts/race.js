/* The rank race: shapes of K classes at their best scale behind L decayed layers, and which of them is lowest. */
(function () {
  "use strict";
  const live = window.ncLive;
  const SIZE = 320, LAYERS = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], LEFT = 44, RIGHT = SIZE - 12, TOP = 14, BOTTOM = SIZE - 58;

  /* A shape is what its Gram matrix says: how far the others are behind the own class (margin, how many), and its singular
     values (value, how many). All classes see the same. null where the shape does not exist for K classes. */
  const around = (k) => Array.from({ length: Math.floor(k / 2) }, (_, j) => [1 - Math.cos((2 * Math.PI * (j + 1)) / k), 2 * (j + 1) === k ? 1 : 2]);
  const ring = (k) => (k === 2 ? [[2, 1]] : [[k / 2, 2]]);
  const SHAPES = {
    "simplex ETF": (K) => ({ margins: [[K / (K - 1), K - 1]], singular: [[K / (K - 1), K - 1]] }),
    triangles: (K) => (K % 3 || K < 6 ? null : { margins: [[1.5, 2], [1, K - 3]], singular: [[1.5, (2 * K) / 3]] }),
    orthoplex: (K) => (K % 2 || K < 4 ? null : { margins: [[1, K - 2], [2, 1]], singular: [[2, K / 2]] }),
    "two polygons": (K) => (K % 2 || K < 6 ? null : { margins: [...around(K / 2), [1, K / 2]], singular: [[K / 4, 4]] }),
    circle: (K) => ({ margins: around(K), singular: ring(K) }),
  };
  const NEEDS = { triangles: "K = 6, 9, 12 …", orthoplex: "an even K", "two polygons": "an even K from 6" };
  const kernel = {
    shape: (name, K) => SHAPES[name](K),
    loss: (shape, t) => {
      let sum = 0;
      for (let i = 0; i < shape.margins.length; i += 1) sum += shape.margins[i][1] * Math.exp(-t * shape.margins[i][0]);
      return Math.log1p(sum);
    },
    price: (shape, t, L, decay, n) => ((L * decay) / 2) * shape.singular.reduce((sum, [s, times]) => sum + times * (t * s * Math.sqrt(n)) ** (2 / L), 0),
    rank: (shape) => shape.singular.reduce((sum, [, times]) => sum + times, 0),
    /* The least objective over the scale t: a grid between e^-3 and e^12, then golden sections; zero where nothing pays. */
    best: (shape, K, L, decay, n) => {
      const unit = kernel.price(shape, 1, L, decay, n), f = (u) => kernel.loss(shape, Math.exp(u)) + unit * Math.exp((2 * u) / L);
      let at = -3, least = Infinity;
      for (let i = 0; i <= 30; i += 1) {
        const value = f(-3 + 0.5 * i);
        if (value < least) { least = value; at = -3 + 0.5 * i; }
      }
      const golden = (Math.sqrt(5) - 1) / 2;
      let [low, high] = [at - 0.5, at + 0.5], a = high - golden * (high - low), b = low + golden * (high - low), fa = f(a), fb = f(b);
      for (let i = 0; i < 26; i += 1) {
        if (fa < fb) { high = b; b = a; fb = fa; a = high - golden * (high - low); fa = f(a); }
        else { low = a; a = b; fa = fb; b = low + golden * (high - low); fb = f(b); }
      }
      const t = Math.exp((low + high) / 2), value = f((low + high) / 2);
      return value < Math.log(K) ? { scale: t, value, loss: kernel.loss(shape, t), rank: kernel.rank(shape) } : { scale: 0, value: Math.log(K), loss: Math.log(K), rank: 0 };
    },
  };
  live.kernels.race = kernel;

  live.define("race", function (lab) {
    const given = lab.parameters, first = { K: given.num_classes || 10, L: given.layers || 3, decay: given.decay || 1e-3 };
    const names = Object.keys(SHAPES), color = (i) => live.colors[i];
    let state, table, made = "";
    const bars = lab.stage(SIZE, SIZE, "least objective of each shape: its loss and the price of its directions");
    const chart = lab.stage(SIZE, SIZE, "least objective of each shape over the number of layers");
    const piece = live.svg;
    const words = (x, y, text, anchor, parent, size) => {
      const node = piece("text", { x, y, class: "nclive-cell", style: `text-anchor:${anchor}`, "font-size": size || 13 }, parent);
      node.textContent = text;
      return node;
    };
    const rows = names.map((name, i) => {
      const y = 6 + 59 * i, row = piece("g", { transform: `translate(0 ${y})` }, bars);
      const frame = piece("rect", { x: 1, y: 1, width: SIZE - 2, height: 55, rx: 6, fill: "none", stroke: color(i), "stroke-width": 2 }, row);
      const label = words(10, 18, name, "start", row, 14), amount = words(SIZE - 10, 18, "", "end", row, 14);
      amount.style.fontWeight = 700;
      const loss = piece("rect", { x: 10, y: 24, height: 12, fill: color(i) }, row), price = piece("rect", { y: 24, height: 12, fill: color(i), "fill-opacity": 0.45 }, row);
      const ranks = piece("path", { fill: color(i) }, row);
      return { row, frame, label, amount, loss, price, ranks };
    });
    words(10, SIZE - 6, "bar: loss, then price (pale). Squares: directions.", "start", bars, 12);

    piece("path", { d: `M${LEFT} ${TOP}V${BOTTOM}H${RIGHT}`, class: "nclive-guide" }, chart);
    const across = (L) => LEFT + 10 + ((RIGHT - LEFT - 20) * (L - 2)) / 10;
    LAYERS.forEach((L) => words(across(L), BOTTOM + 16, String(L), "middle", chart, 12));
    words(RIGHT, SIZE - 8, "layers L; the strip: who is lowest", "end", chart, 12);
    const strip = LAYERS.map((L) => piece("rect", { x: across(L) - 11, y: BOTTOM + 22, width: 22, height: 10 }, chart));
    const ticks = [0, 1, 2, 3].map(() => words(LEFT - 5, 0, "", "end", chart, 12));
    const curves = names.map((_, i) => piece("polyline", { fill: "none", stroke: color(i), "stroke-width": 2.2, "stroke-dasharray": ["none", "2 3", "8 3", "5 3 1 3", "none"][i] }, chart));
    const dots = names.map((_, i) => piece("circle", { r: 4, fill: color(i) }, chart));
    const cursor = piece("g", {}, chart);
    piece("path", { d: `M0 ${TOP}V${BOTTOM}`, class: "nclive-mark", "stroke-opacity": 0.7 }, cursor);
    piece("rect", { x: -16, y: TOP - 10, width: 32, height: BOTTOM - TOP + 10, fill: "transparent" }, cursor);
    piece("circle", { cy: TOP, r: 7, fill: "currentColor" }, cursor);
    lab.drag(cursor, chart, "number of layers (drag, or arrow keys)", (at, by, key) => {
      setL((state.L = Math.max(2, Math.min(12, key ? state.L + (by[0] || -by[1]) : Math.round(2 + (10 * (at[0] - LEFT - 10)) / (RIGHT - LEFT - 20))))));
    });

    const setL = lab.slider("L", "layers L", 2, 12, 1, first.L, (L) => { state.L = L; lab.keep(); });
    const setDecay = lab.slider("decay", "decay λ", -6, -1, 0.05, Math.log10(first.decay), (x) => { state.decay = 10 ** x; lab.keep(); }, (x) => live.scientific(10 ** x));
    const setK = lab.slider("K", "classes K", 3, 24, 1, first.K, (K) => { state.K = K; lab.keep(); });
    lab.buttons(["One more layer", () => { setL((state.L = state.L < 12 ? state.L + 1 : 2)); lab.keep(); }]);
    const tell = lab.readout([["least objective"], ["rank of the logits"], ["scale of the logits"], ["loss, of the objective"]], "simplex ETF");
    const heading = lab.panel.querySelector(".nclive-readout th[scope=col]");

    function draw() {
      const key = state.K + " " + state.decay, shapes = names.map((name) => kernel.shape(name, state.K));
      if (key !== made) {
        made = key;
        table = shapes.map((shape) => shape && LAYERS.map((L) => kernel.best(shape, state.K, L, state.decay, 1)));
      }
      const at = LAYERS.indexOf(state.L), now = table.map((row) => row && row[at]), there = now.filter(Boolean);
      const most = Math.max(...there.map((x) => x.value)), winner = (i) => table.reduce((top, row, k) => (row && row[i].value < table[top][i].value - 1e-12 ? k : top), 0);
      const won = winner(at), lost = now[won].rank === 0;
      rows.forEach((row, i) => {
        const found = now[i], wide = SIZE - 20;
        live.set(row.frame, { visibility: i === won && !lost ? "visible" : "hidden" });
        live.set(row.row, { opacity: found ? 1 : 0.55 });
        row.label.textContent = names[i] + (found ? found.rank ? "" : ": gives up" : ": needs " + NEEDS[names[i]]) + (i === won && !lost ? ", the lowest" : "");
        row.label.style.fontWeight = i === won && !lost ? 700 : 400;
        row.amount.textContent = found ? live.show(found.value, 4) : "";
        const a = found ? (wide * found.loss) / most : 0, b = found ? (wide * (found.value - found.loss)) / most : 0;
        live.set(row.loss, { width: a });
        live.set(row.price, { x: 10 + a, width: Math.max(0, b) });
        const squares = found ? found.rank : 0;
        live.set(row.ranks, { d: Array.from({ length: squares }, (_, j) => `M${10 + 12 * j} 41h8v8h-8z`).join("") });
      });
      const all = table.filter(Boolean).flat().map((x) => x.value), low = Math.log(0.85 * Math.min(...all)), high = Math.log(1.1 * Math.max(...all));
      const down = (v) => BOTTOM - ((BOTTOM - TOP) * (Math.log(v) - low)) / (high - low);
      ticks.forEach((tick, i) => {
        const v = Math.exp(low + ((i + 0.5) / 4) * (high - low));
        live.set(tick, { y: down(v) + 4 });
        tick.textContent = v.toPrecision(1 + (v < 1)).replace(/e-(\d)/, "e−$1");
      });
      table.forEach((row, i) => {
        live.set(curves[i], { points: row ? row.map((x, j) => `${across(LAYERS[j]).toFixed(1)},${down(x.value).toFixed(1)}`).join(" ") : "" });
        live.set(dots[i], row ? { cx: across(state.L), cy: down(row[at].value), visibility: "visible" } : { visibility: "hidden" });
      });
      strip.forEach((box, j) => live.set(box, { fill: table[winner(j)][j].rank ? color(winner(j)) : "var(--nc-line)" }));
      live.set(cursor, { transform: `translate(${across(state.L).toFixed(1)} 0)` });
      const lead = now[won], etf = now[0], percent = (x) => Math.round((100 * x.loss) / x.value) + " %";
      heading.textContent = lost ? "all give up" : names[won];
      tell([[live.show(lead.value, 4), live.show(etf.value, 4)], [String(lead.rank), String(etf.rank)], [live.show(lead.scale, 1), live.show(etf.scale, 1)], [percent(lead), percent(etf)]]);
      lab.say(lost ? `${state.K} classes, ${state.L} layers: the decay is so strong that zero is the best of all.` :
        `${state.K} classes, ${state.L} layers: ${names[won]} is lowest, ${live.show(lead.value, 4)} with rank ${lead.rank}; the simplex ETF has ${live.show(etf.value, 4)}.`);
    }
    return {
      draw,
      save: () => ({ K: state.K, L: state.L, decay: state.decay }),
      load: function (saved) {
        const whole = (x, low, high) => Number.isInteger(x) && x >= low && x <= high;
        const sound = saved && whole(saved.K, 3, 24) && whole(saved.L, 2, 12) && saved.decay >= 9e-7 && saved.decay <= 0.11;
        state = { ...first, ...(sound ? { K: saved.K, L: saved.L, decay: saved.decay } : {}) };
        setL(state.L); setDecay(Math.log10(state.decay)); setK(state.K);
      },
    };
  });
})();
