// Put before every figure's script: elements, labeled controls, label maps, charts.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function drawn(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// The card of a figure. JupyterLab reads the attribute and leaves the keys to the figure.
function card(el, name) {
  const root = element("div", {
    class: "segtut-figure", role: "group", "aria-label": name, "data-lm-suppress-shortcuts": "true",
  });
  root.addEventListener("keydown", (event) => event.stopPropagation());
  el.append(root);
  return root;
}

function bytes(model, name) {
  const view = model.get(name);
  return new Uint8Array(view.buffer ?? view, view.byteOffset ?? 0, view.byteLength);
}

function count(number) {
  return Math.round(number).toLocaleString("en-US");
}

function short(number) {
  const units = [[1e9, " G"], [1e6, " M"], [1e3, " k"]];
  const [size, unit] = units.find(([least]) => number >= least) ?? [1, ""];
  const value = number / size;
  return Number(value.toPrecision(3)) + unit;
}

// A slider that says its name and its value; `set` moves it without calling back.
function slider({ label, min, max, step, value, format, change }) {
  const input = element("input", { type: "range", min, max, step, "aria-label": label });
  const output = element("span", { class: "st-value" });
  const show = () => {
    output.textContent = format(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.value = value;
  input.addEventListener("input", () => { show(); change(Number(input.value)); });
  show();
  const node = element("label", { class: "st-slider" }, element("span", {}, label), output, input);
  return { node, input, get: () => Number(input.value), set: (next) => { input.value = next; show(); } };
}

function checkbox(label, change) {
  const input = element("input", { type: "checkbox" });
  input.addEventListener("change", () => change(input.checked));
  return { node: element("label", { class: "st-check" }, input, element("span", {}, label)), input };
}

// One of several, as radio buttons: arrow keys move between them.
function choice({ legend, options, value, change }) {
  const name = "st-" + Math.random().toString(36).slice(2);
  const inputs = options.map((option) => {
    const input = element("input", { type: "radio", name, value: option.value });
    input.checked = option.value === value;
    input.addEventListener("change", () => change(option.value));
    return input;
  });
  const labels = options.map((option, index) => {
    const swatch = option.color ? [element("span", { class: "st-swatch", style: `background:${option.color}` })] : [];
    return element("label", {}, inputs[index], element("span", {}, ...swatch, option.label));
  });
  const node = element("fieldset", { class: "st-choice" }, element("legend", {}, legend), ...labels);
  const set = (next) => inputs.forEach((input) => { input.checked = input.value === String(next); });
  return { node, set };
}

function button(label, click) {
  return element("button", { type: "button", class: "st-button", onclick: click }, label);
}

// A sentence under the figure that screen readers hear when it changes.
function sentence() {
  const node = element("p", { class: "st-says", role: "status", "aria-live": "polite" });
  // Text between asterisks is stressed.
  const say = (text, fine = false) => {
    node.classList.toggle("st-fine", fine);
    node.replaceChildren(...text.split("*").map((part, i) => (i % 2 ? element("strong", {}, part) : part)));
  };
  return { node, say };
}

function panel(title, ...children) {
  return element("div", { class: "st-panel" }, element("span", { class: "st-title" }, title), ...children);
}

function classColor(colors, label) {
  return `rgb(${colors.slice(3 * label, 3 * label + 3).join(",")})`;
}

function legend(classes, colors, extra = []) {
  const entry = (name, color) =>
    element("span", {}, element("span", { class: "st-swatch", style: `background:${color}` }), name);
  const entries = classes.map((name, label) => entry(name, classColor(colors, label)));
  return element("div", { class: "st-legend" }, ...entries, ...extra.map(([name, label]) => entry(name, classColor(colors, label))));
}

// A canvas of one pixel a label; colors holds 256 RGB triples.
function paintLabels(canvas, labels, height, width, colors) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < labels.length; i++) {
    pixels.data.set(colors.subarray(3 * labels[i], 3 * labels[i] + 3), 4 * i);
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

// Pixels one by one: color(i) gives the three numbers of pixel i, row by row.
function paintPixels(canvas, height, width, color) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    image.data.set(color(i), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// Numbers in large type, each under its name; show() takes their texts.
function numberTiles(names) {
  const values = names.map(() => element("dd", {}, "…"));
  const node = element("dl", { class: "st-tiles" }, ...names.map((name, i) => element("div", {}, element("dt", {}, name), values[i])));
  return { node, show: (texts) => texts.forEach((text, i) => { values[i].textContent = text; }) };
}

// Call draw(width) now and whenever the node's width changes. Returns what ends it.
function whenResized(node, draw) {
  let last = 0;
  const observer = new ResizeObserver(() => {
    const width = Math.round(node.clientWidth);
    if (width && width !== last) draw((last = width));
  });
  observer.observe(node);
  return () => observer.disconnect();
}

// Call follow(event) for each event of a pointer that is pressed on the node and moved, even outside.
function whenDragged(node, follow) {
  node.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    node.setPointerCapture(event.pointerId);
    follow(event);
  });
  node.addEventListener("pointermove", (event) => { if (event.buttons & 1) follow(event); });
}

function niceTicks(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(k * step + 0); // + 0: no tick reads "-0"
  return ticks;
}

// Lines over one axis. lines: [{xs, ys, other}], y from `low` to `high` (logarithmic if `log`).
// The x axis reaches `until`. `mark(x)` moves the dashed line and the dots on the lines.
function chart({ name, xTitle, yTitle, lines, until, low, high, log = false, format, height = 150, notes = [] }) {
  const node = drawn("svg", { class: "st-chart", role: "img", "aria-label": name, height });
  const [left, right, top, bottom] = [46, 10, 22, 34];
  const xs = lines.flatMap((line) => line.xs);
  const [first, last] = [Math.min(...xs), Math.max(until ?? 0, ...xs)];
  let marked = null;
  const draw = (width = node.clientWidth) => {
    if (!width) return;
    const scale = log ? Math.log10 : (value) => value;
    const x = (value) => left + ((value - first) / (last - first || 1)) * (width - left - right);
    const y = (value) =>
      height - bottom - ((scale(value) - scale(low)) / (scale(high) - scale(low))) * (height - top - bottom);
    const parts = [drawn("text", { x: 0, y: 12 }, yTitle), drawn("text", { x: width - right, y: height - 2, "text-anchor": "end" }, xTitle)];
    const levels = log
      ? niceTicks(Math.log10(low), Math.log10(high), 3).map((power) => 10 ** power)
      : niceTicks(low, high, 3);
    for (const level of levels)
      parts.push(
        drawn("line", { class: "st-axis", x1: left, x2: width - right, y1: y(level), y2: y(level) }),
        drawn("text", { x: left - 6, y: y(level) + 4, "text-anchor": "end" }, format(level)),
      );
    for (const tick of niceTicks(first, last, width < 300 ? 3 : 5))
      parts.push(drawn("text", { x: x(tick), y: height - bottom + 16, "text-anchor": "middle" }, count(tick)));
    for (const line of lines) {
      const points = line.xs.map((value, i) => `${x(value).toFixed(1)},${y(Math.min(high, Math.max(low, line.ys[i]))).toFixed(1)}`);
      parts.push(drawn("polyline", { class: "st-line" + (line.other ? " st-other" : ""), points: points.join(" ") }));
    }
    for (const note of notes)
      parts.push(drawn("text", { class: "st-strong", x: x(note.x), y: y(note.y), "text-anchor": note.anchor ?? "start" }, note.text));
    if (marked !== null) {
      parts.push(drawn("line", { class: "st-now", x1: x(marked), x2: x(marked), y1: top - 6, y2: height - bottom }));
      for (const line of lines) {
        const value = Math.min(high, Math.max(low, interpolated(line, marked)));
        parts.push(drawn("circle", { class: "st-dot" + (line.other ? " st-other" : ""), cx: x(marked), cy: y(value), r: 5 }));
      }
    }
    node.replaceChildren(...parts);
  };
  return { node, stop: whenResized(node, draw), mark: (value) => { marked = value; draw(); } };
}

// The line's height at x, between its two nearest points.
function interpolated({ xs, ys }, x) {
  const after = xs.findIndex((value) => value >= x);
  if (after < 0) return ys[ys.length - 1];
  if (after === 0) return ys[0];
  const part = (x - xs[after - 1]) / (xs[after] - xs[after - 1]);
  return ys[after - 1] + part * (ys[after] - ys[after - 1]);
}
