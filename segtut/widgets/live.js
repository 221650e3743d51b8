// Section 3.2.4: a U-Net labels the street in the page, as the reader paints on it.

const VOID = 255;
const [FOG, WRONG, RIGHT] = [[214, 217, 222], [197, 48, 15], [208, 212, 220]];

// One normally distributed number a value of the picture.
function makeNoise(length) {
  return Float32Array.from({ length }, makeNormal(1));
}

// The pixels (H, W, 3), 0-255, as the network is shown them: moved, then veiled, then lit, then noisy.
function adjusted(pixels, height, width, { shift, fog, light, noise }, grain) {
  const seen = new Uint8ClampedArray(pixels.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const from = 3 * (y * width + Math.min(width - 1, Math.max(0, x - shift)));
      const to = 3 * (y * width + x);
      for (let c = 0; c < 3; c++)
        seen[to + c] = light * ((1 - fog) * pixels[from + c] + fog * FOG[c]) + noise * grain[to + c];
    }
  return seen;
}

// Labels moved in the same way; what comes in at the side has no true label.
function moved(labels, height, width, shift) {
  return labels.map((_, i) => {
    const x = (i % width) - shift;
    return x < 0 || x >= width ? VOID : labels[i - shift];
  });
}

// (H, W, 3), 0-255, to (3, H, W), 0-1: what the network takes.
function toNetwork(pixels) {
  const places = pixels.length / 3;
  return Float32Array.from(pixels, (_, i) => pixels[3 * (i % places) + Math.floor(i / places)] / 255);
}

function probabilities(logits, classes, places, place) {
  const values = Array.from({ length: classes }, (_, c) => logits[c * places + place]);
  const top = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - top));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}

function labelsOf(logits, classes, places) {
  const labels = new Uint8Array(places);
  for (let i = 0; i < places; i++)
    for (let c = 1; c < classes; c++)
      if (logits[c * places + i] > logits[labels[i] * places + i]) labels[i] = c;
  return labels;
}

// Share of right labels, and intersection over union of each class; null where there is none.
function agreement(truth, said, classes, only = null) {
  const [hits, there, called] = [0, 1, 2].map(() => new Array(classes).fill(0));
  truth.forEach((label, i) => {
    if (label === VOID || (only && !only[i])) return;
    there[label]++;
    called[said[i]]++;
    if (label === said[i]) hits[label]++;
  });
  const total = there.reduce((sum, value) => sum + value, 0);
  const iou = hits.map((both, c) => (there[c] + called[c] ? both / (there[c] + called[c] - both) : null));
  return { accuracy: total ? hits.reduce((sum, value) => sum + value, 0) / total : null, iou };
}

function paintPicture(canvas, pixels, height, width) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    image.data.set(pixels.subarray(3 * i, 3 * i + 3), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// The street being painted: pixels, labels, and where paint went. A class with a stamp is put down
// as the cut-out of a real one; the others are painted with pixels of that class, drawn at random.
function makeStreet(pictures, labels, height, width, stamps) {
  const places = height * width;
  const of = (number) => [pictures.subarray(3 * places * number, 3 * places * (number + 1)), labels.subarray(places * number, places * (number + 1))];
  const street = { number: 0, pixels: null, truth: null, painted: null };
  const random = makeRandom(2);
  const reset = (number) => {
    const [pixels, truth] = of(number);
    Object.assign(street, { number, pixels: pixels.slice(), truth: truth.slice(), painted: new Uint8Array(places) });
  };
  const put = (place, color, label) => {
    street.pixels.set(color, 3 * place);
    street.truth[place] = label;
    street.painted[place] = 1;
  };
  // Where the class is in this street, else in any.
  const samples = (label) => {
    const found = [...Array(labels.length / places).keys()].map((number) => {
      const [pixels, truth] = of(number);
      const colors = [];
      truth.forEach((other, i) => { if (other === label) colors.push(pixels.subarray(3 * i, 3 * i + 3)); });
      return colors;
    });
    return found[street.number].length > 40 ? found[street.number] : found.flat();
  };
  let [sampled, colors] = ["", []];
  const brush = (row, column, label, radius) => {
    if (sampled !== `${street.number} ${label}`) [sampled, colors] = [`${street.number} ${label}`, samples(label)];
    if (!colors.length) return;
    for (let y = Math.max(0, row - radius); y <= Math.min(height - 1, row + radius); y++)
      for (let x = Math.max(0, column - radius); x <= Math.min(width - 1, column + radius); x++)
        if ((y - row) ** 2 + (x - column) ** 2 <= radius * radius + 1)
          put(y * width + x, colors[Math.floor(random() * colors.length)], label);
  };
  const stamp = (row, column, { label, street: from, top, left, height: rows, width: columns }) => {
    const [pixels, truth] = of(from);
    for (let v = 0; v < rows; v++)
      for (let u = 0; u < columns; u++) {
        const [y, x] = [row - Math.floor(rows / 2) + v, column - Math.floor(columns / 2) + u];
        const source = (top + v) * width + left + u;
        if (truth[source] === label && y >= 0 && x >= 0 && y < height && x < width)
          put(y * width + x, pixels.subarray(3 * source, 3 * source + 3), label);
      }
  };
  const stampOf = (label) => stamps.find((one) => one.label === label);
  const draw = (row, column, label, radius) =>
    stampOf(label) ? stamp(row, column, stampOf(label)) : brush(row, column, label, radius);
  reset(0);
  return { street, reset, draw, stampOf };
}

// A canvas with a cross that pointer and arrow keys move. `paint(row, column)` is called for a
// press, a drag, Space and Enter; without it the canvas is only looked at.
function sight({ name, hint, height, width, where, look, paint, pick, settled }) {
  const canvas = element("canvas", { class: "st-crisp" });
  const cell = element("span", { class: "st-cell st-shown" });
  const node = element("div", { class: "st-over st-paint", tabindex: 0, role: "application", "aria-roledescription": "picture to point at" }, canvas, cell);
  const place = () => {
    Object.assign(cell.style, {
      left: `${(100 * (where.column - 1)) / width}%`, top: `${(100 * (where.row - 1)) / height}%`,
      width: `${300 / width}%`, height: `${300 / height}%`,
    });
    node.setAttribute("aria-label", `${name}, row ${where.row + 1}, column ${where.column + 1}. ${hint}`);
  };
  const follow = (event) => {
    const box = canvas.getBoundingClientRect();
    const limit = (value, size) => Math.min(size - 1, Math.max(0, Math.floor(value * size)));
    where.row = limit((event.clientY - box.top) / box.height, height);
    where.column = limit((event.clientX - box.left) / box.width, width);
    look();
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    node.setPointerCapture(event.pointerId);
    follow(event);
    paint?.(where.row, where.column, false);
  });
  node.addEventListener("pointermove", (event) => {
    follow(event);
    if (event.buttons & 1) paint?.(where.row, where.column, true);
  });
  node.addEventListener("pointerup", () => settled());
  node.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = steps[event.key];
    if (step) {
      where.row = Math.min(height - 1, Math.max(0, where.row + step[0]));
      where.column = Math.min(width - 1, Math.max(0, where.column + step[1]));
      look();
      if (event.shiftKey) paint?.(where.row, where.column, true);
      settled();
    } else if (event.key === " " || event.key === "Enter") paint?.(where.row, where.column, false);
    else if (!pick(event.key)) return;
    event.preventDefault();
  });
  return { node, canvas, place };
}

// Rows: classes. The probability at the cross, and how well the class is found in this picture.
function classTable(classes, colors) {
  const bar = (value) => element("span", { class: "st-bar", style: `--st-share:${100 * value}%` });
  const head = ["Class", "Probability at the cross", "IoU in this picture"].map((name) => element("th", { scope: "col" }, name));
  const rows = classes.map((name, label) => {
    const swatch = element("span", { class: "st-swatch", style: `background:${classColor(colors, label)}` });
    const cells = [element("td"), element("td")];
    return { cells, node: element("tr", {}, element("th", { scope: "row" }, swatch, " " + name), ...cells) };
  });
  const node = element("table", { class: "st-figures st-even" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows.map((row) => row.node)));
  const show = (column, values, text) =>
    rows.forEach(({ cells }, label) => {
      const value = values[label];
      cells[column].replaceChildren(...(value === null ? ["nowhere"] : [text(value), bar(value)]));
    });
  return {
    node,
    showProbabilities: (values) => show(0, values, (value) => `${(100 * value).toFixed(1)} %`),
    showIoU: (values) => show(1, values, (value) => value.toFixed(2)),
  };
}

const percent = (value) => (value === null ? "none" : `${(100 * value).toFixed(1)}\u00a0%`);
const mean = (values) => {
  const known = values.filter((value) => value !== null);
  return known.reduce((sum, value) => sum + value, 0) / known.length;
};

// What the second picture can show of the answer, each as RGB bytes.
const VIEWS = {
  labels: (answer, colors) => (i) => colors.subarray(3 * answer.said[i], 3 * answer.said[i] + 3),
  doubt: (answer) => (i) => new Array(3).fill(255 * answer.confidence[i]),
  errors: (answer, colors) => (i) => {
    const label = answer.truth[i];
    return label === VOID ? colors.subarray(3 * VOID, 3 * VOID + 3) : label === answer.said[i] ? RIGHT : WRONG;
  },
};

function render({ model, el }) {
  const [height, width] = [model.get("height"), model.get("width")];
  const [classes, colors] = [model.get("classes"), bytes(model, "colors")];
  const weights = bytes(model, "weights");
  const halves = new Uint16Array(weights.slice().buffer);
  const network = startNetwork(model.get("operations"), halves);
  const { street, reset, draw, stampOf } = makeStreet(bytes(model, "pictures"), bytes(model, "labels"), height, width, model.get("stamps"));
  const places = height * width;
  const grain = makeNoise(3 * places);
  const settings = { shift: 0, fog: 0, light: 1, noise: 0 };
  const where = { row: Math.floor(height / 2), column: Math.floor(width / 2) };
  let [label, radius, view, answer] = [classes.length - 1, 3, "labels", null];

  const root = card(el, "A U-Net at work");
  const { node: says, say } = sentence();
  const table = classTable(classes, colors);
  const numbers = numberTiles(["Pixels right", "Mean IoU", "Of the paint, right", "One run"]);

  const seen = () => adjusted(street.pixels, height, width, settings, grain);
  const showPicture = () => { paintPicture(picture.canvas, seen(), height, width); };
  const showAnswer = () => {
    const color = VIEWS[view](answer, colors);
    const pixels = new Uint8ClampedArray(3 * places);
    for (let i = 0; i < places; i++) pixels.set(color(i), 3 * i);
    paintPicture(labeled.canvas, pixels, height, width);
  };
  const look = () => {
    picture.place();
    labeled.place();
    if (answer) table.showProbabilities(probabilities(answer.logits, classes.length, places, where.row * width + where.column));
  };
  const settled = () => {
    if (!answer) return;
    const place = where.row * width + where.column;
    const said = answer.said[place];
    const share = percent(answer.confidence[place]);
    const truth = answer.truth[place];
    const verdict = truth === VOID ? "No true label here" : `True label: *${classes[truth]}*`;
    say(`Row ${where.row + 1}, column ${where.column + 1}. ${verdict}. The network says *${classes[said]}*, with ${share}.`, truth === VOID || truth === said);
  };

  // Never more than one run at a time, and after the last change always one more.
  let [wanted, busy] = [false, false];
  const refresh = async () => {
    showPicture();
    wanted = true;
    root.setAttribute("aria-busy", "true");
    if (busy) return;
    busy = true;
    while (wanted) {
      wanted = false;
      const truth = moved(street.truth, height, width, settings.shift);
      const painted = moved(street.painted, height, width, settings.shift).map((mark) => (mark === 1 ? 1 : 0));
      const { logits, milliseconds } = await network.run(toNetwork(seen()), height, width);
      const said = labelsOf(logits, classes.length, places);
      const confidence = Float32Array.from(said, (_, i) => Math.max(...probabilities(logits, classes.length, places, i)));
      answer = { logits, said, confidence, truth };
      const [all, paint] = [agreement(truth, said, classes.length), agreement(truth, said, classes.length, painted)];
      numbers.show([percent(all.accuracy), mean(all.iou).toFixed(2), painted.includes(1) ? percent(paint.accuracy) : "none", `${Math.round(milliseconds)}\u00a0ms`]);
      table.showIoU(all.iou);
      showAnswer();
      look();
    }
    busy = false;
    root.setAttribute("aria-busy", "false");
    settled();
  };

  const paint = (row, column, dragging) => {
    const inside = column - settings.shift;
    if ((dragging && stampOf(label)) || inside < 0 || inside >= width) return;
    draw(row, inside, label, radius);
    refresh();
  };
  const brushes = choice({
    legend: "Paint",
    options: classes.map((name, value) => ({ label: name, value, color: classColor(colors, value) })),
    value: label,
    change: (value) => { label = value; },
  });
  const pick = (key) => {
    const number = Number(key) - 1;
    if (!/^[1-9]$/.test(key) || number >= classes.length) return false;
    brushes.set((label = number));
    return true;
  };
  const shared = { height, width, where, look, pick, settled };
  const picture = sight({ ...shared, name: "Street", hint: "Arrow keys move, Space paints, digits choose what.", paint });
  const labeled = sight({ ...shared, name: "The network's answer", hint: "Arrow keys move." });

  const knob = (name, text, min, max, step, format) =>
    slider({ label: text, min, max, step, value: settings[name], format, change: (value) => { settings[name] = value; refresh(); } });
  const knobs = [
    knob("light", "Light", 0.3, 1.7, 0.05, (value) => `${Math.round(100 * value)} %`),
    knob("fog", "Fog", 0, 0.9, 0.05, (value) => `${Math.round(100 * value)} %`),
    knob("noise", "Noise", 0, 60, 2, (value) => `± ${value}`),
    knob("shift", "Shift", -8, 8, 1, (value) => `${value} px`),
  ];
  const size = slider({ label: "Brush", min: 1, max: 10, step: 1, value: radius, format: (value) => `${2 * value + 1} px`, change: (value) => { radius = value; } });
  const startOver = (number) => {
    reset(number);
    Object.assign(settings, { shift: 0, fog: 0, light: 1, noise: 0 });
    [1, 0, 0, 0].forEach((value, i) => knobs[i].set(value));
    refresh();
  };
  const streets = choice({
    legend: "Street",
    options: model.get("names").map((name, value) => ({ label: name, value })),
    value: 0,
    change: startOver,
  });
  const views = choice({
    legend: "Show",
    options: [{ label: "labels", value: "labels" }, { label: "doubt", value: "doubt" }, { label: "errors", value: "errors" }],
    value: view,
    change: (value) => { view = value; if (answer) showAnswer(); },
  });

  root.append(
    element("div", { class: "st-row" }, streets.node, button("Start over", () => startOver(street.number))),
    element("div", { class: "st-row" }, brushes.node),
    element("div", { class: "st-panels st-stack" }, panel("The street: paint on it", picture.node), panel("What the network makes of it", labeled.node)),
    element("div", { class: "st-row", style: "margin-top: 0.7rem" }, views.node),
    element("div", { class: "st-row" }, size.node, ...knobs.map((one) => one.node)),
    numbers.node,
    says,
    table.node,
  );
  say("The network is reading the street.", true);
  refresh();
  return network.stop;
}

export { adjusted, agreement, makeEngine, makeStreet, moved };
export default { render };
