/* A picture under sliders: frames are put together, and printed with other inks where the page is dark.
   Runs as is in the built page and in notebook front ends that show HTML; nothing outside the one element is touched. */
(function () {
  "use strict";
  const box = document.querySelector('[id="IDENT"]:not([data-ready])');
  if (!box) return;
  box.dataset.ready = "1";
  const data = JSON.parse(box.querySelector('script[type="application/json"]').textContent);
  const first = box.querySelector("img").src, made = {}, root = document.documentElement;
  box.querySelector(".nc-panels").outerHTML = data.panels;
  const images = [...box.querySelectorAll("img")], inputs = [...box.querySelectorAll("input")];
  images.forEach((image) => { image.src = first; });
  let shown = "", printing = false;

  /* Every colour is a mixture of three neighbouring inks; the same amounts of other inks are what a dark page has. */
  const rgb = (code) => [1, 3, 5].map((i) => parseInt(code.slice(i, i + 2), 16) / 255);
  const inks = data.inks.map((pair) => [rgb(pair[0]).map((v) => 1 - v), rgb(pair[1])]), paper = rgb(data.paper);
  const det = (a, b, c) => a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0]);
  function printed(pixel) {
    const ink = pixel.map((v) => 1 - v / 255);
    let best = null, most = -Infinity;
    for (const cone of data.cones) {
      const [a, b, c] = cone.map((i) => inks[i][0]), all = det(a, b, c);
      const amounts = [det(ink, b, c) / all, det(a, ink, c) / all, det(a, b, ink) / all];
      if (Math.min(...amounts) > most) { most = Math.min(...amounts); best = [cone, amounts]; }
    }
    return paper.map((v, i) => Math.round(255 * Math.max(0, Math.min(1, v + best[0].reduce((sum, k, j) => sum + best[1][j] * (inks[k][1][i] - v), 0)))));
  }
  const known = new Map();
  function turnDark(pen, width, height) {
    const picture = pen.getImageData(0, 0, width, height), d = picture.data;
    for (let i = 0; i < d.length; i += 4) {
      const code = (d[i] << 16) | (d[i + 1] << 8) | d[i + 2];
      if (!known.has(code)) known.set(code, printed([d[i], d[i + 1], d[i + 2]]));
      const now = known.get(code);
      d[i] = now[0]; d[i + 1] = now[1]; d[i + 2] = now[2];
    }
    pen.putImageData(picture, 0, 0);
  }

  function load(source) {
    const picture = new Image();
    picture.src = source;
    return picture.decode().then(() => picture);
  }
  const put = (source) => images.forEach((image) => { image.src = source; });
  function picture(index, dark) {
    const frame = data.frames[index], key = index + (dark ? " dark" : "");
    shown = key;
    if (!dark && (!frame || frame.length === 1)) { put(frame ? frame[0] : first); return; }
    if (made[key]) { put(made[key]); return; }
    // What differs is laid over the first picture at full size: two layers that the page scales would not meet.
    const parts = !frame ? [first] : frame.length === 1 ? [frame[0]] : [first, frame[0]];
    Promise.all(parts.map(load)).then((ready) => {
      const canvas = document.createElement("canvas"), pen = canvas.getContext("2d", { willReadFrequently: true });
      canvas.width = ready[0].naturalWidth;
      canvas.height = ready[0].naturalHeight;
      pen.drawImage(ready[0], 0, 0);
      if (ready[1]) pen.drawImage(ready[1], frame[1], frame[2]);
      if (dark) turnDark(pen, canvas.width, canvas.height);
      made[key] = canvas.toDataURL();
      if (shown === key) put(made[key]);
    });
  }

  function show() {
    let index = 0;
    inputs.forEach((input, i) => {
      const at = Number(input.value), row = input.parentNode, said = row.querySelector("output");
      index = index * data.values[i].length + at;
      if (said) {
        said.textContent = data.values[i][at];
        input.setAttribute("aria-valuetext", data.values[i][at]);
      }
      row.querySelectorAll("[data-at]").forEach((b) => b.setAttribute("aria-pressed", String(Number(b.dataset.at) === at)));
    });
    images[0].alt = data.alt[index];
    picture(index, root.dataset.theme === "dark" && !printing);
  }

  inputs.forEach((input) => input.addEventListener("input", () => { stop(); show(); }));
  box.querySelectorAll("[data-at]").forEach((button) => button.addEventListener("click", () => {
    button.parentNode.querySelector("input").value = button.dataset.at;
    stop();
    show();
  }));
  const play = box.querySelector(".ncx-play");
  let timer = null;
  function stop() {
    if (!timer) return;
    clearInterval(timer);
    timer = null;
    play.innerHTML = "&#9654;";
    play.setAttribute("aria-label", "Play");
  }
  const isLast = () => Number(inputs[0].value) >= Number(inputs[0].max);
  if (play) play.addEventListener("click", () => {
    if (timer) { stop(); return; }
    play.innerHTML = "&#10073;&#10073;";
    play.setAttribute("aria-label", "Pause");
    if (isLast()) inputs[0].value = 0;
    timer = setInterval(() => {
      if (isLast()) { stop(); return; }
      inputs[0].value = Number(inputs[0].value) + 1;
      show();
    }, 250);
  });
  new MutationObserver(show).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
  for (const [kind, on] of [["beforeprint", true], ["afterprint", false]]) window.addEventListener(kind, () => { printing = on; show(); });
  show();
})();
