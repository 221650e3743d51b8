// Section 3.4.3: the reader paints a label map, generators draw the street, a segmenter reads it.

const VOID = 255;
const REMEMBERED = 40;

// The map with contours, as in the data: of two neighbors, the pixel of the lower class is void.
function outlined(labels, height, width) {
  return labels.map((label, i) => {
    const [y, x] = [Math.floor(i / width), i % width];
    const higher = (inside, other) => inside && labels[other] > label;
    const rows = higher(y > 0, i - width) || higher(y < height - 1, i + width);
    return rows || higher(x > 0, i - 1) || higher(x < width - 1, i + 1) ? VOID : label;
  });
}

// (C, H, W): 1 where the class is, void all zeros.
function oneHot(labels, classes) {
  const planes = new Float32Array(classes * labels.length);
  labels.forEach((label, i) => { if (label !== VOID) planes[label * labels.length + i] = 1; });
  return planes;
}

function largest(logits, classes, places) {
  const labels = new Uint8Array(places);
  for (let i = 0; i < places; i++)
    for (let c = 1; c < classes; c++)
      if (logits[c * places + i] > logits[labels[i] * places + i]) labels[i] = c;
  return labels;
}

// Share of the painted labels that is read back, and each class's IoU; null where there is none.
function readBack(painted, read, classes) {
  const [both, there, said] = [0, 1, 2].map(() => new Array(classes).fill(0));
  painted.forEach((label, i) => {
    if (label === VOID) return;
    there[label]++;
    said[read[i]]++;
    if (label === read[i]) both[label]++;
  });
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const iou = both.map((hits, c) => (there[c] + said[c] ? hits / (there[c] + said[c] - hits) : null));
  return { share: sum(there) ? sum(both) / sum(there) : null, iou };
}

// The map being painted. `remember` before a stroke makes it one that `undo` takes back.
function makeSheet(maps, stamps, height, width) {
  const places = height * width;
  const sheet = { labels: null, past: [] };
  const start = (number) => Object.assign(sheet, { labels: maps.slice(places * number, places * (number + 1)), past: [] });
  const remember = () => { sheet.past = [...sheet.past, sheet.labels.slice()].slice(-REMEMBERED); };
  const undo = () => { sheet.labels = sheet.past.pop() ?? sheet.labels; };
  const put = (row, column, label) => {
    if (row >= 0 && column >= 0 && row < height && column < width) sheet.labels[row * width + column] = label;
  };
  const disk = (row, column, label, radius) => {
    for (let y = -radius; y <= radius; y++)
      for (let x = -radius; x <= radius; x++)
        if (y * y + x * x <= (radius + 0.3) ** 2) put(row + y, column + x, label);
  };
  const stroke = (from, to, label, radius) => {
    const steps = Math.max(1, Math.abs(to.row - from.row), Math.abs(to.column - from.column));
    for (let k = 0; k <= steps; k++) {
      const between = (a, b) => Math.round(a + ((b - a) * k) / steps);
      disk(between(from.row, to.row), between(from.column, to.column), label, radius);
    }
  };
  // The connected region around a place gets another label.
  const flood = (row, column, label) => {
    const old = sheet.labels[row * width + column];
    const waiting = old === label ? [] : [[row, column]];
    while (waiting.length) {
      const [y, x] = waiting.pop();
      if (y < 0 || x < 0 || y >= height || x >= width || sheet.labels[y * width + x] !== old) continue;
      sheet.labels[y * width + x] = label;
      waiting.push([y - 1, x], [y + 1, x], [y, x - 1], [y, x + 1]);
    }
  };
  const stampOf = (label) => stamps.find((one) => one.label === label);
  const stamp = (row, column, { label, street, top, left, height: rows, width: columns }) => {
    for (let v = 0; v < rows; v++)
      for (let u = 0; u < columns; u++)
        if (maps[street * places + (top + v) * width + left + u] === label)
          put(row - Math.floor(rows / 2) + v, column - Math.floor(columns / 2) + u, label);
  };
  start(0);
  return { sheet, start, remember, undo, stroke, flood, stampOf, stamp };
}

// A canvas under a small square that marks the place the other pictures mark too.
function marked(canvas, attributes = {}) {
  const cell = element("span", { class: "st-cell st-shown" });
  const node = element("div", { class: "st-over", ...attributes }, canvas, cell);
  const mark = ({ row, column }, height, width) =>
    Object.assign(cell.style, {
      left: `${(100 * (column - 1)) / width}%`, top: `${(100 * (row - 1)) / height}%`,
      width: `${300 / width}%`, height: `${300 / height}%`,
    });
  return { node, canvas, mark };
}

// Pointer and keys on the map: `begin` and `drag` paint, `move` only looks, `key` gets the others.
function listen(node, { height, width, where, begin, drag, move, end, key }) {
  const limit = (value, size) => Math.min(size - 1, Math.max(0, Math.floor(value)));
  const follow = (event) => {
    const box = node.getBoundingClientRect();
    where.row = limit(((event.clientY - box.top) / box.height) * height, height);
    where.column = limit(((event.clientX - box.left) / box.width) * width, width);
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    node.setPointerCapture(event.pointerId);
    follow(event);
    begin();
  });
  node.addEventListener("pointermove", (event) => {
    const from = { ...where };
    follow(event);
    if (event.buttons & 1) drag(from);
    else move();
  });
  node.addEventListener("pointerup", end);
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  node.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (step) {
      const from = { ...where };
      where.row = limit(where.row + step[0], height);
      where.column = limit(where.column + step[1], width);
      if (event.shiftKey) begin(from);
      else move();
      end();
    } else if (event.key === " " || event.key === "Enter") { begin(); end(); }
    else if (!key(event)) return;
    event.preventDefault();
  });
}

// Rows: classes. Columns: each class's IoU in what is read from the streets drawn so far.
function readTable(classes, colors, names) {
  const bar = (value) => element("span", { class: "st-bar", style: `--st-share:${100 * value}%` });
  const head = ["IoU, read back", ...names].map((name) => element("th", { scope: "col" }, name));
  const rows = classes.map((name, label) => {
    const swatch = element("span", { class: "st-swatch", style: `background:${classColor(colors, label)}` });
    const cells = names.map(() => element("td"));
    return { cells, node: element("tr", {}, element("th", { scope: "row" }, swatch, " " + name), ...cells) };
  });
  const node = element("table", { class: "st-figures st-even" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows.map((row) => row.node)));
  const show = (columns) =>
    rows.forEach(({ cells }, label) => cells.forEach((cell, k) => {
      const value = columns[k][label];
      cell.replaceChildren(...(value === null ? ["nowhere"] : [value.toFixed(2), bar(value)]));
    }));
  return { node, show };
}

function tiles(names) {
  const values = names.map(() => element("dd", {}, "…"));
  const node = element("dl", { class: "st-tiles st-three" }, ...names.map((name, i) => element("div", {}, element("dt", {}, name), values[i])));
  return { node, show: (texts) => texts.forEach((text, i) => { values[i].textContent = text; }) };
}

const percent = (value) => (value === null ? "none" : `${(100 * value).toFixed(1)}\u00a0%`);

function startNetworks(model) {
  const halves = new Uint16Array(bytes(model, "weights").slice().buffer);
  let at = 0;
  return model.get("networks").map(({ name, operations, size }) => {
    const network = startNetwork(operations, halves.slice(at, at + size));
    at += size;
    return { name, ...network };
  });
}

function render({ model, el }) {
  const [height, width] = [model.get("height"), model.get("width")];
  const [classes, colors] = [model.get("classes"), bytes(model, "colors")];
  const places = height * width;
  const networks = startNetworks(model);
  const [generators, segmenter] = [networks.slice(0, -1), networks.at(-1)];
  const { sheet, start, remember, undo, stroke, flood, stampOf, stamp } = makeSheet(bytes(model, "labels"), model.get("stamps"), height, width);
  const where = { row: Math.floor(height / 2), column: Math.floor(width / 2) };
  let [label, tool, radius, view, number, answer] = [classes.length - 1, "brush", 2, "streets", 0, null];

  const root = card(el, "Paint a street");
  const { node: says, say } = sentence();
  const paper = marked(element("canvas", { class: "st-crisp" }), { class: "st-over st-paint", tabindex: 0, role: "application", "aria-roledescription": "label map to paint on" });
  const streets = generators.map(({ name }) => marked(element("canvas", { class: "st-crisp", role: "img", "aria-label": `Street drawn by ${name}` })));
  const table = readTable(classes, colors, generators.map(({ name }) => name));
  const numbers = tiles([...generators.map(({ name }) => `Read back from ${name}`), "One drawing takes"]);

  const look = () => {
    for (const picture of [paper, ...streets]) picture.mark(where, height, width);
    paper.node.setAttribute("aria-label", `Label map, row ${where.row + 1}, column ${where.column + 1}: ${classes[sheet.labels[where.row * width + where.column]]}. Arrow keys move, Space paints, Shift and arrow keys draw, digits choose what.`);
  };
  const showStreets = () => answer.forEach(({ colors: drawn, read }, k) => {
    if (view === "streets") paintMap(streets[k].canvas, drawn, [3, height, width]);
    else paintLabels(streets[k].canvas, read, height, width, colors);
    streets[k].canvas.setAttribute("aria-label", `${view === "streets" ? "Street drawn by" : "Labels read in the street of"} ${generators[k].name}`);
  });
  const settled = () => {
    if (!answer) return;
    const place = where.row * width + where.column;
    const painted = sheet.labels[place];
    const read = answer.map((one, k) => `*${classes[one.read[place]]}* in the street of ${generators[k].name}`);
    say(`Row ${where.row + 1}, column ${where.column + 1}: you painted *${classes[painted]}*. The segmenter reads ${read.join(", ")}.`, answer.every((one) => one.read[place] === painted));
  };

  // Never more than one drawing at a time, and after the last change always one more.
  let [wanted, busy] = [false, false];
  const refresh = async () => {
    paintLabels(paper.canvas, sheet.labels, height, width, colors);
    look();
    wanted = true;
    root.setAttribute("aria-busy", "true");
    if (busy) return;
    busy = true;
    while (wanted) {
      wanted = false;
      const seen = outlined(sheet.labels, height, width);
      const planes = oneHot(seen, classes.length);
      const found = [];
      let milliseconds = 0;
      for (const generator of generators) {
        const drawn = await generator.run(planes, height, width);
        const { logits } = await segmenter.run(drawn.logits, height, width);
        const read = largest(logits, classes.length, places);
        milliseconds += drawn.milliseconds / generators.length;
        found.push({ colors: drawn.logits, read, ...readBack(seen, read, classes.length) });
      }
      answer = found;
      numbers.show([...answer.map((one) => percent(one.share)), `${Math.round(milliseconds)}\u00a0ms`]);
      table.show(answer.map((one) => one.iou));
      showStreets();
    }
    busy = false;
    root.setAttribute("aria-busy", "false");
    settled();
  };

  const apply = (from) => {
    if (tool === "fill") flood(where.row, where.column, label);
    else if (tool === "cut-out" && stampOf(label)) stamp(where.row, where.column, stampOf(label));
    else stroke(from, where, label, radius);
    refresh();
  };
  const begin = (from = where) => { remember(); apply(from); };
  const drag = (from) => { if (tool === "brush" || (tool === "cut-out" && !stampOf(label))) apply(from); else look(); };
  const takeBack = () => { undo(); refresh(); };

  const tools = choice({
    legend: "With",
    options: ["brush", "cut-out", "fill"].map((value) => ({ label: value, value })),
    value: tool,
    change: (value) => { tool = value; },
  });
  // Things are easiest put down as cut-outs, and what surrounds them is brushed.
  const take = (value) => {
    label = value;
    if (tool !== "fill") tools.set((tool = stampOf(label) ? "cut-out" : "brush"));
  };
  const brushes = choice({
    legend: "Paint",
    options: classes.map((name, value) => ({ label: name, value, color: classColor(colors, value) })),
    value: label,
    change: take,
  });
  const key = (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") { takeBack(); return true; }
    const picked = Number(event.key) - 1;
    if (!/^[1-9]$/.test(event.key) || picked >= classes.length) return false;
    brushes.set(picked);
    take(picked);
    return true;
  };
  listen(paper.node, { height, width, where, begin, drag, move: look, end: settled, key });

  const maps = choice({
    legend: "Begin with",
    options: model.get("names").map((name, value) => ({ label: name, value })),
    value: 0,
    change: (value) => { start((number = value)); refresh(); },
  });
  const views = choice({
    legend: "Show",
    options: [{ label: "the pictures", value: "streets" }, { label: "what the segmenter reads in them", value: "read" }],
    value: view,
    change: (value) => { view = value; if (answer) showStreets(); },
  });
  const size = slider({ label: "Brush", min: 0, max: 7, step: 1, value: radius, format: (value) => `${2 * value + 1} px`, change: (value) => { radius = value; } });
  const panels = [panel("Your label map: paint on it", paper.node), ...streets.map(({ node }, k) => panel(`The street of ${generators[k].name}`, node))];

  root.append(
    element("div", { class: "st-row" }, maps.node, button("Start over", () => { start(number); refresh(); }), button("Undo", takeBack)),
    element("div", { class: "st-row" }, brushes.node),
    element("div", { class: "st-row" }, tools.node, size.node),
    element("div", { class: "st-panels st-easel", style: `--st-columns:${panels.length}` }, ...panels),
    element("div", { class: "st-row", style: "margin-top: 0.7rem" }, views.node),
    says,
    numbers.node,
    table.node,
  );
  take(label);
  say("The generators are drawing their first street.", true);
  refresh();
  return () => networks.forEach((network) => network.stop());
}

export { makeSheet, oneHot, outlined, readBack };
export default { render };
