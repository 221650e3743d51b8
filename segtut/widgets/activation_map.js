// Section 3.2.3: switch features on and off, and watch the class score, its map and its IoU.

const VOID = 255;
const FOUND = [42, 45, 140];
const FALSE_ALARM = [255, 190, 105];
const MISSED = [188, 36, 138];
// From low to high: dark, violet, red, yellow; its lightness rises all the way.
const RAMP = [[16, 16, 40], [92, 26, 110], [190, 55, 82], [245, 140, 40], [250, 240, 150]];

// The weighted sum of the features that are on, and the bias: one number a place.
function activation(features, steps, weights, bias, on) {
  const places = features.length / weights.length;
  const map = new Array(places).fill(bias);
  weights.forEach((weight, f) => {
    if (!on[f]) return;
    for (let i = 0; i < places; i++) map[i] += weight * steps[f] * features[f * places + i];
  });
  return map;
}

// Bilinear, pixel centers aligned as torch does without align_corners.
function upsample(map, [height, width], [tall, wide]) {
  const axis = (n, m) =>
    Array.from({ length: m }, (_, i) => {
      const place = Math.max(0, ((i + 0.5) * n) / m - 0.5);
      const first = Math.min(n - 1, Math.floor(place));
      return [first, Math.min(n - 1, first + 1), place - first];
    });
  const [rows, columns] = [axis(height, tall), axis(width, wide)];
  return rows.flatMap(([top, bottom, down]) =>
    columns.map(([left, right, across]) => {
      const at = (y) => map[y * width + left] * (1 - across) + map[y * width + right] * across;
      return at(top) * (1 - down) + at(bottom) * down;
    }));
}

// Pixels found, falsely claimed and missed; void is not counted.
function compare(map, truth, threshold) {
  const counts = { found: 0, falselyClaimed: 0, missed: 0 };
  truth.forEach((label, i) => {
    if (label === VOID) return;
    const claimed = map[i] > threshold;
    if (claimed && label) counts.found++;
    else if (claimed) counts.falselyClaimed++;
    else if (label) counts.missed++;
  });
  const union = counts.found + counts.falselyClaimed + counts.missed;
  return { ...counts, iou: union ? counts.found / union : null };
}

// The packed bits of n pixels each of people and void, as labels 1, 255 and 0.
function unpack(packed, n) {
  const bit = (k) => (packed[k >> 3] >> (7 - (k & 7))) & 1;
  const second = 8 * Math.ceil(n / 8);
  return Uint8Array.from({ length: n }, (_, i) => (bit(i) ? 1 : bit(second + i) ? VOID : 0));
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function heat(share) {
  const place = Math.min(1, Math.max(0, share)) * (RAMP.length - 1);
  const k = Math.min(RAMP.length - 2, Math.floor(place));
  return RAMP[k].map((value, c) => Math.round(value + (place - k) * (RAMP[k + 1][c] - value)));
}

// color(i) gives [r, g, b] or nothing, which stays clear.
function paint(canvas, height, width, color) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    const rgb = color(i);
    if (rgb) pixels.data.set([...rgb, 255], 4 * i);
  }
  context.putImageData(pixels, 0, 0);
}

const STYLE = `
.st-under { position: relative; }
.st-panel .st-under img { filter: grayscale(1) contrast(0.6) brightness(1.25) !important; }
.st-panel .st-under canvas { position: absolute; inset: 0; width: 100%; height: 100%; image-rendering: pixelated; }
.st-features { display: grid; grid-template-columns: repeat(8, minmax(0, 1fr)); gap: 0.4rem; border: 0; padding: 0; margin: 0.2rem 0 0; min-width: 0; }
.segtut-figure .st-tiles { margin-bottom: 0 !important; }
.st-features legend { float: left; grid-column: 1 / -1; padding: 0; margin: 0 0 0.2rem; font-size: 0.82rem; color: var(--st-soft); width: auto; }
.st-feature { display: block; margin: 0; cursor: pointer; font-size: 0.78rem; line-height: 1.25; }
.st-feature canvas { display: block; width: 100%; height: auto; border-radius: 0.25rem; image-rendering: pixelated; }
.st-feature span { display: flex; gap: 0.25rem; align-items: center; }
.st-feature input { accent-color: var(--st-accent); margin: 0; width: 0.9rem; height: 0.9rem; }
.st-feature:not(:has(input:checked)) canvas { opacity: 0.25; }
@container (max-width: 36rem) { .st-features { grid-template-columns: repeat(4, minmax(0, 1fr)); } }
`;

// One checkbox a feature, with its map of the present scene.
function featureGrid(weights, on, changed) {
  const cells = weights.map((weight, f) => {
    const canvas = element("canvas", { "aria-hidden": "true" });
    const sign = weight < 0 ? "−" : "+";
    const text = sign + Math.abs(weight).toFixed(2);
    const input = element("input", { type: "checkbox", "aria-label": `Feature ${f + 1}, weight ${text}` });
    input.addEventListener("change", () => { on[f] = input.checked; changed(); });
    return { canvas, input, node: element("label", { class: "st-feature" }, canvas, element("span", {}, input, text)) };
  });
  const node = element("fieldset", { class: "st-features" }, element("legend", {}, "Features and their weights"), ...cells.map((cell) => cell.node));
  const show = (features, height, width) =>
    cells.forEach(({ canvas, input }, f) => {
      input.checked = on[f];
      paint(canvas, height, width, (i) => heat(features[f * height * width + i] / 255));
    });
  return { node, show };
}

function tiles() {
  const node = element("dl", { class: "st-tiles" });
  const show = (values) =>
    node.replaceChildren(...Object.entries(values).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  return { node, show };
}

const signed = (value) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(2);

function render({ model, el }) {
  const [height, width, h, w] = model.get("size");
  const [weights, steps, bias] = [model.get("weights"), model.get("steps"), model.get("bias")];
  const scenes = model.get("pictures");
  const allFeatures = bytes(model, "features");
  const allLabels = unpack(bytes(model, "labels"), scenes.length * height * width);
  const depth = weights.length * h * w;
  const featuresOf = (scene) => allFeatures.subarray(scene * depth, (scene + 1) * depth);
  const on = weights.map(() => true);
  const first = Math.max(...activation(featuresOf(0), steps, weights, bias, on));
  const state = { scene: 0, threshold: Math.round(10 * first) / 20 }; // half of the maximum
  // Limits of colors and slider: those of all scenes with all features on.
  const every = scenes.flatMap((_, scene) => activation(featuresOf(scene), steps, weights, bias, on));
  const [low, high] = [Math.floor(Math.min(...every)), Math.ceil(Math.max(...every))];

  const root = card(el, "A class activation map, put together from its features");
  const picture = element("img", { alt: "The street" });
  const gray = element("img", { alt: "" });
  const heatMap = element("canvas", { class: "st-crisp", role: "img" });
  const verdict = element("canvas", { role: "img" });
  const { node: says, say } = sentence();
  const numbers = tiles();
  const update = () => {
    const features = featuresOf(state.scene);
    const truth = allLabels.subarray(state.scene * height * width, (state.scene + 1) * height * width);
    const coarse = activation(features, steps, weights, bias, on);
    const map = upsample(coarse, [h, w], [height, width]);
    const result = compare(map, truth, state.threshold);
    const score = mean(coarse);
    picture.src = gray.src = scenes[state.scene];
    paint(heatMap, height, width, (i) => heat((map[i] - low) / (high - low)));
    paint(verdict, height, width, (i) => {
      if (truth[i] === VOID) return null;
      const claimed = map[i] > state.threshold;
      return claimed ? (truth[i] ? FOUND : FALSE_ALARM) : truth[i] ? MISSED : null;
    });
    heatMap.setAttribute("aria-label", `Activation map from ${signed(Math.min(...map))} to ${signed(Math.max(...map))}`);
    verdict.setAttribute("aria-label", `${result.found} pixels found, ${result.falselyClaimed} falsely claimed, ${result.missed} missed`);
    grid.show(features, h, w);
    const there = truth.includes(1);
    const used = on.filter(Boolean).length;
    numbers.show({
      "Class score": signed(score),
      Probability: (1 / (1 + Math.exp(-score))).toFixed(2),
      "Highest place": signed(Math.max(...map)),
      "IoU of people": result.iou === null ? "none" : result.iou.toFixed(3),
    });
    const answer = score > 0 ? "yes, a person" : "no person";
    say(`With ${used} of ${weights.length} features the network says *${answer}*; ${there ? "there is one" : "there is none"}. Above ${signed(state.threshold)} lie *${result.found}* pixels of people and *${result.falselyClaimed}* others; ${result.missed} are missed.`, (score > 0) === there);
  };
  const grid = featureGrid(weights, on, update);
  const scene = choice({
    legend: "Scene",
    options: scenes.map((_, value) => ({ label: String(value + 1), value })),
    value: 0,
    change: (value) => { state.scene = value; update(); },
  });
  const threshold = slider({
    label: "Threshold", min: low, max: high, step: 0.05, value: state.threshold, format: signed,
    change: (value) => { state.threshold = value; update(); },
  });
  const strongest = weights.indexOf(Math.max(...weights));
  const sets = {
    all: () => true,
    "positive weights": (weight) => weight > 0,
    "strongest alone": (_, f) => f === strongest,
    none: () => false,
  };
  const buttons = Object.entries(sets).map(([name, keep]) =>
    button(name, () => { weights.forEach((weight, f) => { on[f] = keep(weight, f); }); update(); }));
  const key = [["found", FOUND], ["falsely claimed", FALSE_ALARM], ["missed", MISSED]].map(([name, rgb]) =>
    element("span", {}, element("span", { class: "st-swatch", style: `background:rgb(${rgb})` }), name));
  root.append(
    element("style", {}, STYLE),
    element("div", { class: "st-row" }, scene.node, threshold.node),
    element(
      "div",
      { class: "st-panels st-pairs", style: "--st-columns: 3" },
      panel("Scene", picture),
      panel("Activation map", heatMap),
      panel("Above the threshold", element("div", { class: "st-under" }, gray, verdict)),
    ),
    element("div", { class: "st-legend" }, ...key),
    numbers.node,
    says,
    element("div", { class: "st-row st-tight", role: "group", "aria-label": "Sets of features" }, element("span", {}, "Use:"), ...buttons),
    grid.node,
  );
  update();
}

export { activation, compare, unpack, upsample };
export default { render };
