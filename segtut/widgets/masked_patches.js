// Section 3.3.3: hide patches of a street; a masked autoencoder fills them in, in the page.

// A pixel's patch, row by row.
const patchOf = (place, width, patch) =>
  Math.floor(Math.floor(place / width) / patch) * (width / patch) + Math.floor((place % width) / patch);

// Pixels (H, W, 3), 0-255, as the network takes them: (3, H, W), 0-1, the cover where hidden.
function covered(pixels, hidden, cover, width, patch) {
  const places = pixels.length / 3;
  const values = new Float32Array(3 * places);
  for (let i = 0; i < places; i++) {
    const out = hidden[patchOf(i, width, patch)];
    for (let c = 0; c < 3; c++) values[c * places + i] = out ? cover[c] : pixels[3 * i + c] / 255;
  }
  return values;
}

// The mean color of what can be seen, as the flattest guess at what cannot; the cover if nothing can.
function flatGuess(pixels, hidden, cover, width, patch) {
  const sums = [0, 0, 0];
  let seen = 0;
  for (let i = 0; i < pixels.length / 3; i++) {
    if (hidden[patchOf(i, width, patch)]) continue;
    seen++;
    for (let c = 0; c < 3; c++) sums[c] += pixels[3 * i + c] / 255;
  }
  return seen ? sums.map((sum) => sum / seen) : [...cover];
}

// Root mean square of (guess - truth), in levels of 0-255, over the pixels of the patches that
// `counts`; null where there are none. guess(c, i) is 0-1.
function levelsOff(pixels, guess, counts, width, patch) {
  let [sum, values] = [0, 0];
  for (let i = 0; i < pixels.length / 3; i++) {
    if (!counts(patchOf(i, width, patch))) continue;
    values += 3;
    for (let c = 0; c < 3; c++) sum += (255 * guess(c, i) - pixels[3 * i + c]) ** 2;
  }
  return values ? Math.sqrt(sum / values) : null;
}

// What the second picture can show: a value 0-1 for channel c of pixel i.
const VIEWS = {
  filled: ({ answer, pixels, isHidden }) => (c, i) => (isHidden(i) ? answer(c, i) : pixels[3 * i + c] / 255),
  answer: ({ answer }) => answer,
  errors: ({ answer, pixels }) => (c, i) => {
    const off = [0, 1, 2].map((k) => Math.abs(answer(k, i) - pixels[3 * i + k] / 255));
    return 1 - Math.min(1, 3 * (off[0] + off[1] + off[2]) / 3);
  },
  truth: ({ pixels }) => (c, i) => pixels[3 * i + c] / 255,
};

function paintColors(canvas, value, height, width) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = Math.round(255 * Math.min(1, Math.max(0, value(c, i))));
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// A random order of the patches (Fisher and Yates).
function shuffled(count, random) {
  const order = Array.from({ length: count }, (_, k) => k);
  for (let k = count - 1; k > 0; k--) {
    const other = Math.floor(random() * (k + 1));
    [order[k], order[other]] = [order[other], order[k]];
  }
  return order;
}

// The lines between patches, the crosses of the hidden ones, and the frame of the one pointed at.
function drawGrid(node, rows, columns, hidden, where) {
  const parts = [];
  const line = (d, color, width) =>
    parts.push(drawn("path", { d, fill: "none", stroke: color, "stroke-width": width, "vector-effect": "non-scaling-stroke" }));
  for (let k = 1; k < rows; k++) line(`M0 ${k}H${columns}`, "rgba(255,255,255,0.35)", 1);
  for (let k = 1; k < columns; k++) line(`M${k} 0V${rows}`, "rgba(255,255,255,0.35)", 1);
  hidden.forEach((out, k) => {
    const [y, x] = [Math.floor(k / columns), k % columns];
    if (out) line(`M${x + 0.35} ${y + 0.35}l0.3 0.3m-0.3 0l0.3 -0.3`, "rgba(255,255,255,0.85)", 1.5);
  });
  const frame = `M${where.column} ${where.row}h1v1h-1z`;
  line(frame, "#000", 4);
  line(frame, "#fff", 2);
  node.setAttribute("viewBox", `0 0 ${columns} ${rows}`);
  node.replaceChildren(...parts);
}

const levels = (value) => (value === null ? "none" : value.toFixed(1));

function makeTiles(names) {
  const values = names.map(() => element("dd", {}, "…"));
  const node = element("dl", { class: "st-tiles" }, ...names.map((name, i) => element("div", {}, element("dt", {}, name), values[i])));
  return { node, show: (texts) => texts.forEach((text, i) => { values[i].textContent = text; }) };
}

function render({ model, el }) {
  const [height, width, patch] = ["height", "width", "patch"].map((name) => model.get(name));
  const [rows, columns] = [height / patch, width / patch];
  const [count, places] = [rows * columns, height * width];
  const [cover, pictures] = [model.get("cover"), bytes(model, "pictures")];
  const network = startNetwork(model.get("operations"), new Uint16Array(bytes(model, "weights").slice().buffer));
  const random = makeRandom(1);
  const hidden = new Uint8Array(count);
  const where = { row: Math.floor(rows / 2), column: Math.floor(columns / 2) };
  let [street, view, order, answer] = [0, "filled", model.get("order"), null];
  const root = card(el, "A masked autoencoder at work");
  const { node: says, say } = sentence();
  const numbers = makeTiles(["Hidden", "Error where hidden", "A flat guess there", "Error where seen"]);
  const pixels = () => pictures.subarray(3 * places * street, 3 * places * (street + 1));
  const hiddenCount = () => hidden.reduce((sum, out) => sum + out, 0);

  const canvas = element("canvas", { class: "st-crisp" });
  const grid = drawn("svg", { "aria-hidden": "true", preserveAspectRatio: "none" });
  const board = element("div", { class: "st-over st-paint", tabindex: 0, role: "application", "aria-roledescription": "picture to hide patches of" }, canvas, grid);
  const filled = element("canvas", { class: "st-crisp", role: "img", "aria-label": "The street with its hidden patches filled in" });

  const showStreet = () => {
    const seen = covered(pixels(), hidden, cover, width, patch);
    paintColors(canvas, (c, i) => seen[c * places + i], height, width);
    drawGrid(grid, rows, columns, hidden, where);
    const state = hidden[where.row * columns + where.column] ? "hidden" : "seen";
    board.setAttribute("aria-label", `Street, patch in row ${where.row + 1}, column ${where.column + 1}, ${state}. Arrow keys move, Space hides or shows.`);
  };
  const showAnswer = () => {
    const guess = (c, i) => answer.values[c * places + i];
    const isHidden = (i) => answer.hidden[patchOf(i, width, patch)];
    paintColors(filled, VIEWS[view]({ answer: guess, pixels: answer.pixels, isHidden }), height, width);
    filled.setAttribute("aria-label", { filled: "The street with its hidden patches filled in", answer: "All that the network returns", errors: "Where the network is wrong, dark", truth: "The street itself" }[view]);
  };
  const tell = () => {
    const here = where.row * columns + where.column;
    const guess = (c, i) => answer.values[c * places + i];
    const off = levels(levelsOff(answer.pixels, guess, (k) => k === here, width, patch));
    const state = answer.hidden[here] ? "hidden" : "seen";
    say(`Patch in row ${where.row + 1}, column ${where.column + 1}: *${state}*. There the network's answer is off by *${off} levels* of 255.`, !answer.hidden[here]);
  };

  // Never more than one run at a time, and after the last change always one more.
  let [wanted, busy] = [false, false];
  const refresh = async () => {
    showStreet();
    wanted = true;
    root.setAttribute("aria-busy", "true");
    if (busy) return;
    busy = true;
    while (wanted) {
      wanted = false;
      const [shown, out] = [pixels(), hidden.slice()];
      const { logits } = await network.run(covered(shown, out, cover, width, patch), height, width);
      answer = { values: logits, pixels: shown, hidden: out };
      const guess = (c, i) => logits[c * places + i];
      const flat = flatGuess(shown, out, cover, width, patch);
      const off = (values, which) => levels(levelsOff(shown, values, (k) => out[k] === which, width, patch));
      numbers.show([`${out.reduce((sum, one) => sum + one, 0)} of ${count}`, off(guess, 1), off((c) => flat[c], 1), off(guess, 0)]);
      showAnswer();
    }
    busy = false;
    root.setAttribute("aria-busy", "false");
    tell();
  };

  const setHidden = (values) => {
    values.forEach((out, k) => { hidden[k] = out; });
    share.set(hiddenCount());
    refresh();
  };
  const hideFirst = (many) => setHidden(Array.from({ length: count }, (_, k) => (order.indexOf(k) < many ? 1 : 0)));
  const hideOne = (out) => setHidden([...hidden].map((now, k) => (k === where.row * columns + where.column ? out : now)));

  // A press hides what was seen or shows what was hidden; dragging on does the same to others.
  let brush = 1;
  whenDragged(board, (event) => {
    const box = canvas.getBoundingClientRect();
    const limit = (value, size) => Math.min(size - 1, Math.max(0, Math.floor(value * size)));
    where.row = limit((event.clientY - box.top) / box.height, rows);
    where.column = limit((event.clientX - box.left) / box.width, columns);
    const here = where.row * columns + where.column;
    if (event.type === "pointerdown") brush = hidden[here] ? 0 : 1;
    if (hidden[here] !== brush) hideOne(brush);
  });
  board.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) {
      where.row = Math.min(rows - 1, Math.max(0, where.row + step[0]));
      where.column = Math.min(columns - 1, Math.max(0, where.column + step[1]));
      showStreet();
      if (answer) tell();
    } else if (event.key === " " || event.key === "Enter") hideOne(hidden[where.row * columns + where.column] ? 0 : 1);
    else return;
    event.preventDefault();
  });

  const share = slider({ label: "Patches hidden", min: 0, max: count, step: 1, value: model.get("start"), format: (value) => `${value} of ${count}`, change: hideFirst });
  const streets = choice({
    legend: "Street", value: street,
    options: model.get("names").map((name, value) => ({ label: name, value })),
    change: (value) => { street = value; refresh(); },
  });
  const views = choice({
    legend: "Show", value: view,
    options: [["filled in", "filled"], ["its whole answer", "answer"], ["errors", "errors"], ["the truth", "truth"]].map(([label, value]) => ({ label, value })),
    change: (value) => { view = value; if (answer) showAnswer(); },
  });
  root.append(
    element("div", { class: "st-row" }, streets.node),
    element("div", { class: "st-row" }, share.node,
      button("Other patches", () => { order = shuffled(count, random); hideFirst(share.get()); }),
      button("Swap hidden and seen", () => setHidden([...hidden].map((out) => 1 - out))),
      button("Show all", () => setHidden([...hidden].map(() => 0)))),
    element("div", { class: "st-panels st-stack" }, panel("What it sees: press on a patch", board), panel("What it makes of it", filled)),
    element("div", { class: "st-row", style: "margin-top: 0.7rem" }, views.node),
    numbers.node,
    says,
  );
  say("The network is looking at the street.", true);
  hideFirst(model.get("start"));
  return network.stop;
}

export { covered, flatGuess, levelsOff, shuffled };
export default { render };
