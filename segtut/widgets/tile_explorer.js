// Section 5.1: a network labels a street tile by tile, and the page says where that shows.

const VOID = 255;
const SMALLEST = 16; // pixels by which tiles move on, at least
const [SAME, APART, CHANGED] = [[222, 224, 229], [232, 141, 0], [158, 22, 104]];

// Where tiles lie along one side: from-to is what each sees, first-last what is kept of it when
// every tile keeps its middle. The grid begins `shift` pixels before the picture.
function lay(length, tile, overlap, shift) {
  const starts = [-shift];
  while (starts.at(-1) + tile < length) starts.push(starts.at(-1) + tile - overlap);
  return starts.map((start, k) => ({
    from: Math.max(0, start), to: Math.min(length, start + tile),
    first: k ? start + overlap / 2 : 0, last: k < starts.length - 1 ? start + tile - overlap / 2 : length,
  }));
}

// All tiles of a picture, row by row.
function layout(height, width, { tile, overlap, shift }) {
  const columns = lay(width, tile, overlap, shift);
  return lay(height, tile, overlap, shift).flatMap((row) => columns.map((column) => ({ row, column })));
}

// The pixels (H, W, 3), 0-255, of a tile as (3, h, w), 0-1: what the network takes.
function cut(pixels, width, { row, column }) {
  const [h, w] = [row.to - row.from, column.to - column.from];
  const values = new Float32Array(3 * h * w);
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++)
        values[(c * h + y) * w + x] = pixels[3 * ((row.from + y) * width + column.from + x) + c] / 255;
  return { values, h, w };
}

// How much a tile says at a place: all in its middle and nothing elsewhere, or falling to the rim.
function weight({ from, to, first, last }, place, blend) {
  if (!blend) return place >= first && place < last ? 1 : 0;
  return Math.sin((Math.PI * (place - from + 0.5)) / (to - from)) ** 2;
}

// Logits (C, H, W) of the picture from those of its tiles.
function join(tiles, answers, classes, height, width, blend) {
  const places = height * width;
  const [total, weights] = [new Float64Array(classes * places), new Float64Array(places)];
  tiles.forEach(({ row, column }, k) => {
    const w = column.to - column.from;
    const h = row.to - row.from;
    for (let y = row.from; y < row.to; y++)
      for (let x = column.from; x < column.to; x++) {
        const share = weight(row, y, blend) * weight(column, x, blend);
        if (!share) continue;
        weights[y * width + x] += share;
        for (let c = 0; c < classes; c++)
          total[c * places + y * width + x] += share * answers[k][(c * h + y - row.from) * w + x - column.from];
      }
  });
  return total.map((value, i) => value / weights[i % places]);
}

function labelsOf(logits, classes, places) {
  const labels = new Uint8Array(places);
  for (let i = 0; i < places; i++)
    for (let c = 1; c < classes; c++)
      if (logits[c * places + i] > logits[labels[i] * places + i]) labels[i] = c;
  return labels;
}

function softmax(logits, classes, places, place) {
  const values = Array.from({ length: classes }, (_, c) => logits[c * places + place]);
  const top = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - top));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}

// Half the sum of the differences of two pixels' probabilities, 0 to 1, for every pixel.
function distances(a, b, classes, places) {
  return Float64Array.from({ length: places }, (_, i) => {
    const [p, q] = [softmax(a, classes, places, i), softmax(b, classes, places, i)];
    return p.reduce((sum, value, c) => sum + Math.abs(value - q[c]), 0) / 2;
  });
}

// Intersection over union of each class; null where there is none.
function iouOf(truth, said, classes) {
  const [hits, there, called] = [0, 1, 2].map(() => new Array(classes).fill(0));
  truth.forEach((label, i) => {
    if (label === VOID) return;
    there[label]++;
    called[said[i]]++;
    if (label === said[i]) hits[label]++;
  });
  return hits.map((both, c) => (there[c] + called[c] ? both / (there[c] + called[c] - both) : null));
}

// Rows: classes, and their mean. Columns: IoU in one piece, IoU in tiles.
function iouTable(classes, colors) {
  const head = ["IoU in this street", "in one piece", "in tiles"].map((name) => element("th", { scope: "col" }, name));
  const rows = [...classes, "mean"].map((name, label) => {
    const swatch = label < classes.length ? [element("span", { class: "st-swatch", style: `background:${classColor(colors, label)}` }), " "] : [];
    const cells = [element("td"), element("td")];
    return { cells, node: element("tr", label < classes.length ? {} : { class: "st-mean" }, element("th", { scope: "row" }, ...swatch, name), ...cells) };
  });
  const node = element("table", { class: "st-figures st-even" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows.map((row) => row.node)));
  const mean = (values) => {
    const found = values.filter((value) => value !== null);
    return found.reduce((sum, value) => sum + value, 0) / found.length;
  };
  const show = (...columns) =>
    columns.forEach((values, k) =>
      [...values, mean(values)].forEach((value, label) => {
        rows[label].cells[k].textContent = value === null ? "nowhere" : value.toFixed(3);
      }));
  return { node, show };
}

// The street under the lines of its tiles; pointer and arrow keys choose one.
function sheet(height, width, { choose, step }) {
  const canvas = element("canvas", { class: "st-crisp" });
  const lines = drawn("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const node = element("div", { class: "st-over", tabindex: 0, role: "application", "aria-roledescription": "picture in tiles", "aria-label": "Street" }, canvas, lines);
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    choose(((event.clientY - box.top) / box.height) * height, ((event.clientX - box.left) / box.width) * width);
  };
  node.addEventListener("pointermove", point);
  node.addEventListener("pointerdown", point);
  node.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!steps[event.key]) return;
    step(...steps[event.key]);
    event.preventDefault();
  });
  const box = (rows, columns, attributes) =>
    drawn("rect", { x: columns[0], y: rows[0], width: columns[1] - columns[0], height: rows[1] - rows[0], fill: "none", "vector-effect": "non-scaling-stroke", ...attributes });
  const show = (tiles, chosen) => {
    const kept = tiles.map(({ row, column }) => box([row.first, row.last], [column.first, column.last], { stroke: "#fff", "stroke-opacity": 0.75, "stroke-width": 1 }));
    const { row, column } = tiles[chosen];
    const [seen, middle] = [[[row.from, row.to], [column.from, column.to]], [[row.first, row.last], [column.first, column.last]]];
    const marks = [["#000", 4], ["#fff", 2]].flatMap(([stroke, wide]) => [
      box(...middle, { stroke, "stroke-width": wide }),
      box(...seen, { stroke, "stroke-width": wide, "stroke-dasharray": stroke === "#fff" ? "5 4" : null }),
    ]);
    lines.replaceChildren(...kept, ...marks);
  };
  return { node, canvas, show };
}

function render({ model, el }) {
  const [height, width, field] = [model.get("height"), model.get("width"), model.get("field")];
  const [classes, colors] = [model.get("classes"), bytes(model, "colors")];
  const places = height * width;
  const halves = new Uint16Array(bytes(model, "weights").slice().buffer);
  const network = startNetwork(model.get("operations"), halves);
  // Poolings read squares of pixels: tiles that begin between two of them are pooled otherwise.
  const grid = model.get("operations").reduce((size, { op, stride = 1 }) => size * (op === "pool" ? 2 : stride), 1);
  const [pictures, truths] = [bytes(model, "pictures"), bytes(model, "labels")];
  const longest = SMALLEST * Math.floor(Math.min(128, Math.max(height, width) - 1) / SMALLEST);
  const settings = { tile: Math.min(model.get("tile"), longest), overlap: 0, shift: 0 };
  let [number, blend, chosen, answer] = [0, false, 0, null];
  const wholes = []; // logits of each street in one piece, once they are known

  const root = card(el, "A street in tiles");
  const { node: says, say } = sentence();
  const numbers = numberTiles(["Tiles", "Pixels computed", "Labels that differ", "Largest difference of a logit"]);
  const table = iouTable(classes, colors);
  const picture = () => pictures.subarray(3 * places * number, 3 * places * (number + 1));
  const truth = () => truths.subarray(places * number, places * (number + 1));
  const tiles = () => layout(height, width, settings);

  const look = () => {
    const all = tiles();
    chosen = Math.min(chosen, all.length - 1);
    const { row, column } = all[chosen];
    street.show(all, chosen);
    street.node.setAttribute("aria-label", `Street, tile ${chosen + 1} of ${all.length}: it sees rows ${row.from + 1} to ${row.to} and columns ${column.from + 1} to ${column.to}. Arrow keys choose another.`);
  };
  const canvases = ["Labels in one piece", "Labels in tiles", "Where they differ"].map((name) => element("canvas", { class: "st-crisp", role: "img", "aria-label": name }));
  const street = sheet(height, width, {
    choose: (y, x) => {
      const found = tiles().findIndex(({ row, column }) => y >= row.first && y < row.last && x >= column.first && x < column.last);
      if (found < 0 || found === chosen) return;
      chosen = found;
      look();
    },
    step: (down, right) => {
      const all = tiles();
      const across = all.filter(({ row }) => row === all[0].row).length;
      const [y, x] = [Math.floor(chosen / across) + down, (chosen % across) + right];
      if (y < 0 || x < 0 || x >= across || y * across + x >= all.length) return;
      chosen = y * across + x;
      look();
    },
  });

  // What the tiles say together, against the answer in one piece.
  const compare = () => {
    const { all, logits } = answer;
    const whole = wholes[number];
    const joined = join(all, logits, classes.length, height, width, blend);
    const [one, many] = [labelsOf(whole, classes.length, places), labelsOf(joined, classes.length, places)];
    const apart = distances(whole, joined, classes.length, places);
    const changed = one.reduce((sum, label, i) => sum + (label !== many[i]), 0);
    const largest = whole.reduce((most, value, i) => Math.max(most, Math.abs(value - joined[i])), 0);
    const computed = all.reduce((sum, { row, column }) => sum + (row.to - row.from) * (column.to - column.from), 0);
    paintLabels(canvases[0], one, height, width, colors);
    paintLabels(canvases[1], many, height, width, colors);
    paintPixels(canvases[2], height, width, (i) => (one[i] !== many[i] ? CHANGED : SAME.map((value, c) => value + Math.min(1, 2 * apart[i]) * (APART[c] - value))));
    canvases[2].setAttribute("aria-label", `Where they differ: ${changed} of ${places} pixels have another label`);
    numbers.show([count(all.length), `${(computed / places).toFixed(2)} ×`, `${((100 * changed) / places).toFixed(2)}\u00a0%`, largest < 1e-6 ? "0" : largest.toPrecision(2)]);
    table.show(iouOf(truth(), one, classes.length), iouOf(truth(), many, classes.length));
    const margin = settings.overlap / 2;
    const reaches = `The network sees ${field} pixels, ${field / 2} to each side`;
    if (all.length === 1) say("One tile: the street in one piece.", true);
    else if (largest < 1e-6) say(`${reaches}. Each tile keeps what has at least ${margin} pixels of street around it, and *nothing differs*: the tiles compute the same numbers.`, true);
    else if (!settings.overlap) say(`${reaches}; a pixel at a border of a tile has nothing on one side. *${count(changed)} labels* differ from those in one piece.`);
    else if (blend) say(`Where tiles overlap, their logits are averaged, those near a rim with less weight. *${count(changed)} labels* differ: the bad ones count less, and still count.`);
    else say(`${reaches}, and what is kept has ${margin} around it${settings.shift % grid ? ", on a grid that does not fit the poolings" : ""}. *${count(changed)} labels* differ.`);
  };

  // Never more than one run at a time, and after the last change always one more.
  let [wanted, busy] = [false, false];
  const refresh = async () => {
    look();
    wanted = true;
    root.setAttribute("aria-busy", "true");
    if (busy) return;
    busy = true;
    while (wanted) {
      wanted = false;
      const [shown, pixels, all, logits] = [number, picture(), tiles(), []];
      paintPixels(street.canvas, height, width, (i) => pixels.subarray(3 * i, 3 * i + 3));
      const piece = { row: { from: 0, to: height }, column: { from: 0, to: width } };
      for (const tile of wholes[shown] ? all : [piece, ...all]) {
        const { values, h, w } = cut(pixels, width, tile);
        const found = (await network.run(values, h, w)).logits;
        if (tile === piece) wholes[shown] = found;
        else logits.push(found);
        if (wanted) break;
      }
      if (wanted) continue;
      answer = { all, logits };
      compare();
    }
    busy = false;
    root.setAttribute("aria-busy", "false");
  };

  const format = (value) => `${value} px`;
  const overlaps = slider({
    label: "Overlap", min: 0, max: longest - SMALLEST, step: 8, value: settings.overlap, format,
    change: (value) => {
      settings.overlap = Math.min(value, settings.tile - SMALLEST);
      overlaps.set(settings.overlap);
      refresh();
    },
  });
  const sides = slider({
    label: "Side of a tile", min: 2 * SMALLEST, max: longest, step: SMALLEST, value: settings.tile, format,
    change: (value) => {
      settings.tile = value;
      settings.overlap = Math.min(settings.overlap, value - SMALLEST);
      overlaps.set(settings.overlap);
      refresh();
    },
  });
  const shifts = slider({ label: "Grid moved by", min: 0, max: 7, step: 1, value: 0, format, change: (value) => { settings.shift = value; refresh(); } });
  const ways = choice({
    legend: "Where tiles overlap",
    options: [{ label: "keep each one's middle", value: "cut" }, { label: "blend", value: "blend" }],
    value: "cut",
    change: (value) => {
      blend = value === "blend";
      if (answer && !busy) compare();
    },
  });
  const streets = choice({
    legend: "Street",
    options: model.get("names").map((name, value) => ({ label: name, value })),
    value: 0,
    change: (value) => { number = value; refresh(); },
  });
  const swatch = (color, text) => element("span", {}, element("span", { class: "st-swatch", style: `background:rgb(${color})` }), text);

  root.append(
    element("div", { class: "st-row" }, streets.node),
    element("div", { class: "st-row" }, sides.node, overlaps.node, shifts.node),
    element("div", { class: "st-row" }, ways.node),
    element("div", { class: "st-panels st-stack" },
      panel("The street and its tiles", street.node), panel("Labeled in one piece", canvases[0]),
      panel("Labeled in tiles", canvases[1]), panel("Where they differ", canvases[2])),
    element("div", { class: "st-legend" }, swatch(SAME, "same"), swatch(APART, "other probabilities"), swatch(CHANGED, "another label")),
    says,
    numbers.node,
    table.node,
  );
  say("The network is reading the street.", true);
  refresh();
  return network.stop;
}

export { cut, distances, join, lay };
export default { render };
