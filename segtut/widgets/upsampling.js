// Section 3.3.2: ways to enlarge a map, what each makes of a flat map and of an edge, and its gradient.

const COARSE = 12; // side of the coarse map; its middle is shown, where no border interferes
const SHOWN = 6;
const COUNTED = 3;

const WAYS = [
  ["transposed", "transposed convolution"],
  ["shuffle", "pixel shuffle"],
  ["repeat", "repeat, convolve"],
  ["interpolate", "interpolate, convolve"],
  ["unpool", "unpool, convolve"],
];

// What goes down and hands its gradient up by the very same sums.
const MIRRORS = {
  transposed: "a strided convolution",
  shuffle: "pixel unshuffle and a convolution",
  repeat: "a convolution and sum pooling",
  interpolate: "a convolution and smooth thinning",
  unpool: "a convolution and max pooling",
};

// Numbers from 0 to 1 that look drawn by lot and are the same for the same seed.
function lots(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// One kernel of size x size weights, or stride x stride of them for the shuffle, in a row. Scaled so
// that a flat map keeps its mean.
function makeWeights(way, size, stride, kind, seed) {
  const kernels = way === "shuffle" ? stride ** 2 : 1;
  const draw = lots(seed);
  const tent = (k) => Math.max(0, 1 - Math.abs(k - (size - 1) / 2) / (way === "transposed" ? stride : size / 2 + 0.5));
  const weights = Array.from({ length: kernels * size ** 2 }, (_, index) => {
    const [row, column] = [Math.floor((index % size ** 2) / size), index % size];
    return { equal: () => 1, tent: () => tent(row) * tent(column), random: () => 0.1 + 1.8 * draw() }[kind]();
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const wanted = way === "transposed" || way === "unpool" ? stride ** 2 : kernels;
  return weights.map((weight) => (weight * wanted) / sum);
}

// Which of a window's stride x stride pixels held the maximum, for each window of the coarse map.
function drawWinners(side, stride) {
  const draw = lots(side * 97 + stride);
  return Array.from({ length: side ** 2 }, () => Math.floor(draw() * stride ** 2));
}

// A convolution that keeps the size, zeros around: each value adds itself to the outputs it reaches.
function convolve(values, side, weights, size) {
  const result = new Float64Array(side ** 2);
  const reach = Math.floor((size - 1) / 2);
  values.forEach((value, place) => {
    if (!value) return;
    const [y, x] = [Math.floor(place / side), place % side];
    for (let a = 0; a < size; a++)
      for (let b = 0; b < size; b++) {
        const [row, column] = [y - a + reach, x - b + reach];
        if (row >= 0 && column >= 0 && row < side && column < side) result[row * side + column] += weights[a * size + b] * value;
      }
  });
  return result;
}

// Each value laid down as a kernel, a stride apart; what hangs over is cut off on both sides alike.
function layDown(values, side, weights, size, stride) {
  const large = side * stride;
  const result = new Float64Array(large ** 2);
  const cut = Math.max(0, Math.floor((size - stride) / 2));
  values.forEach((value, place) => {
    if (!value) return;
    const [y, x] = [Math.floor(place / side), place % side];
    for (let a = 0; a < size; a++)
      for (let b = 0; b < size; b++) {
        const [row, column] = [y * stride + a - cut, x * stride + b - cut];
        if (row >= 0 && column >= 0 && row < large && column < large) result[row * large + column] += weights[a * size + b] * value;
      }
  });
  return result;
}

function shuffle(values, side, weights, size, stride) {
  const large = side * stride;
  const result = new Float64Array(large ** 2);
  for (let phase = 0; phase < stride ** 2; phase++) {
    const channel = convolve(values, side, weights.slice(phase * size ** 2, (phase + 1) * size ** 2), size);
    const [down, right] = [Math.floor(phase / stride), phase % stride];
    channel.forEach((value, place) => {
      const [y, x] = [Math.floor(place / side), place % side];
      result[(y * stride + down) * large + x * stride + right] = value;
    });
  }
  return result;
}

// The large map before a convolution: each pixel a mixture of coarse values.
function resize(values, side, way, stride, winners) {
  const large = side * stride;
  const result = new Float64Array(large ** 2);
  // Along a line: the coarse cells that a pixel lies between, and their shares.
  const line = Array.from({ length: large }, (_, pixel) => {
    if (way !== "interpolate") return [[Math.floor(pixel / stride), 1]];
    const place = Math.max(0, (pixel + 0.5) / stride - 0.5);
    const first = Math.floor(place);
    return [[first, 1 - (place - first)], [Math.min(side - 1, first + 1), place - first]];
  });
  for (let row = 0; row < large; row++)
    for (let column = 0; column < large; column++) {
      if (way === "unpool") {
        const window = Math.floor(row / stride) * side + Math.floor(column / stride);
        if (winners[window] !== (row % stride) * stride + (column % stride)) continue;
      }
      let sum = 0;
      for (const [y, down] of line[row]) for (const [x, across] of line[column]) sum += down * across * values[y * side + x];
      result[row * large + column] = sum;
    }
  return result;
}

// A coarse map (side x side, row by row) enlarged `stride` times.
function enlarge(values, side, way, weights, size, stride, winners) {
  if (way === "transposed") return layDown(values, side, weights, size, stride);
  if (way === "shuffle") return shuffle(values, side, weights, size, stride);
  return convolve(resize(values, side, way, stride, winners), side * stride, weights, size);
}

// How many products are added up in each pixel of the large map; products with a zero that
// unpooling left do not count.
function contributions(side, way, size, stride, winners) {
  const ones = new Array(size ** 2).fill(1);
  if (way === "transposed") return layDown(new Array(side ** 2).fill(1), side, ones, size, stride);
  const large = side * stride;
  const present = way === "unpool" ? resize(new Array(side ** 2).fill(1), side, way, stride, winners) : new Float64Array(large ** 2).fill(1);
  if (way !== "shuffle") return convolve(present, large, ones, size);
  return resize(convolve(new Array(side ** 2).fill(1), side, ones, size), side, "repeat", stride);
}

// Root mean square of the gradient that each large pixel gets through the mirrored way down, if the
// gradients of the outputs are independent, of mean 0 and variance 1: the outputs' shares, squared.
function gradient(side, way, weights, size, stride, winners) {
  const squares = new Float64Array((side * stride) ** 2);
  for (let unit = 0; unit < side ** 2; unit++) {
    const values = new Array(side ** 2).fill(0);
    values[unit] = 1;
    enlarge(values, side, way, weights, size, stride, winners).forEach((share, pixel) => { squares[pixel] += share ** 2; });
  }
  return squares.map(Math.sqrt);
}

// The middle of a square map: `cells` coarse cells along a side.
function middle(values, side, stride, cells) {
  const large = side * stride;
  const first = ((side - cells) / 2) * stride;
  const shown = cells * stride;
  return Array.from({ length: shown ** 2 }, (_, k) => values[(first + Math.floor(k / shown)) * large + first + (k % shown)]);
}

function spread(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
}

// All that the figure shows for one setting.
function study({ way, kernel, stride, kind, seed }) {
  const winners = drawWinners(COARSE, stride);
  const weights = makeWeights(way, kernel, stride, kind, seed);
  const flat = new Array(COARSE ** 2).fill(1);
  const edge = flat.map((_, place) => (place % COARSE) + 0.5 * Math.floor(place / COARSE) < 0.75 * COARSE - 0.6 ? 0.4 : 1.6);
  const through = (values) => middle(enlarge(values, COARSE, way, weights, kernel, stride, winners), COARSE, stride, SHOWN);
  const slopes = middle(gradient(COARSE, way, weights, kernel, stride, winners), COARSE, stride, SHOWN);
  const power = Math.sqrt(spread(slopes.map((slope) => slope ** 2)).mean) || 1;
  const taps = contributions(COARSE, way, kernel, stride, winners);
  const even = through(flat);
  const { mean, deviation } = spread(even);
  return {
    taps: middle(taps, COARSE, stride, COUNTED),
    kinds: [...new Set(middle(taps, COARSE, stride, SHOWN))].sort((a, b) => a - b),
    flat: even, edge: through(edge), slopes: slopes.map((slope) => slope / power),
    pattern: deviation / mean, weakest: Math.min(...slopes) / Math.max(...slopes),
  };
}

function paint(canvas, values) {
  const side = Math.round(Math.sqrt(values.length));
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(side, side);
  values.forEach((value, place) => {
    const shade = Math.round(255 * Math.min(1, Math.max(0, value / 2)));
    pixels.data.set([shade, shade, shade, 255], 4 * place);
  });
  context.putImageData(pixels, 0, 0);
}

function drawCounts(node, values) {
  const side = Math.round(Math.sqrt(values.length));
  const most = Math.max(1, ...values);
  const cells = values.flatMap((value, place) => {
    const [y, x] = [Math.floor(place / side), place % side];
    const box = drawn("rect", { class: "st-counted", x, y, width: 1, height: 1, "fill-opacity": (0.62 * value) / most });
    return [box, drawn("text", { x: x + 0.5, y: y + 0.53, "font-size": value > 9 ? 0.5 : 0.62 }, String(value))];
  });
  node.setAttribute("viewBox", `0 0 ${side} ${side}`);
  node.setAttribute("aria-label", `Products added up in each pixel; first row: ${values.slice(0, side).join(" ")}; second row: ${values.slice(side, 2 * side).join(" ")}`);
  node.replaceChildren(...cells);
}

const GRID_STYLE = `
.st-counts { display: block; width: 100%; height: auto; border-radius: 0.3rem; background: var(--st-paper); }
.st-counts text { fill: var(--st-ink); text-anchor: middle; dominant-baseline: central; font-family: inherit; }
.st-counted { fill: var(--st-accent); stroke: var(--st-line); stroke-width: 0.03; }
.st-ways { --st-columns: 4; }
.st-figures.st-short td { white-space: nowrap; }
.segtut-figure .st-small { color: var(--st-soft); font-size: 0.82rem; margin: 0.5rem 0 0; }
`;

const percent = (share) => (share < 5e-6 ? "0" : share < 0.0995 ? (100 * share).toFixed(1) : String(Math.round(100 * share)));

// What the numbers say, in a sentence.
function lesson({ way, kernel, stride, kind }, { kinds, pattern }) {
  const flat = pattern < 1e-6;
  const counts = kinds.length > 4 ? `${kinds[0]} to ${kinds.at(-1)}` : kinds.join(", ");
  if (way === "transposed") {
    const uneven = kernel % stride !== 0;
    const start = uneven
      ? `Stride ${stride} does not divide kernel ${kernel}: pixels add up *${counts} products*`
      : `Stride ${stride} divides kernel ${kernel}: each pixel adds up *${counts} products*`;
    if (flat) return [start + (uneven ? ", yet these weights make up for it." : "; with these weights the flat map stays flat."), true];
    return [start + (uneven ? ", and the flat map comes out as a pattern." : ", but of different weights, and the flat map comes out as a pattern."), false];
  }
  if (way === "shuffle")
    return flat
      ? [`${stride ** 2} kernels, *all alike*: the flat map stays flat, and the edge comes out in blocks, as if convolved and repeated.`, true]
      : [`Evenly many products, but each of the ${stride ** 2} positions has *a kernel of its own*: the flat map comes out as a pattern.`, false];
  if (way === "unpool") return [`One value in ${stride ** 2} pixels, where the maximum stood, zeros elsewhere: *${counts} products* a pixel, and holes wherever the kernel is too small to close them.`, false];
  return [`*The same weights* serve every pixel, so a flat map stays flat, whatever they are${kind === "random" ? "; draw others" : ""}. ${way === "repeat" ? "At the edge the blocks of the coarse map shine through unless the kernel smooths them." : "The edge is smooth already before the convolution."}`, true];
}

function render({ model, el }) {
  const state = { ...model.get("start"), seed: 1 };
  const limits = model.get("limits");
  const root = card(el, "Five ways to enlarge a map, forwards and backwards");
  root.append(element("style", {}, GRID_STYLE));
  const counts = drawn("svg", { class: "st-counts", role: "img" });
  const canvases = [0, 1, 2].map(() => element("canvas", { class: "st-crisp", role: "img" }));
  const [flat, edge, slopes] = canvases;
  const body = element("tbody");
  const { node: says, say } = sentence();
  const row = (name, value) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value));
  const update = () => {
    const found = study(state);
    const name = WAYS.find(([way]) => way === state.way)[1];
    drawCounts(counts, found.taps);
    paint(flat, found.flat);
    paint(edge, found.edge);
    paint(slopes, found.slopes);
    flat.setAttribute("aria-label", `A flat map after ${name}: values from ${Math.min(...found.flat).toFixed(2)} to ${Math.max(...found.flat).toFixed(2)}`);
    edge.setAttribute("aria-label", `A slanted edge after ${name}`);
    slopes.setAttribute("aria-label", `Gradient through ${MIRRORS[state.way]}: the weakest pixel gets ${percent(found.weakest)} % of what the strongest gets`);
    const sets = { transposed: Math.min(state.kernel, state.stride) ** 2, shuffle: state.stride ** 2 }[state.way] ?? 1;
    body.replaceChildren(
      row("Products added up in a pixel", found.kinds.length > 4 ? `${found.kinds[0]} to ${found.kinds.at(-1)}` : found.kinds.join(", ")),
      row("Sets of weights that take turns", String(sets)),
      row("Flat map: standard deviation of the pixels, % of the mean", percent(found.pattern)),
      row("Gradient: weakest pixel, % of the strongest", percent(found.weakest)),
    );
    const [text, fine] = lesson(state, found);
    say(text, fine);
    fresh.hidden = state.kind !== "random";
  };
  const control = (name, label) =>
    slider({ label, min: limits[name][0], max: limits[name][1], step: 1, value: state[name], format: String, change: (value) => { state[name] = value; update(); } }).node;
  const ways = choice({
    legend: "Way up", value: state.way, options: WAYS.map(([value, label]) => ({ value, label })),
    change: (value) => { state.way = value; update(); },
  });
  const kinds = choice({
    legend: "Weights", value: state.kind, options: [["equal", "all equal"], ["tent", "tent"], ["random", "random"]].map(([value, label]) => ({ value, label })),
    change: (value) => { state.kind = value; update(); },
  });
  const fresh = button("other random weights", () => { state.seed += 1; update(); });
  root.append(
    element("div", { class: "st-row" }, ways.node),
    element("div", { class: "st-row" }, control("kernel", "Kernel K"), control("stride", "Stride S"), kinds.node, fresh),
    element("div", { class: "st-panels st-pairs st-ways" },
      panel("Products in each pixel", counts), panel("A flat map, enlarged", flat), panel("An edge, enlarged", edge), panel("The gradient", slopes)),
    says,
    element("table", { class: "st-figures st-short" }, body),
    element("p", { class: "st-small" }, "All four panels show the middle of a larger map. The gradient is the one that reaches the pixels of a picture through the mirrored way down with the same weights, as a root mean square, when the outputs' own gradients have either sign at random: bright pixels are heard, dark ones hardly."),
  );
  update();
}

export { contributions, drawWinners, enlarge, gradient, makeWeights, study };
export default { render };
