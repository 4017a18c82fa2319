/* A perceptron as `ncbook.models.mlp` builds it (linear, batch normalisation, ReLU; features normalised, without ReLU; then
   the classifier), its slope over the whole batch, and NC1 to NC4 of features in the plane. All numbers are float64.
   Parameters are one flat list in PyTorch's order: for each block weight, gamma, beta; then the classifier's weight, bias. */
(function () {
  "use strict";
  const live = window.ncLive, EPS = 1e-9; // of the normalisation, as in ncbook.models

  /* `sizes` from the input to the classes, such as [64, 24, 24, 2, 3], for batches of N inputs. */
  function network(sizes, N) {
    const last = sizes.length - 2, blocks = [], K = sizes[last + 1], d = sizes[last];
    let count = 0;
    const take = (n) => { count += n; return count - n; };
    for (let l = 0; l < last; l += 1) {
      const [inn, out] = [sizes[l], sizes[l + 1]], rows = () => new Float64Array(N * out);
      blocks.push({ inn, out, w: take(inn * out), gamma: take(out), beta: take(out), relu: l < last - 1,
        unit: rows(), value: rows(), back: rows(), mean: new Float64Array(out), scale: new Float64Array(out) });
    }
    const w = take(K * d), b = take(K), logits = new Float64Array(N * K), pull = new Float64Array(N * K);

    function linear(P, at, X, out, inn, width, rows) {
      for (let n = 0; n < rows; n += 1) {
        const x = n * inn;
        let o = 0;
        for (; o + 3 < width; o += 4) { // four sums at once: none waits for another
          let [a, b_, c, e] = [0, 0, 0, 0];
          for (let i = 0, p = at + o * inn; i < inn; i += 1, p += 1) {
            const v = X[x + i];
            a += P[p] * v; b_ += P[p + inn] * v; c += P[p + 2 * inn] * v; e += P[p + 3 * inn] * v;
          }
          out[n * width + o] = a; out[n * width + o + 1] = b_; out[n * width + o + 2] = c; out[n * width + o + 3] = e;
        }
        for (; o < width; o += 1) {
          let sum = 0;
          for (let i = 0, p = at + o * inn; i < inn; i += 1) sum += P[p + i] * X[x + i];
          out[n * width + o] = sum;
        }
      }
    }
    function classify(P, H, out, rows) {
      linear(P, w, H, out, d, K, rows);
      for (let n = 0; n < rows; n += 1) for (let k = 0; k < K; k += 1) out[n * K + k] += P[b + k];
      return out;
    }
    function forward(P, X) {
      let input = X;
      for (const c of blocks) {
        linear(P, c.w, input, c.unit, c.inn, c.out, N);
        for (let o = 0; o < c.out; o += 1) {
          let mean = 0, spread = 0;
          for (let n = 0; n < N; n += 1) mean += c.unit[n * c.out + o] / N;
          for (let n = 0; n < N; n += 1) spread += (c.unit[n * c.out + o] - mean) ** 2 / N;
          c.mean[o] = mean;
          c.scale[o] = 1 / Math.sqrt(spread + EPS);
          for (let n = 0, j = o; n < N; n += 1, j += c.out) {
            c.unit[j] = (c.unit[j] - mean) * c.scale[o];
            const z = P[c.gamma + o] * c.unit[j] + P[c.beta + o];
            c.value[j] = c.relu && z < 0 ? 0 : z;
          }
        }
        input = c.value;
      }
      classify(P, input, logits, N);
      return { features: input, logits };
    }
    /* Logits of other inputs, normalised by the moments of the last batch. */
    function predict(P, X, rows) {
      let input = X;
      for (const c of blocks) {
        const out = new Float64Array(rows * c.out);
        linear(P, c.w, input, out, c.inn, c.out, rows);
        for (let j = 0; j < out.length; j += 1) {
          const o = j % c.out, z = P[c.gamma + o] * (out[j] - c.mean[o]) * c.scale[o] + P[c.beta + o];
          out[j] = c.relu && z < 0 ? 0 : z;
        }
        input = out;
      }
      return classify(P, input, new Float64Array(rows * K), rows);
    }
    /* The mean cross-entropy of labels y at the last `forward` of X; its slope is written into G. */
    function slope(P, X, y, G) {
      G.fill(0);
      const top = blocks[last - 1];
      let loss = 0;
      top.back.fill(0);
      for (let n = 0; n < N; n += 1) {
        let most = -Infinity, total = 0;
        for (let k = 0; k < K; k += 1) most = Math.max(most, logits[n * K + k]);
        for (let k = 0; k < K; k += 1) total += Math.exp(logits[n * K + k] - most);
        loss += (most + Math.log(total) - logits[n * K + y[n]]) / N;
        for (let k = 0; k < K; k += 1) {
          const g = (Math.exp(logits[n * K + k] - most) / total - (k === y[n] ? 1 : 0)) / N;
          pull[n * K + k] = g;
          G[b + k] += g;
          for (let a = 0; a < d; a += 1) {
            G[w + k * d + a] += g * top.value[n * d + a];
            top.back[n * d + a] += g * P[w + k * d + a];
          }
        }
      }
      for (let l = last - 1; l >= 0; l -= 1) {
        const c = blocks[l], input = l ? blocks[l - 1].value : X, back = l ? blocks[l - 1].back : null, out = c.out, inn = c.inn;
        for (let o = 0; o < out; o += 1) {
          let plain = 0, along = 0;
          for (let n = 0, j = o; n < N; n += 1, j += out) {
            if (c.relu && c.value[j] === 0) c.back[j] = 0;
            plain += c.back[j];
            along += c.back[j] * c.unit[j];
          }
          G[c.beta + o] = plain;
          G[c.gamma + o] = along;
          const size = P[c.gamma + o] * c.scale[o];
          for (let n = 0, j = o; n < N; n += 1, j += out) c.back[j] = size * (c.back[j] - plain / N - (c.unit[j] * along) / N);
        }
        if (back) back.fill(0);
        for (let n = 0; n < N; n += 1) {
          for (let o = 0; o < out; o += 1) {
            const g = c.back[n * out + o], p = c.w + o * inn, x = n * inn;
            for (let i = 0; i < inn; i += 1) G[p + i] += g * input[x + i];
            if (back) for (let i = 0; i < inn; i += 1) back[x + i] += g * P[p + i];
          }
        }
      }
      return loss;
    }
    /* He's start: normal weights of variance 2 over the inputs, gamma 1 (that of the features is given), everything else 0. */
    function start(seed, spread) {
      const P = new Float64Array(count), draw = live.random(seed);
      const fill = (at, size, inputs) => {
        for (let i = 0; i < size; i += 1) P[at + i] = Math.sqrt((-4 * Math.log(1 - draw())) / inputs) * Math.cos(2 * Math.PI * draw());
      };
      for (const c of blocks) {
        fill(c.w, c.inn * c.out, c.inn);
        P.fill(1, c.gamma, c.gamma + c.out);
      }
      P.fill(spread, blocks[last - 1].gamma, blocks[last - 1].gamma + d);
      fill(w, K * d, d);
      return P;
    }
    return { count, forward, predict, slope, start, rows: (P) => P.slice(w, w + K * d), bias: (P) => P.slice(b, b + K) };
  }

  /* One step of PyTorch's SGD: the decay is added to the slope, the momentum gathers both. */
  function descend(P, V, G, rate, momentum, decay) {
    for (let i = 0; i < P.length; i += 1) {
      V[i] = momentum * V[i] + G[i] + decay * P[i];
      P[i] -= rate * V[i];
    }
  }

  /* NC1 to NC4 of features (N, 2), flat, with labels y, rows W (K, 2) and bias b: the definitions of chapter 1. */
  function collapse(H, y, W, b) {
    const K = b.length, N = y.length, means = new Float64Array(2 * K), size = new Float64Array(K), M = new Float64Array(2 * K);
    for (let n = 0; n < N; n += 1) {
      size[y[n]] += 1;
      means[2 * y[n]] += H[2 * n];
      means[2 * y[n] + 1] += H[2 * n + 1];
    }
    const middle = [0, 0];
    for (let k = 0; k < K; k += 1) for (const a of [0, 1]) { means[2 * k + a] /= size[k]; middle[a] += means[2 * k + a] / K; }
    let [bxx, bxy, byy, wxx, wxy, wyy] = [0, 0, 0, 0, 0, 0];
    for (let k = 0; k < K; k += 1) {
      const x = (M[2 * k] = means[2 * k] - middle[0]), z = (M[2 * k + 1] = means[2 * k + 1] - middle[1]);
      bxx += (x * x) / K; bxy += (x * z) / K; byy += (z * z) / K;
    }
    let agree = 0, right = 0;
    for (let n = 0; n < N; n += 1) {
      const h0 = H[2 * n], h1 = H[2 * n + 1], weight = 1 / N, x = h0 - means[2 * y[n]], z = h1 - means[2 * y[n] + 1];
      wxx += weight * x * x; wxy += weight * x * z; wyy += weight * z * z;
      let decided = 0, nearest = 0, most = -Infinity, least = Infinity;
      for (let k = 0; k < K; k += 1) {
        const logit = W[2 * k] * h0 + W[2 * k + 1] * h1 + b[k], far = (h0 - means[2 * k]) ** 2 + (h1 - means[2 * k + 1]) ** 2;
        if (logit > most) { most = logit; decided = k; }
        if (far < least) { least = far; nearest = k; }
      }
      agree += decided === nearest;
      right += decided === y[n];
    }
    // The trace of Sigma_W times the pseudo-inverse of Sigma_B, through the eigenvalues of the two by two matrix.
    const half = (bxx + byy) / 2, root = Math.hypot((bxx - byy) / 2, bxy), high = half + root, low = (bxx * byy - bxy * bxy) / high;
    let trace = (wxx * byy - 2 * wxy * bxy + wyy * bxx) / (bxx * byy - bxy * bxy);
    if (!(low > 1e-14 * high)) trace = (wxx * bxx + 2 * wxy * bxy + wyy * byy) / (high * high);
    const norm = (A) => Math.sqrt(A.reduce((sum, x) => sum + x * x, 0)), nW = norm(W), nM = norm(M);
    return { nc1: trace / K, nc2_means: etfDistance(M, K), nc2_weight: etfDistance(W, K), nc3: norm(W.map((x, i) => x / nW - M[i] / nM)),
      nc4: agree / N, accuracy: right / N, means, middle, centred: M };
  }
  function etfDistance(A, K) {
    const gram = [];
    for (let j = 0; j < K; j += 1) for (let k = 0; k < K; k += 1) gram.push(A[2 * j] * A[2 * k] + A[2 * j + 1] * A[2 * k + 1]);
    const size = Math.sqrt(gram.reduce((sum, x) => sum + x * x, 0));
    return Math.sqrt(gram.reduce((sum, x, i) => sum + (x / size - ((i % (K + 1) === 0) - 1 / K) / Math.sqrt(K - 1)) ** 2, 0));
  }

  /* Images of 0 to 16, a letter a pixel. */
  const unpack = (text) => Float64Array.from(text, (letter) => (letter.charCodeAt(0) - 97) / 16);

  live.kernels.train = { network, descend, collapse, unpack };
})();
