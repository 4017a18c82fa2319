/* Closed forms as curves under sliders: one script, a view for each figure, chosen by the parameter "which". */
(function () {
  "use strict";
  const live = window.ncLive, piece = live.svg, show = live.show, { chart, handle, round, small, words } = live.charts;

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
    /* A tangent step of length v on the unit circle: how far its retraction is from the end of the geodesic. */
    apart: (v) => 2 * Math.sin((v - Math.atan(v)) / 2),
    /* Orthogonal vectors of one length, three of them, with a share of their mean taken away: the cosine of two. */
    cosine: (t) => (t * t - 2 * t) / (3 - 2 * t + t * t),
    /* Squared error with equal classes: the cosine of two rows, and the bias decay up to which they are a simplex ETF. */
    opened: (K, Kq, bias) => {
      const t = 1 - Kq, first = Math.max(0, 1 - (Kq * (1 + bias)) / bias);
      return (first - t) / ((K - 1) * t + first);
    },
    opens: (Kq) => Kq / (1 - Kq),
    /* A feature that swings away from its class's row, the rows held at a simplex ETF: towards another row, or out of their
       span. Its loss, and the second derivative of that by the angle. */
    swing: (K, tau, angle, spare) => {
      const c = -1 / (K - 1), side = spare ? 0 : Math.sqrt(1 - c * c), rest = spare ? 0 : (c - c * c) / side;
      const cosine = (along, across) => [along * Math.cos(angle) + across * Math.sin(angle), across * Math.cos(angle) - along * Math.sin(angle)];
      const logits = [[1, ...cosine(1, 0)], [1, ...cosine(c, side)], [K - 2, ...cosine(c, rest)]];
      const weights = logits.map(([times, a]) => times * Math.exp(tau * (a - logits[0][1]))), total = weights.reduce((a, b) => a + b);
      const mean = (f) => logits.reduce((sum, row, i) => sum + (weights[i] / total) * f(row), 0), slope = mean((row) => row[2]);
      return { loss: Math.log(total), bend: tau * (logits[0][1] - mean((row) => row[1])) + tau * tau * (mean((row) => row[2] ** 2) - slope ** 2) };
    },
    /* A trace of a product with a pseudo-inverse that inverts eigenvalues above a cut-off. */
    trace: (sizes, terms, cutoff) => terms.reduce((sum, term, i) => sum + (sizes[i] > cutoff * sizes[0] ? term : 0), 0),
  };
  live.kernels.formulas = kernel;

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
            say: `${K} classes at temperature ${show(tau, 2)}: best probability ${show(kernel.best(K, tau), 4)}; most curved at ${show(peak, 2)}.`,
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
        readout: [["deviations to the boundary", "beyond the boundary"], "K = 2"],
        draw: () => {
          const rows = [state.K, 2].map((K) => kernel.deviations(K, state.nc1)).map((z) => [show(z, 2), small(100 * kernel.beyond(z)) + "\u00a0%"]), z = kernel.deviations(state.K, state.nc1);
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
    retraction: function (lab, given, state, turn) {
      const turnBy = (35 * Math.PI) / 180, cx = 165, cy = 205, r = 85, point = (length, angle) => [cx + r * length * Math.cos(turnBy + angle), cy - r * length * Math.sin(turnBy + angle)];
      const stage = lab.stage(330, 300, "a tangent step, scaled back to the circle, and the arc of the same length");
      piece("circle", { cx, cy, r, class: "nclive-guide" }, stage);
      const ray = piece("path", { class: "nclive-guide", "stroke-dasharray": "3 3" }, stage);
      const arc = piece("polyline", { fill: "none", stroke: live.colors[2], "stroke-width": 4.5, "stroke-opacity": 0.8 }, stage);
      const step = piece("path", { stroke: live.colors[1], "stroke-width": 3 }, stage), start = point(1, 0);
      const square = (parent) => piece("path", { d: "M-7 -7h14v14h-14z", fill: live.colors[2] }, parent), end = square(stage);
      const back = piece("circle", { r: 6, fill: live.colors[0] }, stage);
      piece("circle", { cx: start[0], cy: start[1], r: 5, fill: "currentColor" }, stage);
      words(start[0] + 12, start[1] + 8, "x", "start", stage);
      const name = words(0, 0, "x + v", "start", stage);
      piece("circle", { cx: 12, cy: 14, r: 6, fill: live.colors[0] }, stage);
      words(24, 19, "scaled back", "start", stage);
      square(piece("g", { transform: "translate(12 36)" }, stage));
      words(24, 41, "end of the arc", "start", stage);
      const c = chart(lab, "distance of the two end points over the length of the step", [330, 300], { low: 0.05, high: 2, log: true, label: "length of the step" }, { low: 1e-5, high: 2, log: true, label: "distance of the end points" });
      const cube = c.curve("var(--nc-line)", "3 4"), gap = c.curve(live.colors[0]);
      words(c.x.at(0.3), c.y.at(0.05), "step³/3 (dotted)", "end", c.stage);
      c.trace(cube, (v) => v ** 3 / 3);
      c.trace(gap, kernel.apart);
      const tip = handle(lab, stage, live.colors[1]), dot = c.dot(live.colors[0]);
      tip.on("end of the step", (x, y) => turn.step.set((-(x - start[0]) * Math.sin(turnBy) - (y - start[1]) * Math.cos(turnBy)) / r), (right, up) => turn.step.nudge(up - right));
      dot.on("distance", (x) => turn.step.set(c.x.back(x)), (right, up) => turn.step.nudge(right + up));
      return {
        start: { step: given.step },
        knobs: { step: { label: "length of the step", low: 0.05, high: 2 } },
        buttons: [["Halve the step", () => { turn.step.set(state.step / 2); lab.keep(); }]],
        readout: [["length of the step", "distance of the end points", "distance / step³"], "half the step"],
        draw: () => {
          const v = state.step, top = point(Math.hypot(1, v), Math.atan(v));
          live.set(step, { d: `M${start.join(" ")}L${top.join(" ")}` });
          live.set(ray, { d: `M${cx} ${cy}L${top.join(" ")}` });
          live.set(arc, { points: Array.from({ length: 41 }, (_, i) => point(1, (v * i) / 40).map((u) => u.toFixed(1)).join(",")).join(" ") });
          live.set(end, { transform: `translate(${point(1, v).join(" ")})` });
          const [bx, by] = point(1, Math.atan(v));
          live.set(back, { cx: bx, cy: by });
          live.set(name, { x: top[0] + 14, y: top[1] + 4 });
          tip.put(...top);
          dot.put(c.x.at(v), c.y.at(kernel.apart(v)));
          return {
            rows: [[v, v / 2], [kernel.apart(v), kernel.apart(v / 2)], [kernel.apart(v) / v ** 3, (8 * kernel.apart(v / 2)) / v ** 3]].map((row) => row.map(small)),
            say: `A step of ${small(v)}: the end points are ${small(kernel.apart(v))} apart; half the step brings them ${show(kernel.apart(v) / kernel.apart(v / 2), 1)} times closer.`,
          };
        },
      };
    },
    phase: function (lab, given, state, turn) {
      const decay = (label) => ({ low: 1e-5, high: 10, log: true, label }), levels = [0, 2, 4, 6, 8, 10];
      const a = chart(lab, "the best margin over both decays", [330, 310], decay("weight decay"), decay("feature decay"));
      const bands = levels.map((s) => piece("path", { fill: live.colors[0], "fill-opacity": 0.13, stroke: live.colors[s ? 0 : 1], "stroke-width": s ? 1 : 3 }, a.plot));
      const names = levels.map((s) => words(0, 0, s ? "s = " + s : "", "middle", a.plot));
      words(a.x.at(8), a.y.at(5), "all zero", "end", a.plot);
      const b = chart(lab, "the best margin over the product of the decays", [330, 310], { low: 1e-10, high: 100, log: true, label: "product of the decays" }, { low: 0, high: 12, label: "best margin s" });
      const margin = b.curve(live.colors[0]), edge = b.curve(live.colors[1]), dots = [a.dot("currentColor"), b.dot("currentColor")];
      const both = (f) => ["decayW", "decayH"].forEach((name) => f(turn[name], name));
      dots[0].on("both decays", (x, y) => { turn.decayW.set(a.x.back(x)); turn.decayH.set(a.y.back(y)); }, (right, up) => { turn.decayW.nudge(right); turn.decayH.nudge(up); });
      dots[1].on("product of the decays", (x) => {
        const by = Math.sqrt(b.x.back(x) / (state.decayW * state.decayH));
        both((knob, name) => knob.set(state[name] * by));
      }, (right, up) => both((knob) => knob.nudge(right + up)));
      return {
        start: { K: given.num_classes, n: given.samples_per_class, decayW: given.weight_decay, decayH: given.feature_decay },
        knobs: { K: { label: "classes K", values: round(2, 100) }, n: { label: "samples a class n", values: round(1, 1000) }, decayW: { ...decay(), free: true, step: 0.05 }, decayH: { ...decay(), free: true, step: 0.05 } },
        readout: [["product of the decays", "K q", "best margin s"], "threshold"],
        draw: () => {
          const { K, n, decayW, decayH } = state, product = decayW * decayH, q = Math.sqrt(n * product), s = kernel.margin(K, q);
          levels.forEach((level, i) => {
            const there = kernel.worth(K, level) ** 2 / n, [x, y] = [a.x.at(1e-6), a.y.at(1e-6)], middle = Math.sqrt(there);
            live.set(bands[i], { d: `M${x} ${y}V${a.y.at(there / 1e-6).toFixed(1)}L${a.x.at(there / 1e-6).toFixed(1)} ${y}Z` });
            live.set(names[i], { x: a.x.at(middle) - 12, y: a.y.at(middle) + 16 });
          });
          b.trace(margin, (p) => kernel.margin(K, Math.sqrt(n * p)));
          live.set(edge, { points: [0, 12].map((v) => `${b.x.at(1 / (n * K * K)).toFixed(1)},${b.y.at(v)}`).join(" ") });
          dots[0].put(a.x.at(decayW), a.y.at(decayH));
          dots[1].put(b.x.at(product), b.y.at(s));
          return {
            rows: [[small(product), small(1 / (n * K * K))], [small(K * q), "1"], [show(s, 2), "0"]],
            say: `${K} classes of ${n}, decays ${small(decayW)} and ${small(decayH)}: ` + (s > 0 ? `the best margin is ${show(s, 2)}.` : "all is zero."),
          };
        },
      };
    },
    orthant: function (lab, given, state, turn) {
      const frame = [[-1, -1, 1], [1, -1, 1], [0, 2, 1]].map(([a, d, u]) => [a / Math.SQRT2, d / Math.sqrt(6), u / Math.sqrt(3)]);
      const [cx, cy, r] = [165, 255, 165], place = (x, y) => [cx + r * x, cy - r * y], tall = 0.92 / Math.sqrt(3);
      const seen = frame.map(([a, d, u]) => [0.95 * a + 0.3 * d, -0.12 * a + 0.38 * d + 0.92 * u]);
      const stage = lab.stage(330, 280, "three orthogonal class means, seen from an origin that moves to their centre");
      piece("path", { d: "M" + seen.map((p) => place(...p).join(" ")).join("L") + "Z", fill: live.colors[0], "fill-opacity": 0.13 }, stage);
      for (const p of seen) piece("path", { d: `M${cx} ${cy}L${place(1.15 * p[0], 1.15 * p[1]).join(" ")}`, class: "nclive-guide", "stroke-dasharray": "4 4" }, stage);
      const rows = seen.map((p, k) => piece("path", { stroke: live.colors[k], "stroke-width": 3 }, stage));
      seen.forEach((p, k) => piece("circle", { cx: place(...p)[0], cy: place(...p)[1], r: 6, fill: live.colors[k] }, stage));
      const c = chart(lab, "cosine of two class means over the share of the global mean that is removed", [330, 280], { low: 0, high: 1, label: "share of the global mean removed" }, { low: -0.56, high: 0.06, label: "cosine of two class means" });
      const curve = c.curve("currentColor"), least = c.level();
      c.trace(curve, kernel.cosine);
      c.cross(least, null, -0.5);
      words(c.x.at(0) + 8, c.y.at(-0.5) - 6, "simplex ETF", "start", c.stage);
      const origin = handle(lab, stage, "currentColor"), dot = c.dot(live.colors[2]);
      origin.on("origin", (x, y) => turn.share.set((cy - y) / (r * tall)), (right, up) => turn.share.nudge(right + up));
      dot.on("cosine", (x) => turn.share.set(c.x.back(x)), (right, up) => turn.share.nudge(right - up));
      return {
        start: { share: given.share },
        knobs: { share: { label: "global mean removed", low: 0, high: 1, format: (t) => Math.round(100 * t) + " %" } },
        readout: [["cosine of two class means", "angle between them"], "simplex ETF"],
        draw: () => {
          const cosine = kernel.cosine(state.share), from = place(0, state.share * tall), angle = show((180 * Math.acos(cosine)) / Math.PI, 1) + "°";
          seen.forEach((p, k) => live.set(rows[k], { d: `M${from.join(" ")}L${place(...p).join(" ")}` }));
          origin.put(...from);
          dot.put(c.x.at(state.share), c.y.at(cosine));
          return { rows: [[show(cosine, 3), show(-0.5, 3)], [angle, "120.0°"]], say: `${Math.round(100 * state.share)} % of the global mean removed: cosine ${show(cosine, 2)}, angle ${angle}.` };
        },
      };
    },
    bias: function (lab, given, state, turn) {
      const K = given.num_classes, n = given.samples_per_class, side = 260 / K, left = 35, top = 12;
      const stage = lab.stage(330, 290, "cosines between the rows of the classifier"), cells = Array.from({ length: K * K }, (_, i) => i);
      const tiles = cells.map((i) => piece("rect", { x: left + side * (i % K), y: top + side * Math.floor(i / K), width: side - 2, height: side - 2 }, stage));
      const numbers = cells.map((i) => words(left + side * ((i % K) + 0.5) - 1, top + side * (Math.floor(i / K) + 0.5) + 4, "", "middle", stage));
      const c = chart(lab, "cosine of two rows over the bias decay", [330, 290], { low: 1e-3, high: 10, log: true, label: "bias decay" }, { low: -1.1 / (K - 1), high: 0.03, label: "cosine of two rows" });
      const curve = c.curve(live.colors[0]), edge = c.level(), dot = c.dot(live.colors[0]), share = () => K * Math.sqrt(n) * state.decay;
      dot.on("bias decay", (x) => turn.bias.set(c.x.back(x)), (right, up) => turn.bias.nudge(right + up));
      return {
        start: { bias: given.bias_decay, decay: given.decay },
        knobs: { bias: { label: "bias decay", low: 1e-3, high: 10, log: true }, decay: { label: "decay of rows and features", low: 1e-3, high: 0.1, log: true, format: (v) => small(Number(v.toPrecision(2))) } },
        readout: [["bias decay", "cosine of two rows"], "threshold"],
        draw: () => {
          const cosine = kernel.opened(K, share(), state.bias), threshold = kernel.opens(share()), shown = show(cosine, 2);
          cells.forEach((i) => {
            const own = i % K === Math.floor(i / K);
            live.set(tiles[i], { fill: own ? "var(--nc-warm)" : "var(--nc-cold)", "fill-opacity": String(Math.abs(own ? 0.55 : 0.9 * cosine)) });
            numbers[i].textContent = own ? "1" : shown;
          });
          c.trace(curve, (b) => kernel.opened(K, share(), b));
          c.cross(edge, threshold);
          dot.put(c.x.at(state.bias), c.y.at(cosine));
          return { rows: [[small(state.bias), small(threshold)], [show(cosine, 3), show(-1 / (K - 1), 3)]], say: `Bias decay ${small(state.bias)}: ` + (state.bias <= threshold ? "the rows are a simplex ETF." : `the rows have opened to the cosine ${show(cosine, 3)}.`) };
        },
      };
    },
    swing: function (lab, given, state, turn) {
      const ticks = [0, 90, 180, 270, 360].map((v) => [v, String(v)]);
      const c = chart(lab, "loss of a feature over its angle to its class's row", [430, 310], { low: 0, high: 360, label: "angle to its class's row (degrees)", ticks }, { low: 0, high: 1, label: "loss" });
      const curves = [c.curve(live.colors[0]), c.curve(live.colors[1], "8 5")], far = c.level(), dots = [c.dot(live.colors[0]), c.dot(live.colors[1])];
      c.legend([live.colors[0], "", "in the plane of the rows", 230], [live.colors[1], "8 5", "out of it", 0]);
      dots.forEach((dot, i) => dot.on(["feature in the plane", "feature out of it"][i], (x) => turn.angle.set(c.x.back(x)), (right, up) => turn.angle.nudge(right + up)));
      const loss = (angle, spare) => kernel.swing(state.K, state.tau, (angle * Math.PI) / 180, spare);
      return {
        start: { K: given.num_classes, tau: given.temperature, angle: given.angle },
        knobs: {
          tau: { label: "temperature τ", low: 10 ** -0.5, high: 20, log: true },
          angle: { label: "angle of the feature", low: 0, high: 360, step: 1, format: (v) => show(v, 0) + "°" },
          K: { label: "classes K", values: round(3, 10) },
        },
        readout: [["loss here", "loss on the far side", "curvature on the far side"], "out of the plane"],
        draw: () => {
          const far = [false, true].map((spare) => loss(180, spare)), here = [false, true].map((spare) => loss(state.angle, spare));
          c.rescale({ low: 0, high: 1.15 * Math.max(...c.grid.map((v) => loss(v, false).loss), far[0].loss) });
          [false, true].forEach((spare, i) => {
            c.trace(curves[i], (v) => loss(v, spare).loss);
            dots[i].put(c.x.at(state.angle), c.y.at(here[i].loss));
          });
          const rows = [here.map((v) => v.loss), far.map((v) => v.loss), far.map((v) => v.bend)];
          return {
            rows: rows.map((row) => row.map((v) => show(v, 3))),
            say: `Temperature ${show(state.tau, 2)}: in the plane of the rows the far side is a ${far[0].bend > 0 ? "valley" : "ridge"}, out of it a ridge.`,
          };
        },
      };
    },
    cutoff: function (lab, given, state, turn) {
      const { sizes, terms, rank, truth } = given, many = sizes.length;
      const c = chart(lab, "sizes of the eigenvalues, and the cut-off", [430, 330], { low: 0.8, high: many * 1.2, log: true, label: "number of the eigenvalue" }, { low: 1e-17, high: 10, log: true, label: "size over the largest" });
      const marks = sizes.map((size, i) => piece(i < rank ? "circle" : "path", {
        ...(i < rank ? { cx: c.x.at(i + 1), cy: c.y.at(Math.max(size / sizes[0], 1e-17)), r: 4.5 } : { d: `M${c.x.at(i + 1).toFixed(1)} ${(c.y.at(Math.max(size / sizes[0], 1e-17)) - 4).toFixed(1)}l4 7h-8z` }),
        stroke: live.colors[i < rank ? 0 : 1],
      }, c.plot));
      const edge = c.level(), dot = c.dot("currentColor");
      dot.on("cut-off", (x, y) => turn.cutoff.set(c.y.back(y)), (right, up) => turn.cutoff.nudge(right + up));
      return {
        start: { cutoff: given.cutoff },
        knobs: { cutoff: { label: "relative cut-off", low: 1e-16, high: 0.1, log: true, step: 0.05 } },
        readout: [["NC1", "real eigenvalues inverted", "round-off inverted"], "right"],
        draw: () => {
          const kept = sizes.map((size) => size > state.cutoff * sizes[0]), real = kept.slice(0, rank).filter(Boolean).length, noise = kept.filter(Boolean).length - real;
          marks.forEach((mark, i) => live.set(mark, { fill: kept[i] ? live.colors[i < rank ? 0 : 1] : "none", "fill-opacity": 0.8 }));
          c.cross(edge, null, state.cutoff);
          dot.put(c.x.at(many), c.y.at(state.cutoff));
          const nc1 = kernel.trace(sizes, terms, state.cutoff), signed = (v) => (v < 0 ? "−" : "") + small(Math.abs(v));
          return {
            rows: [[signed(nc1), small(truth)], [String(real), String(rank)], [String(noise), "0"]],
            say: `Cut-off ${small(state.cutoff)}: ${real} real eigenvalues and ${noise} of round-off are inverted, NC1 comes out as ${signed(nc1)}; it is ${small(truth)}.`,
          };
        },
      };
    },
  };

  live.define("formulas", live.charts.views(VIEWS));
})();
