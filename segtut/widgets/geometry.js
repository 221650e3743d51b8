// Section 4.2: the U-Net and the article's classifier as boxes, counted, and what one pixel sees.

const HEIGHTS = { min: 48, max: 480, step: 48 };

const sum = (values) => values.reduce((total, value) => total + value, 0);

// A layer's name, output shape, weights (with biases and normalization) and multiply-adds.
function convolution(name, inputs, outputs, [height, width], side, extra) {
  const weights = inputs * outputs * side * side;
  return { name, shape: [outputs, height, width], parameters: weights + extra * outputs, multiplyAdds: weights * height * width };
}

// segtut.models.UNet(classes, width, depth): one entry a level, finest first, then the head.
function unet({ depth, width, classes, height, imageWidth }) {
  const levels = Array.from({ length: depth }, (_, level) => {
    const size = [height, imageWidth].map((side) => Math.ceil(side / 2 ** level));
    const [own, above, below] = [width * 2 ** level, level ? width * 2 ** (level - 1) : 3, width * 2 ** (level + 1)];
    const down = [convolution("", above, own, size, 3, 2), convolution("", own, own, size, 3, 2)];
    const up = level < depth - 1 ? [convolution("", own + below, own, size, 3, 2), convolution("", own, own, size, 3, 2)] : [];
    const all = [...down, ...up];
    return { shape: [own, ...size], parameters: sum(all.map((one) => one.parameters)), multiplyAdds: sum(all.map((one) => one.multiplyAdds)) };
  });
  const head = convolution("head", width, classes, [height, imageWidth], 1, 1);
  return {
    levels,
    parameters: sum(levels.map((one) => one.parameters)) + head.parameters,
    multiplyAdds: sum(levels.map((one) => one.multiplyAdds)) + head.multiplyAdds,
    coarsest: 2 ** (depth - 1),
  };
}

// segtut.models.ArticleClassifier(classes, (height, imageWidth)), layer by layer.
function classifier({ classes, height, imageWidth }) {
  const shrink = (size, by) => size.map(by);
  const first = shrink([height, imageWidth], (side) => side - 2);
  const second = shrink(first, (side) => Math.floor(side / 2));
  const third = shrink(second, (side) => side - 2);
  const fourth = shrink(third, (side) => Math.floor(side / 2));
  const flat = 64 * fourth[0] * fourth[1];
  const pool = (channels, size) => ({ name: "pool", shape: [channels, ...size], parameters: 0, multiplyAdds: 0 });
  const dense = (name, inputs, outputs) => ({ name, shape: [outputs], parameters: inputs * outputs + outputs, multiplyAdds: inputs * outputs });
  const layers = [
    convolution("3×3 conv", 3, 32, first, 3, 1),
    pool(32, second),
    convolution("3×3 conv", 32, 64, third, 3, 1),
    pool(64, fourth),
    { name: "flatten", shape: [flat], parameters: 0, multiplyAdds: 0 },
    dense("dense", flat, 64),
    dense("dense", 64, classes),
  ];
  return {
    layers,
    parameters: sum(layers.map((one) => one.parameters)),
    multiplyAdds: sum(layers.map((one) => one.multiplyAdds)),
    dense: layers[5].parameters,
  };
}

// First and last input row (or column) that output row `place` of the U-Net depends on.
function reach(place, size, depth) {
  const clip = ([low, high], level) => [Math.max(0, low), Math.min(Math.ceil(size / 2 ** level) - 1, high)];
  const widen = ([low, high]) => [low - 2, high + 2]; // two 3x3 convolutions
  let seen = [place, place];
  for (let level = 0; level < depth - 1; level++)
    seen = clip(widen(seen), level).map((index) => Math.floor(index / 2)); // nearest upsampling
  seen = clip(widen(seen), depth - 1);
  for (let level = depth - 2; level >= 0; level--)
    seen = clip(widen(clip([2 * seen[0], 2 * seen[1] + 1], level)), level); // pooling
  return seen;
}

const shapeText = (shape) => shape.map(count).join(" × ");

function columnTitles(width) {
  return [
    drawn("text", { x: 0, y: 12 }, "channels × height × width"),
    drawn("text", { x: width, y: 12, "text-anchor": "end" }, "weights"),
  ];
}

function rowTexts(shape, parameters, y, width) {
  const weights = parameters ? short(parameters) : "none";
  return [
    drawn("text", { class: "st-strong", x: 0, y: y + 4 }, shape),
    drawn("text", { x: width, y: y + 4, "text-anchor": "end" }, weights),
  ];
}

// The U: encoder going down on the left, decoder coming up on the right, skips between.
function drawUnet(node, width, network) {
  const [row, top, left, right] = [42, 40, 112, 62];
  const depth = network.levels.length;
  const room = width - left - right;
  const widest = Math.min(100, room * 0.36);
  const parts = columnTitles(width);
  const boxes = network.levels.map((level, index) => {
    const offset = depth > 1 ? ((room - widest) / 2) * (1 - index / (depth - 1)) : 0;
    return { x: left + room / 2, offset, y: top + row * index, w: Math.max(5, widest / 2 ** index), h: 6 + 1.7 * Math.log2(level.shape[0]) };
  });
  boxes.forEach((box, index) => {
    const next = boxes[index + 1];
    const level = network.levels[index];
    parts.push(...rowTexts(shapeText(level.shape), level.parameters, box.y, width));
    if (!next) return;
    parts.push(drawn("line", { class: "st-skip", x1: box.x - box.offset, x2: box.x + box.offset, y1: box.y, y2: box.y, "stroke-dasharray": "4 3" }));
    for (const side of [-1, 1])
      parts.push(drawn("line", { class: "st-skip", x1: box.x + side * box.offset, x2: next.x + side * next.offset, y1: box.y, y2: next.y }));
  });
  boxes.forEach((box, index) => {
    const sides = index < depth - 1 ? [-1, 1] : [0];
    for (const side of sides)
      parts.push(drawn("rect", { class: "st-box" + (side === 1 ? " st-up" : ""), x: box.x + side * box.offset - box.w / 2, y: box.y - box.h / 2, width: box.w, height: box.h, rx: 2 }));
  });
  node.setAttribute("height", top + row * (depth - 1) + 28);
  node.replaceChildren(...parts);
}

function drawClassifier(node, width, network) {
  const [row, top, left, right] = [36, 38, 112, 62];
  const room = width - left - right;
  const parts = columnTitles(width);
  network.layers.forEach((layer, index) => {
    const y = top + row * index;
    const spatial = layer.shape.length === 3;
    const wide = spatial ? (0.5 * layer.shape[2]) / network.layers[0].shape[2] : layer.name === "flatten" ? 1 : 0.08;
    const w = Math.max(5, wide * room);
    const h = spatial ? 6 + 1.7 * Math.log2(layer.shape[0]) : 4;
    parts.push(
      ...rowTexts(shapeText(layer.shape), layer.parameters, y, width),
      drawn("rect", { class: "st-box" + (spatial ? "" : " st-up"), x: left + (room - w) / 2, y: y - h / 2 - 4, width: w, height: h, rx: 2 }),
      drawn("text", { x: left + room / 2, y: y + 16, "text-anchor": "middle" }, layer.name),
    );
  });
  node.setAttribute("height", top + row * 7);
  node.replaceChildren(...parts);
}

// The street, the chosen pixel and a square around what its label depends on.
function seenPicture(source, name, moved) {
  const image = element("img", { src: source, alt: "A street scene" });
  const shade = drawn("path", { fill: "#000", "fill-opacity": 0.55, "fill-rule": "evenodd" });
  const square = drawn("rect", { fill: "none", stroke: "#fff", "stroke-width": 2, "vector-effect": "non-scaling-stroke" });
  const dot = drawn("rect", { fill: "#fff", stroke: "#000", "stroke-width": 1, "vector-effect": "non-scaling-stroke" });
  const overlay = drawn("svg", { preserveAspectRatio: "none", "aria-hidden": "true" }, shade, square, dot);
  const node = element("div", { class: "st-over", tabindex: 0, role: "application", "aria-roledescription": "picture with a movable pixel" }, image, overlay);
  const place = { y: 0.62, x: 0.45 };
  const limit = (value) => Math.min(0.999, Math.max(0, value));
  const go = (y, x) => { place.y = limit(y); place.x = limit(x); moved(); };
  node.addEventListener("pointerdown", (event) => {
    const box = image.getBoundingClientRect();
    go((event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width);
  });
  node.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    go(place.y + step[0] / 24, place.x + step[1] / 32);
  });
  const show = (rows, columns, [row, column], [height, width]) => {
    overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const [x, y, w, h] = [columns[0], rows[0], columns[1] - columns[0] + 1, rows[1] - rows[0] + 1];
    shade.setAttribute("d", `M0 0H${width}V${height}H0ZM${x} ${y}h${w}v${h}h${-w}Z`);
    for (const [key, value] of Object.entries({ x, y, width: w, height: h })) square.setAttribute(key, value);
    const size = Math.max(1, height / 48);
    for (const [key, value] of Object.entries({ x: column + 0.5 - size / 2, y: row + 0.5 - size / 2, width: size, height: size })) dot.setAttribute(key, value);
    node.setAttribute("aria-label", `${name}: row ${row + 1} of ${height}, column ${column + 1} of ${width}. Arrow keys move it.`);
  };
  return { node, place, show };
}

// Parameters over the input's height, both networks, the height in use marked.
function parameterChart(settings) {
  const heights = [];
  for (let height = HEIGHTS.min; height <= HEIGHTS.max; height += HEIGHTS.step) heights.push(height);
  const at = (count) => heights.map((height) => count({ ...settings, height, imageWidth: (height * 4) / 3 }).parameters);
  const [ours, theirs] = [at(unet), at(classifier)];
  return chart({
    name: "Parameters over the height of the input: the U-Net's stay, the classifier's grow with the area",
    xTitle: "input height (pixels)", yTitle: "parameters", format: short,
    low: 10 ** Math.floor(Math.log10(Math.min(...ours, ...theirs))), high: 10 ** Math.ceil(Math.log10(Math.max(...ours, ...theirs))), log: true,
    lines: [{ xs: heights, ys: ours }, { xs: heights, ys: theirs, other: true }],
    notes: [
      { x: HEIGHTS.max, y: ours[9] * 0.3, anchor: "end", text: "U-Net" },
      { x: HEIGHTS.max, y: theirs[9] * 0.17, anchor: "end", text: "article's classifier" },
    ],
  });
}

function render({ model, el }) {
  const settings = { network: "unet", depth: model.get("depth"), width: model.get("channels"), height: 96, classes: model.get("classes").length };
  const root = card(el, "A network's boxes, its counts, and what one output pixel sees");
  const boxes = drawn("svg", { class: "st-chart", role: "img" });
  const numbers = element("tbody");
  const curve = element("div");
  let stopCurve = () => {};
  const { node: says, say } = sentence();
  const picture = seenPicture(model.get("picture"), "Output pixel", () => update());
  const complete = () => ({ ...settings, imageWidth: (settings.height * 4) / 3 });
  const draw = (width = boxes.clientWidth) => {
    if (!width) return;
    const all = complete();
    if (settings.network === "unet") drawUnet(boxes, width, unet(all));
    else drawClassifier(boxes, width, classifier(all));
  };
  const rows = (entries) =>
    numbers.replaceChildren(...entries.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value))));
  const update = () => {
    const all = complete();
    const size = [all.height, all.imageWidth];
    const pixel = [Math.floor(picture.place.y * size[0]), Math.floor(picture.place.x * size[1])];
    if (settings.network === "unet") {
      const network = unet(all);
      const seen = pixel.map((place, axis) => reach(place, size[axis], all.depth));
      const [h, w] = seen.map(([low, high]) => high - low + 1);
      const free = pixel.map((place) => { const far = reach(place + 2 ** 20, 2 ** 21, all.depth); return far[1] - far[0] + 1; });
      picture.show(...seen, pixel, size);
      rows([
        ["Parameters", count(network.parameters)],
        ["Multiply-adds", short(network.multiplyAdds)],
        ["Output", `${shapeText([all.classes, ...size])} (stride 1)`],
        ["Coarsest grid", `one value for ${network.coarsest} × ${network.coarsest} pixels`],
        ["Receptive field here", `${free[0]} × ${free[1]} pixels`],
      ]);
      say(`This pixel's label can depend on *${((100 * h * w) / (size[0] * size[1])).toFixed(0)} %* of the picture. A wider network sees no further; a deeper one does.`, true);
      boxes.setAttribute("aria-label", `U-Net of ${all.depth} levels: ` + network.levels.map((level) => shapeText(level.shape)).join(", "));
    } else {
      const network = classifier(all);
      picture.show([0, size[0] - 1], [0, size[1] - 1], pixel, size);
      rows([
        ["Parameters", count(network.parameters)],
        ["of these in the first dense layer", `${((100 * network.dense) / network.parameters).toFixed(1)} %`],
        ["Multiply-adds", short(network.multiplyAdds)],
        ["Output", `${all.classes} numbers for the whole picture`],
        ["Receptive field", "the whole picture"],
      ]);
      say(`Every output sees everything, and *no output belongs to a pixel*. Twice the height and width take about four times the weights.`);
      boxes.setAttribute("aria-label", "The article's classifier: " + network.layers.map((layer) => `${layer.name} ${shapeText(layer.shape)}`).join(", "));
    }
    draw();
    stopCurve();
    const lines = parameterChart(all);
    stopCurve = lines.stop;
    curve.replaceChildren(lines.node);
    lines.mark(settings.height);
    depth.node.hidden = width.node.hidden = settings.network !== "unet";
  };
  const set = (name) => (value) => { settings[name] = value; update(); };
  const depth = slider({ label: "Levels", min: 1, max: 6, step: 1, value: settings.depth, format: String, change: set("depth") });
  const width = slider({ label: "First channels", min: 4, max: 64, step: 4, value: settings.width, format: String, change: set("width") });
  const height = slider({ ...HEIGHTS, label: "Input size", value: settings.height, format: (value) => `${value} × ${(value * 4) / 3}`, change: set("height") });
  const kind = choice({
    legend: "Network", value: settings.network, change: set("network"),
    options: [{ value: "unet", label: "U-Net" }, { value: "classifier", label: "the article's classifier" }],
  });
  root.append(
    element("div", { class: "st-row" }, kind.node),
    element("div", { class: "st-row" }, depth.node, width.node, height.node),
    element(
      "div",
      { class: "st-panels st-stack" },
      panel("Layers; wide boxes are large maps, tall ones have many channels", boxes),
      panel("What the chosen pixel's label depends on: click, or use the arrow keys", picture.node),
    ),
    says,
    element(
      "div",
      { class: "st-panels st-stack" },
      element("table", { class: "st-figures" }, numbers),
      curve,
    ),
  );
  update();
  const stop = whenResized(boxes, draw);
  return () => { stop(); stopCurve(); };
}

export { classifier, reach, unet };
export default { render };
