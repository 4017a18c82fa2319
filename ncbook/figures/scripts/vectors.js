/* What is measured of a set of vectors: cosines, the largest, coherence and Welch's bound on it. */
(function () {
  "use strict";
  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const unit = (a) => { const norm = Math.sqrt(dot(a, a)); return a.map((x) => x / norm); };
  const cosines = (W) => W.map((v) => W.map((w) => Math.max(-1, Math.min(1, dot(unit(v), unit(w))))));
  const pairs = (W) => cosines(W).flatMap((row, i) => row.slice(0, i));
  window.ncLive.vectors = {
    dot, unit, cosines,
    coherence: (W) => Math.max(...pairs(W).map(Math.abs)),
    largestCosine: (W) => Math.max(...pairs(W)),
    welchBound: (K, d) => Math.sqrt(Math.max(0, K - d) / (d * (K - 1))),
  };
})();
