// Section 3.4.2: paint damage on a picture, and see patch by patch what a discriminator says of it.

const [BLOCK, SIGMA, REACH, GRAIN, GRAY] = [8, 1.5, 4, 30, 128]; // as in the notebook: pixels, pixels, pixels, levels, level
const HEAT = [196, 61, 10];

// Both ways along one axis, mirrored at the rim; the weights of a normal distribution.
function smoothed(values, height, width, step) {
  const weights = Array.from({ length: 2 * REACH + 1 }, (_, k) => Math.exp(-((k - REACH) ** 2) / (2 * SIGMA ** 2)));
  const sum = weights.reduce((total, value) => total + value, 0);
  const mirror = (place, size) => (place < 0 ? -place : place >= size ? 2 * size - 2 - place : place);
  const [down, across] = step;
  const result = new Float32Array(values.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let k = -REACH; k <= REACH; k++) {
        const from = 3 * (mirror(y + k * down, height) * width + mirror(x + k * across, width));
        const to = 3 * (y * width + x);
        for (let c = 0; c < 3; c++) result[to + c] += (weights[k + REACH] / sum) * values[from + c];
      }
  return result;
}

function blurred(pixels, height, width) {
  const rows = smoothed(pixels, height, width, [1, 0]);
  return Uint8ClampedArray.from(smoothed(rows, height, width, [0, 1]));
}

function noisy(pixels) {
  const normal = makeNormal(1);
  return Uint8ClampedArray.from(pixels, (value) => value + GRAIN * normal());
}

// Blocks of eight by eight pixels in another order, the same each time.
function shuffled(pixels, height, width) {
  const columns = Math.floor(width / BLOCK);
  const order = Array.from({ length: Math.floor(height / BLOCK) * columns }, (_, i) => i);
  const random = makeRandom(1);
  for (let i = order.length - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1));
    [order[i], order[other]] = [order[other], order[i]];
  }
  const result = Uint8ClampedArray.from(pixels);
  const corner = (i) => (Math.floor(i / columns) * width + (i % columns)) * BLOCK;
  order.forEach((from, to) => {
    for (let row = 0; row < BLOCK; row++) {
      const [source, target] = [corner(from) + row * width, corner(to) + row * width];
      result.set(pixels.subarray(3 * source, 3 * (source + BLOCK)), 3 * target);
    }
  });
  return result;
}

const DAMAGES = {
  blur: blurred,
  noise: noisy,
  shuffle: shuffled,
  erase: (pixels) => new Uint8ClampedArray(pixels.length).fill(GRAY),
  restore: (pixels) => pixels,
};
const KINDS = Object.keys(DAMAGES);

// A picture, its damaged versions, and where which of them has been put. `marks`: 0 for intact.
function makeCanvas(pixels, height, width) {
  const versions = {};
  const version = (kind) => (versions[kind] ??= DAMAGES[kind](pixels, height, width));
  const work = { pixels: Uint8ClampedArray.from(pixels), marks: new Uint8Array(height * width) };
  const put = (place, kind) => {
    work.pixels.set(version(kind).subarray(3 * place, 3 * place + 3), 3 * place);
    work.marks[place] = kind === "restore" ? 0 : 1;
  };
  // A disk; shuffled are whole blocks, those with a pixel in the disk.
  work.paint = (row, column, radius, kind) => {
    const inside = (y, x) => (y - row) ** 2 + (x - column) ** 2 <= radius * radius;
    const near = (low, high, value) => Math.min(high, Math.max(low, value));
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const [top, left] = [y - (y % BLOCK), x - (x % BLOCK)];
        const block = kind === "shuffle" && inside(near(top, top + BLOCK - 1, row), near(left, left + BLOCK - 1, column));
        if (block || inside(y, x)) put(y * width + x, kind);
      }
  };
  work.paintAll = (kind) => work.marks.forEach((_, place) => put(place, kind));
  return work;
}

// The first and last pixel, of one side, that score number `index` sees, and those inside the picture.
function windowOf(index, { field, stride, start }, size) {
  const first = start + index * stride;
  return { first, last: first + field - 1, from: Math.max(0, first), to: Math.min(size - 1, first + field - 1) };
}

// The score whose window is centered nearest to a pixel.
function scoreAt(pixel, { field, stride, start }, count) {
  const nearest = Math.round((pixel - start - (field - 1) / 2) / stride);
  return Math.min(count - 1, Math.max(0, nearest));
}

const sigmoid = (value) => 1 / (1 + Math.exp(-value));
const percent = (value) => `${Math.round(100 * value)}\u00a0%`;

// A rectangle around pixels, dark inside light so that it shows on every color.
function frame(node, height, width, top, left, bottom, right) {
  node.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const box = { x: left, y: top, width: right - left + 1, height: bottom - top + 1, fill: "none", "vector-effect": "non-scaling-stroke" };
  node.replaceChildren(drawn("rect", { ...box, stroke: "#fff", "stroke-width": 4 }), drawn("rect", { ...box, stroke: "#1d1e24", "stroke-width": 1.6 }));
}

function render({ model, el }) {
  const [height, width] = [model.get("height"), model.get("width")];
  const [places, pictures] = [height * width, bytes(model, "pictures")];
  const halves = new Uint16Array(bytes(model, "weights").slice().buffer);
  const networks = model.get("discriminators").map((one) => ({ ...one, ...startNetwork(one.operations, halves.slice(one.at, one.at + one.size)) }));
  const open = (number) => makeCanvas(pictures.subarray(3 * places * number, 3 * places * (number + 1)), height, width);
  const where = { row: Math.floor(height / 2), column: Math.floor(width / 2) };
  let [number, network, kind, radius, answer] = [0, networks[0], "blur", 8, null];
  let work = open(number);
  work.paint(where.row, where.column, Math.floor(height / 4), "blur");

  const root = card(el, "What a discriminator says of a damaged picture");
  const [canvas, heat] = [0, 1].map(() => element("canvas", { class: "st-crisp" }));
  const [window_, cell] = [0, 1].map(() => drawn("svg", { "aria-hidden": "true" }));
  const application = { class: "st-over st-paint", tabindex: 0, role: "application" };
  const picture = element("div", { ...application, "aria-roledescription": "picture to damage" }, canvas, window_);
  const map = element("div", { ...application, "aria-roledescription": "map of scores" }, heat, cell);
  const numbers = numberTiles(["Pixels damaged", "Scores that see damage and object", "Scores that see none and object", "One run"]);
  const { node: says, say } = sentence();

  const chosen = () => [scoreAt(where.row, network, answer.rows), scoreAt(where.column, network, answer.columns)];
  const windows = (row, column) => [windowOf(row, network, height), windowOf(column, network, width)];
  const damagedIn = ([down, across]) => {
    let damaged = 0;
    for (let y = down.from; y <= down.to; y++)
      for (let x = across.from; x <= across.to; x++) damaged += work.marks[y * width + x];
    return damaged / ((down.to - down.from + 1) * (across.to - across.from + 1));
  };
  // Each score is drawn where its window has its middle, one stride wide.
  const corner = (index) => network.start + (network.field - network.stride) / 2 + index * network.stride;

  const showPicture = () => paintPixels(canvas, height, width, (i) => work.pixels.subarray(3 * i, 3 * i + 3));
  const showHeat = () => {
    const cellOf = (pixel, count) => {
      const index = Math.floor((pixel - corner(0)) / network.stride);
      return index >= 0 && index < count ? index : -1;
    };
    paintPixels(heat, height, width, (i) => {
      const [row, column] = [cellOf(Math.floor(i / width), answer.rows), cellOf(i % width, answer.columns)];
      const gray = 150 + 0.38 * (0.3 * work.pixels[3 * i] + 0.6 * work.pixels[3 * i + 1] + 0.1 * work.pixels[3 * i + 2]);
      const share = row < 0 || column < 0 ? 0 : 0.9 * answer.fake[row * answer.columns + column];
      return HEAT.map((value) => (1 - share) * gray + share * value);
    });
  };
  const look = () => {
    const pointer = `Row ${where.row + 1}, column ${where.column + 1}`;
    picture.setAttribute("aria-label", `Picture. ${pointer}. Arrow keys move, Space paints, digits choose the damage.`);
    map.setAttribute("aria-label", `Heat map. ${pointer}. Arrow keys move.`);
    if (!answer) return;
    const [row, column] = chosen();
    const [down, across] = windows(row, column);
    frame(window_, height, width, down.from, across.from, down.to, across.to);
    const side = network.stride - 1;
    frame(cell, height, width, corner(row), corner(column), corner(row) + side, corner(column) + side);
  };
  const tell = () => {
    if (!answer) return;
    const [row, column] = chosen();
    const seen = windows(row, column);
    const fake = answer.fake[row * answer.columns + column];
    const verdict = fake > 0.5 ? `*not real*, with ${percent(fake)}` : `*real*, with ${percent(1 - fake)}`;
    const rim = seen.some((side) => side.from !== side.first || side.to !== side.last) ? ", partly beyond the rim" : "";
    const damage = damagedIn(seen);
    say(`Score (${row + 1}, ${column + 1}) of ${answer.rows} × ${answer.columns} sees ${network.field} × ${network.field} pixels${rim}; ${percent(damage)} of them are damaged. It says ${verdict}.`, (fake > 0.5) === (damage > 0));
  };
  const tally = () => {
    const counts = { seen: [0, 0], none: [0, 0] };
    answer.fake.forEach((fake, i) => {
      const group = damagedIn(windows(Math.floor(i / answer.columns), i % answer.columns)) > 0 ? counts.seen : counts.none;
      group[0] += fake > 0.5;
      group[1]++;
    });
    const share = ([said, all]) => (all ? `${said}/${all}` : "none");
    const damaged = work.marks.reduce((sum, mark) => sum + mark, 0) / places;
    numbers.show([percent(damaged), share(counts.seen), share(counts.none), `${Math.round(answer.milliseconds)}\u00a0ms`]);
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
      const asked = network;
      const values = Float32Array.from({ length: 3 * places }, (_, i) => work.pixels[3 * (i % places) + Math.floor(i / places)] / 255);
      const { logits, shape, milliseconds } = await asked.run(values, height, width);
      if (asked !== network) continue;
      answer = { rows: shape[1], columns: shape[2], fake: Array.from(logits, (score) => sigmoid(-score)), milliseconds };
      showHeat();
      look();
      tally();
    }
    busy = false;
    root.setAttribute("aria-busy", "false");
    tell();
  };

  const limit = (value, size) => Math.min(size - 1, Math.max(0, value));
  const move = (row, column) => {
    Object.assign(where, { row: limit(row, height), column: limit(column, width) });
    look();
  };
  const follow = (event, node) => {
    const box = node.getBoundingClientRect();
    move(Math.floor(((event.clientY - box.top) / box.height) * height), Math.floor(((event.clientX - box.left) / box.width) * width));
  };
  const paint = () => {
    work.paint(where.row, where.column, radius, kind);
    refresh();
  };
  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const steer = (event, far, painting) => {
    const step = STEPS[event.key];
    const digit = Number(event.key) - 1;
    if (step) {
      move(where.row + far * step[0], where.column + far * step[1]);
      if (event.shiftKey && painting) paint();
      else tell();
    } else if (painting && (event.key === " " || event.key === "Enter")) paint();
    else if (painting && /^[1-9]$/.test(event.key) && KINDS[digit]) kinds.set((kind = KINDS[digit]));
    else return;
    event.preventDefault();
  };
  whenDragged(picture, (event) => { follow(event, canvas); paint(); });
  picture.addEventListener("pointermove", (event) => { if (!event.buttons) { follow(event, canvas); tell(); } });
  picture.addEventListener("keydown", (event) => steer(event, 2, true));
  map.addEventListener("pointerdown", (event) => { follow(event, heat); tell(); });
  map.addEventListener("pointermove", (event) => { follow(event, heat); tell(); });
  map.addEventListener("keydown", (event) => steer(event, network.stride, false));

  const kinds = choice({ legend: "Paint", value: kind, change: (value) => { kind = value; }, options: KINDS.map((value) => ({ value, label: value })) });
  const begin = (next, whole) => {
    number = next;
    work = open(number);
    if (whole) work.paintAll(kind);
    refresh();
  };
  const streets = choice({ legend: "Picture", value: 0, change: (value) => begin(value), options: model.get("names").map((label, value) => ({ value, label })) });
  const fields = choice({
    legend: "Discriminator", value: 0, change: (value) => { network = networks[value]; answer = null; refresh(); },
    options: networks.map(({ name, field }, value) => ({ value, label: `${name}, ${field} × ${field}` })),
  });
  const size = slider({ label: "Brush", min: 2, max: 20, step: 1, value: radius, format: (value) => `${2 * value + 1} px`, change: (value) => { radius = value; } });
  const key = element("div", { class: "st-legend" },
    ...[["real", 0], ["cannot tell", 0.5], ["not real", 1]].map(([text, share]) => {
      const color = HEAT.map((value) => Math.round((1 - 0.9 * share) * 215 + 0.9 * share * value));
      return element("span", {}, element("span", { class: "st-swatch", style: `background:rgb(${color.join(",")})` }), text);
    }));
  root.append(
    element("div", { class: "st-row" }, streets.node, button("Start over", () => begin(number, false))),
    element("div", { class: "st-row" }, fields.node),
    element("div", { class: "st-row" }, kinds.node, button("All of it", () => begin(number, true)), size.node),
    element("div", { class: "st-panels st-stack" }, panel("The picture: paint damage on it", picture), panel("The heat map: point at a score", map, key)),
    numbers.node,
    says,
  );
  say("The discriminator is looking at the picture.", true);
  look();
  refresh();
  return () => networks.forEach((one) => one.stop());
}

export { blurred, makeCanvas, scoreAt, shuffled, windowOf };
export default { render };
