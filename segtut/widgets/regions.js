// Section 1: grow a region of similar colors from a pixel, and compare it with the piece it is in.

const FARTHEST = 442; // whole levels: the distance of black and white is 441.7
const LARGEST = 200; // of the slider
const [SPILLED, MISSED] = [[240, 138, 36], [66, 76, 214]];

function neighbors(i, height, width) {
  const [row, column] = [Math.floor(i / width), i % width];
  const around = [];
  if (row) around.push(i - width);
  if (row < height - 1) around.push(i + width);
  if (column) around.push(i - 1);
  if (column < width - 1) around.push(i + 1);
  return around;
}

// The smallest whole tolerance at which each pixel joins the region of the seed. `rule` says to
// what a pixel's color is compared: to the "seed", or to the "neighbor" through which it joins.
function joining(pixels, height, width, seed, rule) {
  const joined = new Int16Array(height * width).fill(-1);
  const waiting = Array.from({ length: FARTHEST + 1 }, () => []);
  const distance = (a, b) => {
    const [red, green, blue] = [0, 1, 2].map((k) => pixels[3 * a + k] - pixels[3 * b + k]);
    return Math.ceil(Math.sqrt(red * red + green * green + blue * blue));
  };
  waiting[0].push(seed);
  for (let level = 0; level <= FARTHEST; level++)
    for (let at; (at = waiting[level].pop()) !== undefined; ) {
      if (joined[at] >= 0) continue;
      joined[at] = level;
      for (const next of neighbors(at, height, width))
        if (joined[next] < 0)
          waiting[Math.max(level, distance(next, rule === "seed" ? seed : at))].push(next);
    }
  return joined;
}

// 1 where the label is the seed's and a way through equal labels leads to it.
function pieceAt(labels, height, width, seed) {
  const piece = new Uint8Array(labels.length);
  piece[seed] = 1;
  for (const ways = [seed]; ways.length; )
    for (const next of neighbors(ways.pop(), height, width))
      if (!piece[next] && labels[next] === labels[seed]) {
        piece[next] = 1;
        ways.push(next);
      }
  return piece;
}

// Intersection over union of the region and the piece at each tolerance; void counts nowhere.
function overlaps(joined, piece, labels) {
  const [inside, outside] = [0, 1].map(() => new Array(FARTHEST + 1).fill(0));
  let size = 0;
  joined.forEach((level, i) => {
    if (labels[i] === 255) return;
    size += piece[i];
    (piece[i] ? inside : outside)[level]++;
  });
  let [hits, spilled] = [0, 0];
  return inside.map((more, level) => (hits += more) / (size + (spilled += outside[level])));
}

// A pixel to start from: of the largest piece of a class, the one nearest to its center.
function typicalSeed(labels, height, width, label) {
  const seen = new Uint8Array(labels.length);
  let largest = [];
  for (let start = 0; start < labels.length; start++) {
    if (labels[start] !== label || seen[start]) continue;
    const members = [];
    pieceAt(labels, height, width, start).forEach((is, i) => { if (is) { seen[i] = 1; members.push(i); } });
    if (members.length > largest.length) largest = members;
  }
  if (!largest.length) return null;
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [row, column] = [mean(largest.map((i) => Math.floor(i / width))), mean(largest.map((i) => i % width))];
  const off = (i) => Math.hypot(Math.floor(i / width) - row, (i % width) - column);
  return largest.reduce((best, i) => (off(i) < off(best) ? i : best));
}

function paint(canvas, pixels, height, width, kind) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const shown = context.createImageData(width, height);
  const mix = (value, other, part) => (1 - part) * value + part * other;
  for (let i = 0; i < height * width; i++) {
    for (let k = 0; k < 3; k++) {
      const value = pixels[3 * i + k];
      const looks = { hit: () => mix(value, 255, 0.42), rest: () => mix(value, 60, 0.55), spilled: () => mix(value, SPILLED[k], 0.72), missed: () => mix(value, MISSED[k], 0.72) };
      shown.data[4 * i + k] = looks[kind(i)]();
    }
    shown.data[4 * i + 3] = 255;
  }
  context.putImageData(shown, 0, 0);
}

function key() {
  const entry = (text, color) => element("span", {}, element("span", { class: "st-swatch", style: `background:rgb(${color.join(",")})` }), text);
  return element("div", { class: "st-legend" },
    element("span", {}, "light: found"), entry("spilled over", SPILLED), entry("missed", MISSED), element("span", {}, "dark: the rest"));
}

function render({ model, el }) {
  const [height, width] = [model.get("height"), model.get("width")];
  const [pixels, labels] = [bytes(model, "pixels"), bytes(model, "labels")];
  const classes = model.get("classes");
  const state = { seed: model.get("seed"), tolerance: model.get("tolerance"), rule: "seed" };
  let [joined, piece, curve] = [null, null, null];
  const root = card(el, "Grow a region of similar colors and compare it with the truth");
  const canvas = element("canvas", { class: "st-crisp" });
  const cell = element("span", { class: "st-cell st-shown" });
  const picture = element("div", { class: "st-over st-paint", tabindex: 0, role: "application", "aria-roledescription": "picture with a movable seed" }, canvas, cell);
  const { node: says, say } = sentence();
  const [graph, numbers] = [element("div"), element("tbody")];
  let lines = null;
  const best = () => curve.indexOf(Math.max(...curve));
  const named = () => (labels[state.seed] === 255 ? null : classes[labels[state.seed]]);
  const rows = (entries) =>
    numbers.replaceChildren(...entries.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value))));

  const grow = () => {
    joined = joining(pixels, height, width, state.seed, state.rule);
    piece = named() ? pieceAt(labels, height, width, state.seed) : new Uint8Array(labels.length);
    curve = overlaps(joined, piece, labels).slice(0, LARGEST + 1);
    lines?.stop();
    lines = chart({
      name: "IoU of the region with the piece of the label map under the seed, over the tolerance",
      xTitle: "tolerance (levels of 255)", yTitle: "IoU", low: 0, high: 1, format: (value) => value.toFixed(1), height: 180,
      lines: [{ xs: curve.map((_, level) => level), ys: named() ? curve : curve.map(() => 0) }],
    });
    graph.replaceChildren(lines.node);
    const [row, column] = [Math.floor(state.seed / width), state.seed % width];
    Object.assign(cell.style, { left: `${(100 * column) / width}%`, top: `${(100 * row) / height}%`, width: `${100 / width}%`, height: `${100 / height}%` });
    picture.setAttribute("aria-label", `Seed: row ${row + 1} of ${height}, column ${column + 1} of ${width}, ${named() ?? "void"}. Arrow keys move it.`);
    show();
  };
  const show = () => {
    const inside = (i) => joined[i] <= state.tolerance;
    const kind = (i) => (labels[i] === 255 ? (inside(i) ? "hit" : "rest") : inside(i) ? (piece[i] ? "hit" : "spilled") : piece[i] ? "missed" : "rest");
    paint(canvas, pixels, height, width, kind);
    lines.mark(state.tolerance);
    const counts = { hit: 0, spilled: 0, missed: 0 };
    labels.forEach((label, i) => { if (label !== 255 && kind(i) !== "rest") counts[kind(i)]++; });
    if (!named()) {
      rows([["Region", `${count(counts.spilled)} pixels`]]);
      say("The seed lies on a contour, which has no label: *move it* into something.");
      return;
    }
    const now = curve[state.tolerance];
    rows([
      [`Found, of this piece of ${named()}`, `${count(counts.hit)} of ${count(counts.hit + counts.missed)}`],
      ["Spilled over", count(counts.spilled)],
      ["IoU", now.toFixed(3)],
      ["Best of all tolerances", `${curve[best()].toFixed(3)} at ${best()}`],
    ]);
    const trouble = counts.spilled > counts.missed ? `the region has spilled over ${count(counts.spilled)} pixels of other things` : `${count(counts.missed)} pixels of the piece are still missing`;
    say(`At tolerance ${state.tolerance} the IoU is *${now.toFixed(2)}*: ${trouble}. The best that any tolerance reaches from this seed is *${curve[best()].toFixed(2)}*.`, true);
  };

  const slide = slider({ label: "Tolerance", min: 0, max: LARGEST, step: 1, value: state.tolerance, format: (value) => `${value} levels`, change: (value) => { state.tolerance = value; show(); } });
  const rule = choice({
    legend: "A pixel joins if it is like", value: "seed", change: (value) => { state.rule = value; grow(); },
    options: [{ value: "seed", label: "the seed" }, { value: "neighbor", label: "the neighbor it touches" }],
  });
  const jump = (tolerance) => { state.tolerance = tolerance; slide.set(state.tolerance); show(); };
  const seeds = classes
    .map((name, label) => [name, typicalSeed(labels, height, width, label)])
    .filter(([, seed]) => seed !== null)
    .map(([name, seed]) => button(name, () => { state.seed = seed; grow(); }));
  const move = (row, column) => {
    const limit = (value, size) => Math.min(size - 1, Math.max(0, value));
    state.seed = limit(row, height) * width + limit(column, width);
    grow();
  };
  const follow = (event) => {
    const box = canvas.getBoundingClientRect();
    move(Math.floor(((event.clientY - box.top) / box.height) * height), Math.floor(((event.clientX - box.left) / box.width) * width));
  };
  whenDragged(picture, follow);
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const far = event.shiftKey ? 8 : 1;
    move(Math.floor(state.seed / width) + far * step[0], (state.seed % width) + far * step[1]);
  });
  root.append(
    element("div", { class: "st-row st-tight", role: "group", "aria-label": "Put the seed on" }, element("span", {}, "Seed on:"), ...seeds),
    element("div", { class: "st-row" }, rule.node),
    element("div", { class: "st-row" }, slide.node, button("Best tolerance", () => jump(best()))),
    element("div", { class: "st-panels st-stack" },
      element("div", {}, panel("The seed: click, drag, or use the arrow keys", picture), key()),
      element("div", {}, graph, element("table", { class: "st-figures" }, numbers))),
    says,
  );
  grow();
  return () => lines.stop();
}

export { joining, overlaps, pieceAt, typicalSeed };
export default { render };
