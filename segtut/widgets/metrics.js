// Section 4.4: paint a prediction and watch the scores disagree.

const VOID = 255;

// Where the square of 2 * distance + 1 cells around a cell holds another label, or leaves the grid.
function nearContour(labels, height, width, distance) {
  const near = new Uint8Array(labels.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let v = y - distance; v <= y + distance && !near[y * width + x]; v++)
        for (let u = x - distance; u <= x + distance; u++)
          if (v < 0 || u < 0 || v >= height || u >= width || labels[v * width + u] !== labels[y * width + x]) {
            near[y * width + x] = 1;
            break;
          }
  return near;
}

function boundaryIoU(truth, prediction, height, width, classes, ratio) {
  const distance = Math.max(1, Math.round(ratio * Math.hypot(height, width)));
  const hidden = prediction.map((label, i) => (truth[i] === VOID ? VOID : label));
  const [nearTruth, nearPrediction] = [truth, hidden].map((labels) => nearContour(labels, height, width, distance));
  const [both, either] = [new Array(classes).fill(0), new Array(classes).fill(0)];
  for (let i = 0; i < truth.length; i++) {
    if (truth[i] === VOID) continue;
    const match = nearTruth[i] && nearPrediction[i] && truth[i] === hidden[i];
    if (match) both[truth[i]]++;
    if (nearTruth[i]) either[truth[i]]++;
    if (nearPrediction[i] && !match) either[hidden[i]]++;
  }
  return both.map((part, label) => (either[label] ? part / either[label] : null));
}

// The mean over the classes that have a score; null stands for a class that is nowhere.
function mean(values) {
  const known = values.filter((value) => value !== null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

// All scores of one label map, as segtut.metrics computes them.
function scores(truth, prediction, height, width, classes, ratio = 0.02) {
  const [hits, there, called] = [0, 1, 2].map(() => new Array(classes).fill(0));
  truth.forEach((label, i) => {
    if (label === VOID) return;
    there[label]++;
    called[prediction[i]]++;
    if (label === prediction[i]) hits[label]++;
  });
  const rate = (part) => hits.map((_, label) => (there[label] + called[label] ? part(label) : null));
  const total = there.reduce((sum, value) => sum + value, 0);
  const per = {
    iou: rate((c) => hits[c] / (there[c] + called[c] - hits[c])),
    dice: rate((c) => (2 * hits[c]) / (there[c] + called[c])),
    boundary: boundaryIoU(truth, prediction, height, width, classes, ratio),
  };
  const accuracy = total ? hits.reduce((sum, value) => sum + value, 0) / total : null;
  return { accuracy, ...per, meanIoU: mean(per.iou), meanDice: mean(per.dice), meanBoundary: mean(per.boundary) };
}

// Ready-made predictions. Class 0 is the background, the last one the smallest thing.
function preset(name, truth, height, width, classes) {
  const labeled = truth.map((label) => (label === VOID ? 0 : label));
  const last = classes - 1;
  const changes = {
    perfect: (label) => label,
    background: () => 0,
    missing: (label) => (label === last ? 0 : label),
    swapped: (label) => (label === last ? last - 1 : label === last - 1 ? last : label),
    shifted: (label, i) => labeled[i % width ? i - 1 : i],
    dilated: (label, i) => {
      const [row, column] = [Math.floor(i / width), i % width];
      let largest = label;
      for (let v = Math.max(0, row - 1); v <= Math.min(height - 1, row + 1); v++)
        for (let u = Math.max(0, column - 1); u <= Math.min(width - 1, column + 1); u++)
          largest = Math.max(largest, labeled[v * width + u]);
      return largest;
    },
  };
  return labeled.map(changes[name]);
}

// Name, button, and what it shows, given the class names.
const PRESETS = [
  ["perfect", () => "as the truth", () => "Every label is right, and every score is 1."],
  ["background", (names) => `all ${names[0]}`, (names) => `Most pixels are ${names[0]}, so accuracy stays high while everything else is lost.`],
  ["missing", (names) => `${names.at(-1)} missing`, (names) => `Accuracy hardly notices so few pixels; in the mean IoU one class of ${names.length} now counts 0.`],
  ["shifted", () => "shifted by a pixel", () => "One pixel to the side costs little in large areas, most in thin ones, and along every contour."],
  ["dilated", () => "dilated by a pixel", () => "Everything is found and drawn a pixel too large: small things pay most."],
  ["swapped", (names) => `${names.at(-2)} and ${names.at(-1)} swapped`, () => "Perfect contours, wrong names: no score forgives that but accuracy."],
];

// One grid that mouse, finger or keyboard paint: arrows move, Space paints, digits choose a class.
function paintGrid({ name, labels, height, width, colors, classes, brush, pick, changed }) {
  const canvas = element("canvas", { class: "st-crisp" });
  const cell = element("span", { class: "st-cell" });
  const node = element(
    "div",
    { class: "st-over st-paint", tabindex: 0, role: "application", "aria-roledescription": "paintable label grid" },
    canvas,
    cell,
  );
  let [row, column] = [Math.floor(height / 2), Math.floor(width / 2)];
  const called = (label) => (label === VOID ? "void" : classes[label]);
  const place = () => {
    Object.assign(cell.style, {
      left: `${(100 * column) / width}%`, top: `${(100 * row) / height}%`,
      width: `${100 / width}%`, height: `${100 / height}%`,
    });
    const where = `row ${row + 1}, column ${column + 1}: ${called(labels[row * width + column])}`;
    node.setAttribute("aria-label", `${name}, ${where}. Arrow keys move, Space paints, digits choose a class.`);
  };
  const show = () => { paintLabels(canvas, labels, height, width, colors); place(); };
  const paint = () => { labels[row * width + column] = brush(); show(); changed(); };
  const follow = (event) => {
    const box = canvas.getBoundingClientRect();
    const limit = (value, size) => Math.min(size - 1, Math.max(0, Math.floor(value * size)));
    row = limit((event.clientY - box.top) / box.height, height);
    column = limit((event.clientX - box.left) / box.width, width);
    paint();
  };
  whenDragged(node, follow);
  node.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = steps[event.key];
    if (step) {
      row = Math.min(height - 1, Math.max(0, row + step[0]));
      column = Math.min(width - 1, Math.max(0, column + step[1]));
      if (event.shiftKey) paint();
      else place();
    } else if (event.key === " " || event.key === "Enter") paint();
    else if (/^[0-9]$/.test(event.key) && Number(event.key) < classes.length) pick(Number(event.key));
    else return;
    event.preventDefault();
  });
  show();
  return { node, show };
}

// The four scores that stand for the whole grid, each with a bar.
function headline() {
  const node = element("dl", { class: "st-tiles" });
  const show = (result) => {
    const values = { "Pixel accuracy": result.accuracy, "Mean IoU": result.meanIoU, "Mean Dice": result.meanDice, "Mean Boundary IoU": result.meanBoundary };
    const tiles = Object.entries(values).map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value === null ? "none" : value.toFixed(3), bar(value ?? 0))),
    );
    node.replaceChildren(...tiles);
  };
  return { node, show };
}

const bar = (value) => element("span", { class: "st-bar", style: `--st-share:${100 * value}%` });

// Rows: classes. Columns: IoU, Dice, Boundary IoU, each with a bar.
function scoreTable(classes, colors) {
  const body = element("tbody");
  const columns = ["IoU", "Dice", "Boundary IoU"];
  const head = element("tr", {}, element("th", { scope: "col" }, "Class"), ...columns.map((name) => element("th", { scope: "col" }, name)));
  const node = element("table", { class: "st-figures st-even" }, element("thead", {}, head), body);
  const cell = (value) =>
    value === null
      ? element("td", {}, "nowhere")
      : element("td", {}, value.toFixed(3), bar(value));
  const show = (result) => {
    const rows = classes.map((name, label) => {
      const swatch = element("span", { class: "st-swatch", style: `background:${classColor(colors, label)}` });
      const values = [result.iou[label], result.dice[label], result.boundary[label]];
      return element("tr", {}, element("th", { scope: "row" }, swatch, " " + name), ...values.map(cell));
    });
    body.replaceChildren(...rows);
  };
  return { node, show };
}

function render({ model, el }) {
  const [height, width] = [model.get("height"), model.get("width")];
  const [truth, colors] = [bytes(model, "labels").slice(), bytes(model, "colors")];
  const classes = model.get("classes");
  const prediction = preset("shifted", truth, height, width, classes.length);
  const root = card(el, "Paint a prediction and watch the scores");
  let current = classes.length - 1;
  const brushes = choice({
    legend: "Paint",
    options: classes.map((label, value) => ({ label, value, color: classColor(colors, value) })),
    value: current,
    change: (value) => { current = value; },
  });
  const pick = (value) => { current = value; brushes.set(value); };
  const { node: says, say } = sentence();
  const table = scoreTable(classes, colors);
  const tiles = headline();
  const update = (text) => {
    const result = scores(truth, prediction, height, width, classes.length);
    table.show(result);
    tiles.show(result);
    const wrong = truth.reduce((sum, label, i) => sum + (label !== VOID && label !== prediction[i]), 0);
    say(`*${wrong} of ${truth.length} pixels* are wrong. ${text}`, true);
  };
  const painted = () => update("Painted by hand.");
  const shared = { height, width, colors, classes, brush: () => current, pick, changed: painted };
  const grids = {
    truth: paintGrid({ ...shared, name: "Truth", labels: truth }),
    prediction: paintGrid({ ...shared, name: "Prediction", labels: prediction }),
  };
  const use = (name, lesson) => {
    prediction.set(preset(name, truth, height, width, classes.length));
    grids.prediction.show();
    update(lesson(classes));
  };
  const presets = PRESETS.map(([name, label, lesson]) => button(label(classes), () => use(name, lesson)));
  root.append(
    element("div", { class: "st-row st-tight", role: "group", "aria-label": "Ready-made predictions" }, element("span", {}, "Prediction:"), ...presets),
    element("div", { class: "st-row" }, brushes.node),
    element("div", { class: "st-panels" }, panel("Truth", grids.truth.node), panel("Prediction", grids.prediction.node)),
    tiles.node,
    says,
    table.node,
  );
  use("shifted", PRESETS[3][2]);
}

export { scores, preset };
export default { render };
