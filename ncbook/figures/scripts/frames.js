/* Frames of unit vectors and their cosines: one script, a view for each figure, chosen by the parameter "which". */
(function () {
  "use strict";
  const live = window.ncLive, piece = live.svg, show = live.show, { chart, handle, round, views, words } = live.charts;
  const SIZE = 320, MIDDLE = SIZE / 2, RADIUS = 118, DEGREE = Math.PI / 180;

  const { coherence, cosines, largestCosine, welchBound } = live.vectors;

  const kernel = {
    /* How long each of K vectors is in the flat shadow of their simplex in which it is regular. */
    shadow: (K) => Math.sqrt(2 / (K - 1)),
    /* One vector of a simplex ETF turned towards another: its cosines to that one and to each of the rest. */
    pulled: (K, angle) => {
      const c = -1 / (K - 1), s = Math.sqrt(1 - c * c);
      return [c * Math.cos(angle) + s * Math.sin(angle), c * Math.cos(angle) + ((c - c * c) / s) * Math.sin(angle)];
    },
    rotated: (W, angle) => W.map(([x, y]) => [Math.cos(angle) * x - Math.sin(angle) * y, Math.sin(angle) * x + Math.cos(angle) * y]),
    gap: (W, V) => Math.sqrt(W.reduce((sum, w, k) => sum + (w[0] - V[k][0]) ** 2 + (w[1] - V[k][1]) ** 2, 0)),
  };
  live.kernels.frames = kernel;

  const turn = (radians) => Math.atan2(Math.sin(radians), Math.cos(radians));
  const degrees = (cosine) => show(Math.acos(Math.max(-1, Math.min(1, cosine))) / DEGREE, 1) + "°";
  const place = ([x, y], length) => [MIDDLE + RADIUS * (length || 1) * x, MIDDLE - RADIUS * (length || 1) * y];
  const line = ([x, y], [a, b]) => `M${x.toFixed(1)} ${y.toFixed(1)}L${a.toFixed(1)} ${b.toFixed(1)}`;

  /* A stage with the unit circle, and arms from its middle that are numbered at their tips. */
  function fan(lab, label, ground) {
    const stage = lab.stage(SIZE, SIZE, label), made = { stage };
    if (ground) made.ground = piece("rect", { width: SIZE, height: SIZE, fill: "transparent" }, stage);
    piece("circle", { cx: MIDDLE, cy: MIDDLE, r: RADIUS, class: "nclive-guide", "stroke-dasharray": "4 5" }, stage);
    const joints = piece("path", { class: "nclive-guide" }, stage), arms = piece("g", { "pointer-events": "none" }, stage);
    made.top = () => stage.append(arms); // above what was drawn since; a hand reaches through
    made.join = (tips, pairs) => live.set(joints, { d: pairs.map(([i, j]) => line(place(tips[i]), place(tips[j]))).join("") });
    made.put = (tips, look) => {
      while (arms.children.length > tips.length) arms.lastChild.remove();
      while (arms.children.length < tips.length) {
        const arm = piece("g", {}, arms);
        piece("path", { "stroke-width": 4, "stroke-linecap": "round" }, arm);
        piece("circle", { r: 11 }, arm);
        piece("text", { class: "nclive-number" }, arm);
      }
      tips.forEach((tip, k) => {
        const [path, dot, text] = arms.children[k].children, [x, y] = place(tip), more = { color: live.colors[k % live.colors.length], ...(look ? look(k) : {}) };
        live.set(arms.children[k], { opacity: more.opacity || 1 });
        live.set(path, { stroke: more.color, d: line(place(more.both ? tip.map((u) => -u) : [0, 0]), [x, y]) });
        live.set(dot, { cx: x, cy: y, fill: more.color });
        live.set(text, { x, y: y + 4 });
        text.textContent = more.name || String(k + 1);
      });
    };
    return made;
  }

  /* The cosines of all pairs as tiles, their values written in while there is room. */
  function matrix(lab) {
    const stage = lab.stage(SIZE, SIZE, "cosines of all pairs");
    return (cosines) => {
      const K = cosines.length, side = (SIZE - 20) / K;
      if (stage.children.length !== 2 * K * K) stage.replaceChildren();
      cosines.flat().forEach((cosine, i) => {
        const x = 10 + side * (i % K), y = 10 + side * Math.floor(i / K);
        const tile = stage.children[2 * i] || piece("rect", { x, y, width: side - 2, height: side - 2, rx: 3 }, stage);
        const text = stage.children[2 * i + 1] || piece("text", { x: x + side / 2 - 1, y: y + side / 2 + 4, "font-size": 14 }, stage);
        live.set(tile, { fill: cosine < 0 ? "var(--nc-cold)" : "var(--nc-warm)", "fill-opacity": Math.abs(cosine).toFixed(3) });
        live.set(text, { class: Math.abs(cosine) > 0.6 ? "nclive-cell nclive-strong" : "nclive-cell" });
        text.textContent = K < 8 ? show(cosine, 2) : "";
      });
    };
  }

  const VIEWS = {
    shadow: function (lab, given, state, knobs) {
      const left = fan(lab, "the vectors, or their flat shadow", true), tiles = matrix(lab);
      lab.drag(left.ground, left.stage, "turn the vectors (drag, or arrow keys)", (at, by, key) => knobs.turn.set(turn(state.turn + (key ? 0.1 : 0.012) * by[0])));
      return {
        start: { K: given.num_classes, turn: Math.PI / 2 },
        knobs: { K: { label: "classes K", values: Array.from({ length: 11 }, (_, i) => i + 2) }, turn: { free: true, low: -4, high: 4 } },
        readout: [["cosine of any two", "angle between any two", "length in the shadow"], "for K → ∞"],
        draw: () => {
          const K = state.K, c = -1 / (K - 1), flat = K < 4 ? 1 : kernel.shadow(K);
          const tips = Array.from({ length: K }, (_, k) => [Math.cos, Math.sin].map((f) => flat * f(state.turn + (2 * Math.PI * k) / K)));
          left.put(tips);
          left.join(tips, tips.flatMap((_, i) => tips.slice(0, i).map((_, j) => [i, j])));
          tiles(tips.map((_, i) => tips.map((_, j) => (i === j ? 1 : c))));
          return {
            rows: [[show(c, 3), "0.000"], [degrees(c), "90.0°"], [show(flat, 3), "0.000"]],
            say: `${K} vectors ${K < 4 ? (K < 3 ? "on a line" : "in the plane") : "in " + (K - 1) + " dimensions"}: any two have the cosine ${show(c, 3)}, an angle of ${degrees(c)}.`,
          };
        },
      };
    },
    pull: function (lab, given, state, knobs) {
      const left = fan(lab, "the vectors, seen in the plane of the first two");
      const c = chart(lab, "coherence and largest cosine over the turn of vector 1", [SIZE, SIZE], { low: -60, high: 60, label: "turn of vector 1 (degrees)" }, { low: -0.7, high: 1.05, label: "" });
      c.legend([live.colors[1], "", "coherence", 120], [live.colors[0], "8 5", "largest cosine", 0]);
      const solid = c.curve(live.colors[1]), dashed = c.curve(live.colors[0], "8 5"), bounds = [c.level(), c.level()];
      const names = ["Welch bound", "simplex bound"].map((text) => words(c.x.at(0), 0, text, "middle", c.plot));
      const tip = handle(lab, left.stage, live.colors[0]), dot = c.dot(live.colors[1]);
      left.top();
      tip.on("vector 1", (x, y) => knobs.angle.set(Math.atan2(x - MIDDLE, MIDDLE - y) / DEGREE), (right, up) => knobs.angle.nudge(right + up));
      dot.on("coherence", (x) => knobs.angle.set(c.x.back(x)), (right, up) => knobs.angle.nudge(right + up));
      return {
        start: { K: given.num_classes, angle: given.angle },
        knobs: {
          angle: { label: "turn of vector 1", low: -60, high: 60, step: 1, format: (v) => show(v, 0) + "°" },
          K: { label: "vectors K", values: round(3, 10) },
        },
        readout: [["smallest angle of 1 to the others", "largest cosine", "coherence"], "simplex ETF"],
        draw: () => {
          const K = state.K, best = -1 / (K - 1), s = Math.sqrt(1 - best * best), a = state.angle * DEGREE;
          const most = (v) => Math.max(best, ...kernel.pulled(K, v * DEGREE)), wide = (v) => Math.max(-best, ...kernel.pulled(K, v * DEGREE).map(Math.abs));
          const tips = [[Math.sin(a), Math.cos(a)], [s, best], [(best - best * best) / s, best]];
          left.put(tips, (k) => (k === 2 && K > 3 ? { name: "…" } : {}));
          left.join(tips, [[0, 1], [0, 2], [1, 2]]);
          c.trace(solid, wide);
          c.trace(dashed, most);
          [-best, best].forEach((bound, i) => { c.cross(bounds[i], null, bound); live.set(names[i], { y: c.y.at(bound) + 16 }); });
          tip.put(...place(tips[0]));
          dot.put(c.x.at(state.angle), c.y.at(wide(state.angle)));
          return {
            rows: [[degrees(Math.max(...kernel.pulled(K, a))), degrees(best)], [show(most(state.angle), 3), show(best, 3)], [show(wide(state.angle), 3), show(-best, 3)]],
            say: `Vector 1 of ${K} turned by ${show(state.angle, 0)}°: largest cosine ${show(most(state.angle), 3)}, coherence ${show(wide(state.angle), 3)}.`,
          };
        },
      };
    },
    onto: function (lab, given, state, knobs) {
      const left = fan(lab, "a star over its target"), target = given.target, mirrored = given.rows.map(([x, y]) => [x, -y]), start = () => (state.first ? mirrored : given.rows);
      target.forEach((tip, k) => {
        piece("path", { d: line(place([0, 0]), place(tip)), stroke: "var(--nc-line)", "stroke-opacity": 0.5, "stroke-width": 9, "stroke-linecap": "round" }, left.stage);
        words(place(tip, 1.24)[0], place(tip, 1.24)[1] + 5, String(k + 1), "middle", left.stage);
      });
      const c = chart(lab, "distance of star and target over the turn", [SIZE, SIZE], { low: 0, high: 360, label: "turn (degrees)", ticks: [0, 90, 180, 270, 360].map((v) => [v, String(v)]) }, { low: 0, high: 3.7, label: "distance ‖WQ − V‖" });
      const curves = [c.curve(live.colors[1]), c.curve(live.colors[0], "8 5")], floor = c.level();
      const tip = handle(lab, left.stage, live.colors[1]), dot = c.dot(live.colors[1]);
      left.top();
      const away = (at) => Math.atan2(MIDDLE - at[1], at[0] - MIDDLE) - Math.atan2(start()[0][1], start()[0][0]);
      tip.on("the star", (x, y) => knobs.angle.set((((away([x, y]) / DEGREE) % 360) + 360) % 360), (right, up) => knobs.angle.nudge(right + up));
      dot.on("distance", (x) => knobs.angle.set(c.x.back(x)), (right, up) => knobs.angle.nudge(right + up));
      return {
        start: { angle: given.angle, first: 0 },
        knobs: {
          angle: { label: "turn of the star", low: 0, high: 360, step: 1, format: (v) => show(v, 0) + "°" },
          first: { label: "the star", values: [0, 1], names: ["as it is", "reflected first"] },
        },
        readout: [["distance"], "least over all turns"],
        draw: () => {
          const W = kernel.rotated(start(), state.angle * DEGREE), sets = [given.rows, mirrored], distance = (V, v) => kernel.gap(kernel.rotated(V, v * DEGREE), target);
          const least = Math.min(...Array.from({ length: 361 }, (_, v) => distance(start(), v)));
          left.put(W, () => ({ color: live.colors[state.first ? 0 : 1] }));
          sets.forEach((V, i) => { c.trace(curves[i], (v) => distance(V, v)); live.set(curves[i], { opacity: i === state.first ? 1 : 0.45 }); });
          c.cross(floor, state.angle);
          tip.put(...place(W[0]));
          dot.put(c.x.at(state.angle), c.y.at(kernel.gap(W, target)));
          return {
            rows: [[show(kernel.gap(W, target), 3), show(least, 3)]],
            say: `The star ${state.first ? "reflected and " : ""}turned by ${show(state.angle, 0)}°: ${show(kernel.gap(W, target), 2)} from its target.`,
          };
        },
      };
    },
    sets: function (lab, given, state, knobs) {
      const left = fan(lab, "the vectors", true), tiles = matrix(lab), of = (d, K) => given.sets.find((W) => W.length === K && W[0].length === d);
      const dims = [...new Set(given.sets.map((W) => W[0].length))], counts = [...new Set(given.sets.map((W) => W.length))];
      lab.drag(left.ground, left.stage, "turn the view (drag, or arrow keys)", (at, by, key) => {
        knobs.yaw.set(turn(state.yaw + (key ? 0.1 : 0.012) * by[0]));
        knobs.pitch.set(state.pitch + (key ? 0.1 : 0.012) * by[1]);
      });
      const spec = { yaw: { free: true, low: -4, high: 4 }, pitch: { free: true, low: -1.5, high: 1.5 } };
      return {
        start: { d: given.feature_dim, K: given.num_vectors, yaw: 0.5, pitch: 0.35 },
        knobs: {
          d: dims.length > 1 ? { label: "they live in", values: dims, names: dims.map((d) => ["the plane", "space"][d - 2]) } : { free: true, values: dims },
          K: counts.length > 1 ? { label: "vectors K", values: counts } : { free: true, values: counts },
          ...spec,
        },
        readout: given.lines ? [["angle between two lines", "coherence"], "Welch bound"] : [["angle of the closest pair", "largest cosine"], "simplex ETF, with room"],
        draw: () => {
          const W = of(state.d, state.K), angles = cosines(W), tips = W.map((w) => (w.length > 2 ? live.seen(w, state.yaw, state.pitch) : [...w, 0]));
          const most = given.lines ? coherence(W) : largestCosine(W), best = given.lines ? welchBound(state.K, state.d) : -1 / (state.K - 1);
          left.put(tips, (k) => ({ both: given.lines, opacity: state.d > 2 ? 0.62 + 0.19 * (1 + tips[k][2]) : 1 }));
          left.join(tips, given.lines ? [] : tips.flatMap((_, i) => tips.slice(0, i).map((_, j) => [i, j])).filter(([i, j]) => angles[i][j] > most - 1e-4));
          tiles(angles);
          return {
            rows: [[degrees(most), degrees(best)], [show(most, 3), show(best, 3)]],
            say: `${state.K} ${given.lines ? "lines" : "vectors"} in ${state.d} dimensions: ${given.lines ? "any two meet at" : "the closest pair is at"} ${degrees(most)}.`,
          };
        },
      };
    },
  };

  live.define("frames", views(VIEWS));
})();
