// Section 5.4: choose a patch of a street, and see where each head of a small transformer looks.

// Softmax of the scores of one query: what it takes from each key. `at` and `step` are those of
// the street: where its queries and keys begin, and what one step of their 8 bits is worth.
function attention(numbers, layer, street, head, query, divided = true) {
  const { size } = layer;
  const [queries, keys] = [layer.rows * layer.columns, layer.keyRows * layer.keyColumns];
  const [q, k] = [layer.at[street][0] + (head * queries + query) * size, layer.at[street][1] + head * keys * size];
  const unit = (layer.step[street][0] * layer.step[street][1]) / (divided ? Math.sqrt(size) : 1);
  const scores = Float64Array.from({ length: keys }, (_, key) => {
    let sum = 0;
    for (let i = 0; i < size; i++) sum += numbers[q + i] * numbers[k + key * size + i];
    return sum * unit;
  });
  const top = scores.reduce((most, score) => Math.max(most, score));
  const powers = scores.map((score) => Math.exp(score - top));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

// The commonest label of each cell of a grid; void only where there is nothing else.
function commonest(labels, height, width, rows, columns) {
  const counts = Array.from({ length: rows * columns }, () => new Int32Array(256));
  labels.forEach((label, i) => {
    const cell = Math.floor((Math.floor(i / width) * rows) / height) * columns + Math.floor(((i % width) * columns) / width);
    counts[cell][label]++;
  });
  return counts.map((count) => {
    const most = count.subarray(0, 255).reduce((best, number, label) => (number > count[best] ? label : best), 0);
    return count[most] ? most : 255;
  });
}

// Of the weights of one query: how many patches they amount to (e to the entropy, in nats), how far
// away they lie on average, what share lies in the window of pixels, and what share on one class.
function described(weights, centers, from, window_, labels, label) {
  let [entropy, distance, inside, same] = [0, 0, 0, 0];
  weights.forEach((weight, key) => {
    if (weight > 0) entropy -= weight * Math.log(weight);
    const [y, x] = centers[key];
    distance += weight * Math.hypot(y - from[0], x - from[1]);
    if (y >= window_.top && y <= window_.bottom && x >= window_.left && x <= window_.right) inside += weight;
    if (labels[key] === label) same += weight;
  });
  return { patches: Math.exp(entropy), distance, inside, same };
}

// Middles (y, x) of the cells of a grid, in pixels.
function middles(height, width, rows, columns) {
  return Array.from({ length: rows * columns }, (_, i) =>
    [((Math.floor(i / columns) + 0.5) * height) / rows, (((i % columns) + 0.5) * width) / columns]);
}

const GLOW = [255, 205, 70];

// The street in dim gray, and brighter and yellower the more a patch is looked at.
function paintGlow(canvas, pixels, height, width, weights, rows, columns) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const most = Math.max(...weights);
  for (let i = 0; i < height * width; i++) {
    const cell = Math.floor((Math.floor(i / width) * rows) / height) * columns + Math.floor(((i % width) * columns) / width);
    const share = weights[cell] / most;
    const gray = 0.45 * (pixels[4 * i] + pixels[4 * i + 1] + pixels[4 * i + 2]) / 3;
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = gray * (1 - share) + GLOW[c] * share;
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// Rectangles over a picture, dark around light so that they show on every color.
function outline(node, height, width, boxes) {
  node.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const rect = ({ top, left, bottom, right, dashed }, stroke, thick) =>
    drawn("rect", {
      x: left, y: top, width: right - left, height: bottom - top, fill: "none", stroke,
      "stroke-width": thick, "vector-effect": "non-scaling-stroke", "stroke-dasharray": dashed ? "5 4" : null,
    });
  node.replaceChildren(...boxes.flatMap((box) => [rect({ ...box, dashed: false }, "#1d1e24", 3.6), rect(box, "#fff", 2)]));
}

async function readPixels(url, height, width) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = element("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, width, height).data;
}

const percent = (share) => `${Math.round(100 * share)}\u00a0%`;

function render({ model, el }) {
  const [height, width] = [model.get("height"), model.get("width")];
  const [layers, classes, names] = [model.get("layers"), model.get("classes"), model.get("names")];
  const [stored, all] = [bytes(model, "numbers"), bytes(model, "labels")];
  const numbers = new Int8Array(stored.buffer, stored.byteOffset, stored.byteLength);
  let [street, layer, divided, reach, pixels] = [0, layers.at(-1), true, 1, null];
  const [row, column] = model.get("start");
  const where = { y: ((row + 0.5) * height) / layer.rows, x: ((column + 0.5) * width) / layer.columns };

  const root = card(el, "Where the heads of a transformer look");
  const picture = element("img", { alt: "", draggable: "false" });
  const marks = drawn("svg", { "aria-hidden": "true", preserveAspectRatio: "none" });
  const board = element("div", { class: "st-over st-paint", tabindex: 0, role: "application", "aria-roledescription": "picture to look from" }, picture, marks);
  const maps = element("div", { class: "st-panels st-pairs", style: "margin-top: 0.8rem" });
  const rows = element("tbody");
  const { node: says, say } = sentence();
  let heads = [];

  const cellOf = () => [Math.floor((where.y * layer.rows) / height), Math.floor((where.x * layer.columns) / width)];
  const nameOf = (label) => (label === 255 ? "void" : classes[label]);

  const setHeads = () => {
    heads = Array.from({ length: layer.heads }, (_, head) =>
      ({ canvas: element("canvas", { class: "st-crisp", role: "img", "aria-label": `Where head ${head + 1} looks` }), title: `Head ${head + 1}` }));
    maps.style.setProperty("--st-columns", Math.max(2, heads.length));
    maps.replaceChildren(...heads.map(({ canvas, title }) => panel(title, canvas)));
  };

  const update = () => {
    const [r, c] = cellOf();
    const [tall, wide] = [height / layer.rows, width / layer.columns];
    const patch = { top: r * tall, left: c * wide, bottom: (r + 1) * tall, right: (c + 1) * wide };
    const seen = {
      top: Math.max(0, patch.top - reach * tall), left: Math.max(0, patch.left - reach * wide),
      bottom: Math.min(height, patch.bottom + reach * tall), right: Math.min(width, patch.right + reach * wide), dashed: true,
    };
    outline(marks, height, width, [seen, patch]);
    const labels = all.subarray(street * height * width, (street + 1) * height * width);
    const label = commonest(labels, height, width, layer.rows, layer.columns)[r * layer.columns + c];
    const keys = commonest(labels, height, width, layer.keyRows, layer.keyColumns);
    const centers = middles(height, width, layer.keyRows, layer.keyColumns);
    const from = [patch.top + tall / 2, patch.left + wide / 2];
    const found = heads.map(({ canvas }, head) => {
      const weights = attention(numbers, layer, street, head, r * layer.columns + c, divided);
      if (pixels) paintGlow(canvas, pixels, height, width, weights, layer.keyRows, layer.keyColumns);
      const most = weights.indexOf(weights.reduce((a, b) => Math.max(a, b)));
      return { ...described(weights, centers, from, seen, keys, label), most, weight: weights[most] };
    });
    rows.replaceChildren(...found.map((one, head) =>
      element("tr", {}, element("th", { scope: "row" }, `Head\u00a0${head + 1}`),
        ...[one.patches.toFixed(1), `${one.distance.toFixed(0)}\u00a0px`, percent(one.inside), percent(one.same)].map((text) => element("td", {}, text)))));
    heads.forEach(({ canvas }, head) => canvas.setAttribute("aria-label", `Where head ${head + 1} looks: at ${found[head].patches.toFixed(1)} patches' worth, most of all at ${nameOf(keys[found[head].most])}`));
    board.setAttribute("aria-label", `Street, patch in row ${r + 1}, column ${c + 1}, ${nameOf(label)}. Arrow keys move.`);
    const farthest = found.reduce((best, one, head) => (one.distance > found[best].distance ? head : best), 0);
    const far = found[farthest];
    say(`Row ${r + 1}, column ${c + 1}: *${nameOf(label)}*. Head ${farthest + 1} looks farthest; its strongest look, *${percent(far.weight)}*, goes to a patch of *${nameOf(keys[far.most])}*.`, true);
  };

  const show = async (number) => {
    street = number;
    picture.src = model.get("pictures")[number];
    picture.alt = `Street: ${names[number]}`;
    pixels = await readPixels(picture.src, height, width);
    update();
  };
  const moveTo = (y, x) => {
    where.y = Math.min(height - 0.5, Math.max(0.5, y));
    where.x = Math.min(width - 0.5, Math.max(0.5, x));
    update();
  };
  const follow = (event) => {
    const box = board.getBoundingClientRect();
    moveTo(((event.clientY - box.top) / box.height) * height, ((event.clientX - box.left) / box.width) * width);
  };
  whenDragged(board, follow);
  board.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" && !event.buttons) follow(event); });
  board.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const [r, c] = cellOf();
    moveTo(((r + steps[event.key][0] + 0.5) * height) / layer.rows, ((c + steps[event.key][1] + 0.5) * width) / layer.columns);
  });

  const streets = choice({ legend: "Street", options: names.map((label, value) => ({ label, value })), value: 0, change: show });
  const stages = choice({
    legend: "Attention of",
    options: layers.map((one, value) => ({ label: `${one.name}: ${one.rows} × ${one.columns} patches`, value })),
    value: layers.length - 1,
    change: (value) => { layer = layers[value]; setHeads(); update(); },
  });
  const divide = checkbox("divide by √d before the softmax", (checked) => { divided = checked; update(); });
  divide.input.checked = true;
  const window_ = slider({
    label: "3×3 convolutions, one after the other (dashed window)", min: 1, max: 8, step: 1, value: reach,
    format: (value) => `${value}: ${2 * value + 1} × ${2 * value + 1} patches`,
    change: (value) => { reach = value; update(); },
  });
  const head = ["Head", "Looks at … patches", "Mean distance", "In the dashed window", "On the same class"];
  setHeads();
  root.append(
    element("div", { class: "st-row" }, streets.node),
    element("div", { class: "st-row" }, stages.node),
    element("div", { class: "st-panels st-stack" },
      panel("Look from here: move over the street", board),
      element("div", {}, window_.node, divide.node, says)),
    maps,
    element("table", { class: "st-figures", style: "margin-top: 0.8rem" },
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))), rows),
  );
  say("The street is being opened.", true);
  show(0);
}

export { attention, commonest, described, middles };
export default { render };
