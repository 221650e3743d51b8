// Section 3.1.2: the loss of a neuron over its weight and bias, and a descent that the reader steers.

const KINDS = [
  { value: "cross_entropy", label: "sigmoid, cross-entropy" },
  { value: "squared", label: "sigmoid, squared error" },
  { value: "linear", label: "no sigmoid, squared error" },
];
const AHEAD = 100; // steps that Run takes
const BANDS = 16;

// Mean loss over the pixels at weight w and bias b, and its slopes: [loss, by w, by b].
function lossAt(kind, feature, positive, w, b) {
  let [loss, byW, byB] = [0, 0, 0];
  for (let i = 0; i < feature.length; i++) {
    const [v, y] = [feature[i], positive[i]];
    const z = w * v + b;
    const p = 1 / (1 + Math.exp(-z));
    let slope;
    if (kind === "cross_entropy") {
      loss += (z > 0 ? z + Math.log1p(Math.exp(-z)) : Math.log1p(Math.exp(z))) - y * z;
      slope = p - y;
    } else if (kind === "squared") {
      loss += (p - y) ** 2;
      slope = 2 * (p - y) * p * (1 - p);
    } else {
      loss += (z - y) ** 2;
      slope = 2 * (z - y);
    }
    byW += slope * v;
    byB += slope;
  }
  return [loss, byW, byB].map((sum) => sum / feature.length);
}

// Steps of gradient descent from [w, b] with momentum, as torch.optim.SGD takes them. Returns every
// point on the way as [w, b, loss]; ends early where the loss has left all bounds.
function descend(kind, feature, positive, [w, b], rate, momentum, steps, velocity = [0, 0]) {
  const path = [[w, b, lossAt(kind, feature, positive, w, b)[0]]];
  for (let step = 0; step < steps && path.at(-1)[2] < 1e9; step++) {
    const [, byW, byB] = lossAt(kind, feature, positive, w, b);
    velocity[0] = momentum * velocity[0] + byW;
    velocity[1] = momentum * velocity[1] + byB;
    w -= rate * velocity[0];
    b -= rate * velocity[1];
    path.push([w, b, lossAt(kind, feature, positive, w, b)[0]]);
  }
  return path;
}

// The loss on a grid over the window, row by row from the top, with its range.
function sample(kind, feature, positive, reach, columns = 72, rows = 54) {
  const values = new Float64Array(columns * rows);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const w = reach[0] * ((2 * column) / (columns - 1) - 1);
      const b = reach[1] * (1 - (2 * row) / (rows - 1));
      values[row * columns + column] = lossAt(kind, feature, positive, w, b)[0];
    }
  return { values, columns, rows, low: Math.min(...values), high: Math.max(...values) };
}

// Paint the surface as bands of one tint, deeper where the loss is larger, a line between bands.
function paintSurface(canvas, { values, columns, rows, low, high }, width, height) {
  [canvas.width, canvas.height] = [width, height];
  const bands = new Int16Array(width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [u, v] = [(x / (width - 1)) * (columns - 1.001), (y / (height - 1)) * (rows - 1.001)];
      const [i, j] = [Math.floor(u), Math.floor(v)];
      const [a, c, at] = [u - i, v - j, j * columns + i];
      const top = values[at] * (1 - a) + values[at + 1] * a;
      const under = values[at + columns] * (1 - a) + values[at + columns + 1] * a;
      bands[y * width + x] = Math.floor(BANDS * Math.sqrt((top * (1 - c) + under * c - low) / (high - low)));
    }
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      const edge = (x + 1 < width && bands[at] !== bands[at + 1]) || (y + 1 < height && bands[at] !== bands[at + width]);
      pixels.data.set([104, 109, 200, 255 * (0.03 + (0.42 * bands[at]) / BANDS + (edge ? 0.24 : 0))], 4 * at);
    }
  context.putImageData(pixels, 0, 0);
}

// The surface with the path on it. Pressing, dragging or arrow keys place the start.
function surfacePanel({ placed, stepped }) {
  const canvas = element("canvas", { "aria-hidden": "true" });
  const overlay = drawn("svg", { "aria-hidden": "true", viewBox: "0 0 400 300" });
  const node = element("div", { class: "st-over st-paint", tabindex: 0, role: "application", "aria-roledescription": "surface with a movable start" }, canvas, overlay);
  let reach = [1, 1];
  let start = [0, 0];
  const x = (w) => 200 + (200 * w) / reach[0];
  const y = (b) => 150 - (150 * b) / reach[1];
  const inside = (value, limit) => Math.max(-limit, Math.min(limit, value));
  const place = (w, b) => placed([inside(w, reach[0]), inside(b, reach[1])]);
  const follow = (event) => {
    const box = node.getBoundingClientRect();
    place(reach[0] * ((2 * (event.clientX - box.left)) / box.width - 1), reach[1] * (1 - (2 * (event.clientY - box.top)) / box.height));
  };
  whenDragged(node, follow);
  node.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (move) place(start[0] + (move[0] * reach[0]) / 20, start[1] + (move[1] * reach[1]) / 20);
    else if (event.key === " " || event.key === "Enter") stepped();
    else return;
    event.preventDefault();
  });
  const far = (value) => Math.max(-4000, Math.min(4000, value)).toFixed(1);
  const show = (path, lowest) => {
    start = path[0];
    const points = path.map(([w, b]) => [far(x(w)), far(y(b))]);
    const line = points.map((point) => point.join(",")).join(" ");
    const parts = [
      drawn("path", { d: `M${x(lowest[0]) - 7} ${y(lowest[1])}h14m-7 -7v14`, style: "stroke:var(--st-ink);stroke-width:2;fill:none" }),
      drawn("polyline", { points: line, style: "fill:none;stroke:var(--st-paper);stroke-width:5;stroke-linejoin:round;opacity:.7" }),
      drawn("polyline", { points: line, style: "fill:none;stroke:var(--st-second);stroke-width:2;stroke-linejoin:round" }),
      ...points.slice(0, 80).map(([cx, cy]) => drawn("circle", { cx, cy, r: 2.4, style: "fill:var(--st-second)" })),
      drawn("circle", { cx: points[0][0], cy: points[0][1], r: 7, style: "fill:var(--st-paper);stroke:var(--st-second);stroke-width:3" }),
      drawn("circle", { cx: points.at(-1)[0], cy: points.at(-1)[1], r: 5, style: "fill:var(--st-second);stroke:var(--st-paper);stroke-width:2" }),
    ];
    overlay.replaceChildren(...parts);
    node.setAttribute("aria-label", `Loss over weight and bias. The start is weight ${start[0].toFixed(2)}, bias ${start[1].toFixed(2)}. Arrow keys move it, Space takes a step.`);
  };
  const paint = (grid, window) => {
    reach = window;
    paintSurface(canvas, grid, 800, 600);
  };
  return { node, show, paint };
}

// The pixels at heights 0 and 1 over their feature, and the neuron's answer as a curve.
function fitPanel({ feature, positive, name, label }) {
  const node = drawn("svg", { class: "st-chart", role: "img", height: 130, "aria-label": `The pixels over their ${name}, those of the class ${label} above, and the neuron's answer` });
  const [first, last] = [Math.min(...feature), Math.max(...feature)];
  let shown = ["cross_entropy", 0, 0];
  const draw = (width = node.clientWidth) => {
    if (!width) return;
    const [kind, w, b] = shown;
    const x = (v) => 8 + ((v - first) / (last - first)) * (width - 16);
    const y = (p) => 90 - 66 * Math.max(-0.25, Math.min(1.25, p));
    const answer = (v) => (kind === "linear" ? w * v + b : 1 / (1 + Math.exp(-(w * v + b))));
    const curve = Array.from({ length: 61 }, (_, i) => first + ((last - first) * i) / 60).map((v) => `${x(v).toFixed(1)},${y(answer(v)).toFixed(1)}`);
    const dots = feature.map((v, i) => drawn("circle", { cx: x(v).toFixed(1), cy: y(positive[i]) + ((i * 7) % 5) - 2, r: 2.6, style: `fill:${positive[i] ? "var(--st-accent)" : "var(--st-soft)"};opacity:.65` }));
    node.replaceChildren(
      drawn("text", { x: 0, y: 12 }, `1: ${label}`),
      drawn("text", { x: 0, y: 122 }, "0: other"),
      drawn("text", { x: width, y: 126, "text-anchor": "end" }, name),
      ...dots,
      drawn("polyline", { points: curve.join(" "), style: "fill:none;stroke:var(--st-second);stroke-width:2" }),
    );
  };
  return { node, show: (kind, w, b) => { shown = [kind, w, b]; draw(); }, stop: whenResized(node, draw) };
}

const signed = (value, digits = 2) => (Math.abs(value) > 9999 ? value.toExponential(1) : value.toFixed(digits)).replace("-", "−");
const plain = (value) => (value > 999 ? value.toExponential(1) : value < 0.1 ? value.toFixed(4) : value.toFixed(3));

function verdict({ kind, rate, momentum }, path, lowest, limit) {
  const [w, b, loss] = path.at(-1);
  const bound = limit * (1 + momentum);
  const where = `Step ${path.length - 1}: w = ${signed(w)}, b = ${signed(b)}, loss *${plain(loss)}*; the lowest is ${plain(lowest[2])}. `;
  if (loss >= 1e9 || loss > 3 * path[0][2] + 1) return [where + "The loss *grows*: each step lands farther up the other side.", false];
  if (kind === "linear" && rate > bound) return [where + `This rate is above the bowl's limit, ${bound.toPrecision(3)}: it will not come to rest.`, false];
  if (loss - lowest[2] < 0.001) return [where + "That is the bottom, to three digits.", true];
  const slow = kind === "squared" && loss > 2 * lowest[2] && path.length > 20;
  return [where + (slow ? "On a plateau the slope is nearly zero, and so is the step." : `At the bottom a rate of up to ${bound.toPrecision(3)} can come to rest.`), true];
}

function render({ model, el }) {
  const [feature, positive] = [model.get("feature"), model.get("positive")];
  const [lowest, limits] = [model.get("lowest"), model.get("limits")];
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const settings = { kind: "cross_entropy", rate: 1, momentum: 0 };
  const root = card(el, "The loss of a neuron over its weight and bias, and a descent");
  let [path, velocity, grid, reach, timer] = [[], [0, 0], null, [1, 1], null];
  const { node: says, say } = sentence();
  const curve = element("div");
  let stopCurve = () => {};
  const show = () => {
    const last = path.at(-1);
    map.show(path, lowest[settings.kind]);
    fit.show(settings.kind, last[0], last[1]);
    say(...verdict(settings, path, lowest[settings.kind], limits[settings.kind]));
    const best = lowest[settings.kind][2];
    const until = Math.max(20, path.length - 1);
    stopCurve();
    const lines = chart({
      name: "The loss after each step, and the lowest possible loss",
      xTitle: "step", yTitle: "loss; dashed: the lowest possible", height: 150, log: true, format: (value) => String(Number(value.toPrecision(2))),
      low: 10 ** Math.floor(Math.log10(best)), high: 10 ** Math.ceil(Math.log10(Math.max(grid.high, 1.1))), until,
      lines: [{ xs: path.map((_, step) => step), ys: path.map((point) => point[2]) }, { xs: [0, until], ys: [best, best], other: true }],
    });
    stopCurve = lines.stop;
    curve.replaceChildren(lines.node);
    lines.mark(path.length - 1);
  };
  const halt = () => { clearInterval(timer); timer = null; run.textContent = "Run"; };
  const restart = (start) => {
    halt();
    velocity = [0, 0];
    path = descend(settings.kind, feature, positive, start, 0, 0, 0);
    show();
  };
  const forward = (steps) => {
    const more = descend(settings.kind, feature, positive, path.at(-1), settings.rate, settings.momentum, steps, velocity);
    path.push(...more.slice(1));
    show();
    return more.length > steps;
  };
  const map = surfacePanel({ placed: restart, stepped: () => forward(1) });
  const fit = fitPanel({ feature, positive, name: model.get("name"), label: model.get("label") });
  const run = button("Run", () => {
    if (timer) return halt();
    if (calm) return forward(AHEAD);
    let left = AHEAD;
    run.textContent = "Pause";
    timer = setInterval(() => { if (!forward(1) || --left === 0) halt(); }, 50);
  });
  const choose = (kind) => {
    settings.kind = kind;
    const [w, b] = lowest[kind];
    reach = [w, b].map((value) => 1.6 * Math.max(1, Math.abs(value)));
    grid = sample(kind, feature, positive, reach);
    map.paint(grid, reach);
    const power = Math.round(20 * Math.log10(limits[kind] / 4)) / 20; // to the slider's step
    settings.rate = 10 ** power;
    rate.set(power);
    restart([-w, -b]);
  };
  const kinds = choice({ legend: "Loss", options: KINDS, value: settings.kind, change: choose });
  const rate = slider({
    label: "Learning rate η", min: -2, max: 2, step: 0.05, value: 0,
    format: (power) => String(Number((10 ** power).toPrecision(2))), change: (power) => { settings.rate = 10 ** power; show(); },
  });
  const momentum = slider({
    label: "Momentum μ", min: 0, max: 0.95, step: 0.05, value: 0,
    format: (value) => value.toFixed(2), change: (value) => { settings.momentum = value; show(); },
  });
  root.append(
    element("div", { class: "st-row" }, kinds.node),
    element("div", { class: "st-row" }, rate.node, momentum.node),
    element("div", { class: "st-row st-tight" }, button("Step", () => forward(1)), run, button("Back to the start", () => restart(path[0]))),
    element(
      "div",
      { class: "st-panels st-stack" },
      panel("Weight to the right, bias upward; more tint, more loss; +: the lowest point. Drag the start", map.node),
      element("div", {}, panel("What the neuron answers now", fit.node), curve),
    ),
    says,
  );
  choose(settings.kind);
  return () => { halt(); fit.stop(); stopCurve(); };
}

export { descend, lossAt };
export default { render };
