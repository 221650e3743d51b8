// Chapter 7: a photograph from the reader's own disk, labeled in the page and sent nowhere.

const VOID = 255;
const SHOWN = 1280; // the longer side that is drawn; the label map is written at the photograph's own size
const FADED = 0.12;

// What antialiased bilinear resizing reads for each of `to` places out of `from`: triangles as wide
// as a place of the coarser grid. [first, weights] each; the weights sum to 1.
function taps(from, to) {
  const scale = from / to;
  const reach = Math.max(1, scale);
  return Array.from({ length: to }, (_, i) => {
    const center = scale * (i + 0.5);
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const last = Math.min(from, Math.trunc(center + reach + 0.5));
    const weights = Array.from({ length: last - first }, (_, k) => Math.max(0, 1 - Math.abs((first + k + 0.5 - center) / reach)));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return [first, weights.map((weight) => weight / sum)];
  });
}

// Maps (C, H, W) with their columns resized: (C, H, width).
function resizedColumns(values, rows, from, width) {
  const columns = taps(from, width);
  const out = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++)
    for (let x = 0; x < width; x++) {
      const [first, weights] = columns[x];
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * values[row * from + first + k];
      out[row * width + x] = sum;
    }
  return out;
}

// One row of each channel of maps (C, height, width), mixed as a tap says.
function mixedRow(values, channels, height, width, [first, weights], out) {
  out.fill(0);
  for (let channel = 0; channel < channels; channel++)
    for (let k = 0; k < weights.length; k++) {
      const at = (channel * height + first + k) * width;
      for (let x = 0; x < width; x++) out[channel * width + x] += weights[k] * values[at + x];
    }
}

// What the network takes, (3, height, width), 0-1, of the pixels (H, W, 4), 0-255, of a canvas.
function toNetwork(pixels, [from, fromWidth], [height, width]) {
  const places = from * fromWidth;
  const values = new Float32Array(3 * places);
  for (let i = 0; i < places; i++) for (let c = 0; c < 3; c++) values[c * places + i] = pixels[4 * i + c] / 255;
  if (from === height && fromWidth === width) return values;
  const narrow = resizedColumns(values, 3 * from, fromWidth, width);
  const out = new Float32Array(3 * height * width);
  const row = new Float32Array(3 * width);
  taps(from, height).forEach((tap, y) => {
    mixedRow(narrow, 3, from, width, tap, row);
    for (let c = 0; c < 3; c++) out.set(row.subarray(c * width, (c + 1) * width), (c * height + y) * width);
  });
  return out;
}

// Labels and the probability of each, at any size, of logits (C, h, w): these are resized, the
// labels never.
function labelMap({ logits, shape: [classes, from, fromWidth] }, height, width) {
  const wide = resizedColumns(logits, classes * from, fromWidth, width);
  const [labels, confidence] = [new Uint8Array(height * width), new Float32Array(height * width)];
  const row = new Float32Array(classes * width);
  taps(from, height).forEach((tap, y) => {
    mixedRow(wide, classes, from, width, tap, row);
    for (let x = 0; x < width; x++) {
      let best = 0;
      for (let c = 1; c < classes; c++) if (row[c * width + x] > row[best * width + x]) best = c;
      let sum = 0;
      for (let c = 0; c < classes; c++) sum += Math.exp(row[c * width + x] - row[best * width + x]);
      labels[y * width + x] = best;
      confidence[y * width + x] = 1 / sum;
    }
  });
  return { labels, confidence };
}

// Labels whose probability is below the threshold become void.
const withDoubt = ({ labels, confidence }, threshold) => labels.map((label, i) => (confidence[i] < threshold ? VOID : label));

// Height and width with the shorter side given, as `segtut.inference.predict` rounds them.
function scaled(height, width, shorter) {
  const even = (value) => { // halves to the even neighbor, as Python does
    const down = Math.floor(value);
    return value - down === 0.5 ? down + (down % 2) : Math.round(value);
  };
  const scale = shorter / Math.min(height, width);
  return [even(height * scale), even(width * scale)];
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function chunk(name, data) {
  const body = new Uint8Array(data.length + 12);
  const view = new DataView(body.buffer);
  view.setUint32(0, data.length);
  body.set(new TextEncoder().encode(name), 4);
  body.set(data, 8);
  let crc = 0xffffffff;
  for (const byte of body.subarray(4, -4)) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  view.setUint32(body.length - 4, (crc ^ 0xffffffff) >>> 0);
  return body;
}

// An indexed PNG: a byte a pixel, the class number, and a palette of 256 colors. Written out here
// because a canvas gives colors, and some browsers disturb the colors that a page reads from one.
async function indexedPng(labels, height, width, colors) {
  const rows = new Uint8Array(height * (width + 1)); // each begins with its filter, 0: none
  for (let y = 0; y < height; y++) rows.set(labels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head.set([8, 3, 0, 0, 0], 8); // 8 bits, indexed
  const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
  const parts = [signature, chunk("IHDR", head), chunk("PLTE", colors), chunk("IDAT", data), chunk("IEND", new Uint8Array())];
  return new Blob(parts, { type: "image/png" });
}

// The photograph's pixels, upright, its longer side at most SHOWN.
async function readPhoto(blob, name) {
  const bitmap = await createImageBitmap(blob);
  const [height, width] = [bitmap.height, bitmap.width];
  const factor = Math.min(1, SHOWN / Math.max(height, width));
  const [rows, columns] = [Math.max(1, Math.round(height * factor)), Math.max(1, Math.round(width * factor))];
  const canvas = element("canvas", { width: columns, height: rows });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff"; // behind transparent pixels
  context.fillRect(0, 0, columns, rows);
  context.drawImage(bitmap, 0, 0, columns, rows);
  bitmap.close();
  return { name, height, width, rows, columns, pixels: context.getImageData(0, 0, columns, rows).data };
}

function fromDataUrl(url) {
  const [head, data] = url.split(",");
  const type = head.slice(5, head.indexOf(";"));
  return new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], { type });
}

// Share of each class in the labels, and the mean probability where it was said; void not counted.
function summary(labels, confidence, classes) {
  const [counts, sums] = [new Array(classes).fill(0), new Array(classes).fill(0)];
  let left = 0;
  labels.forEach((label, i) => {
    if (label === VOID) left++;
    else {
      counts[label]++;
      sums[label] += confidence[i];
    }
  });
  const shares = counts.map((count) => count / labels.length);
  return { shares, means: sums.map((sum, c) => (counts[c] ? sum / counts[c] : null)), left: left / labels.length };
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function shareTable(classes, colors) {
  const head = ["Class", "Share of the picture", "Mean probability"].map((name) => element("th", { scope: "col" }, name));
  const rows = classes.map((name, label) => {
    const swatch = element("span", { class: "st-swatch", style: `background:${classColor(colors, label)}` });
    const cells = [element("td"), element("td")];
    return { cells, node: element("tr", {}, element("th", { scope: "row" }, swatch, " " + name), ...cells) };
  });
  const node = element("table", { class: "st-figures st-even" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows.map((row) => row.node)));
  const show = ({ shares, means }) =>
    rows.forEach(({ cells }, label) => {
      const bar = element("span", { class: "st-bar", style: `--st-share:${100 * shares[label]}%` });
      cells[0].replaceChildren(percent(shares[label]), bar);
      cells[1].textContent = means[label] === null ? "nowhere" : percent(means[label]);
    });
  return { node, show };
}

function tiles(names) {
  const values = names.map(() => element("dd", {}, "…"));
  const node = element("dl", { class: "st-tiles", style: "grid-template-columns: repeat(3, minmax(0, 1fr))" }, ...names.map((name, i) => element("div", {}, element("dt", {}, name), values[i])));
  return { node, show: (texts) => texts.forEach((text, i) => { values[i].textContent = text; }) };
}

const percent = (value) => `${(100 * value).toFixed(1)}\u00a0%`;
const times = (width, height) => `${width}\u00a0×\u00a0${height}`;

function render({ model, el }) {
  const [classes, colors] = [model.get("classes"), bytes(model, "colors")];
  const network = startNetwork(model.get("operations"), new Uint16Array(bytes(model, "weights").slice().buffer));
  const examples = model.get("examples");
  const settings = { shorter: model.get("shorter"), opacity: 0.55, threshold: 0, only: -1 };
  let [photo, answer, shown] = [null, null, null];

  const root = card(el, "Label a photograph");
  const { node: says, say } = sentence();
  const canvas = element("canvas", { role: "img", "aria-label": "The picture under the network's labels" });
  const title = element("span", { class: "st-title" }, "…");
  const table = shareTable(classes, colors);
  const numbers = tiles(["The network saw", "One run", "Left void"]);

  const paint = () => {
    const { rows, columns, pixels } = photo;
    [canvas.width, canvas.height] = [columns, rows];
    canvas.style.width = `min(100%, ${(30 * columns) / rows}rem)`; // a tall picture fits the window
    canvas.classList.toggle("st-crisp", columns < 300);
    const image = new ImageData(columns, rows);
    for (let i = 0; i < rows * columns; i++) {
      const label = shown[i];
      const weight = settings.only < 0 || label === settings.only ? settings.opacity : FADED * settings.opacity;
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = (1 - weight) * pixels[4 * i + c] + weight * colors[3 * label + c];
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  };
  const settle = () => {
    shown = withDoubt(answer.small, settings.threshold);
    const found = summary(shown, answer.small.confidence, classes.length);
    table.show(found);
    const [rows, columns] = answer.shape.slice(1);
    numbers.show([times(columns, rows), `${Math.round(answer.milliseconds)}\u00a0ms`, percent(found.left)]);
    const most = found.shares.map((share, label) => [share, label]).sort((a, b) => b[0] - a[0]).slice(0, 3);
    const words = most.filter(([share]) => share > 0).map(([share, label]) => `${classes[label]} ${percent(share)}`).join(", ");
    canvas.setAttribute("aria-label", `${photo.name} under the network's labels: ${words || "all void"}`);
    say(`*${photo.name}*: ${words || "all void"}. It was read and labeled in this page; nothing was sent.`, true);
    paint();
  };

  // Never more than one run at a time, and after the last change always one more.
  let [wanted, busy] = [false, false];
  const refresh = async () => {
    wanted = true;
    root.setAttribute("aria-busy", "true");
    if (busy) return;
    busy = true;
    while (wanted) {
      wanted = false;
      const seen = photo;
      // A picture that was reduced for the page is reduced once more; the network's is smaller still.
      const size = scaled(seen.height, seen.width, settings.shorter);
      const run = await network.run(toNetwork(seen.pixels, [seen.rows, seen.columns], size), ...size);
      if (seen !== photo) continue;
      answer = { ...run, small: labelMap(run, seen.rows, seen.columns) };
      settle();
    }
    busy = false;
    root.setAttribute("aria-busy", "false");
  };
  const open = async (blob, name) => {
    root.setAttribute("aria-busy", "true");
    try {
      photo = await readPhoto(blob, name);
    } catch {
      root.setAttribute("aria-busy", String(busy));
      say(`*${name}* cannot be read by this browser as a picture. JPEG, PNG and WebP can; HEIC from a telephone mostly cannot.`);
      return;
    }
    title.textContent = `${name}, ${times(photo.width, photo.height)} pixels`;
    await refresh();
  };
  const openExample = (number) => open(fromDataUrl(examples[number].url), examples[number].name);
  const openFile = (file) => {
    if (!file) return;
    drawings.set("none");
    open(file, file.name);
  };

  const picker = element("input", { type: "file", accept: "image/*", hidden: true, "aria-label": "Photograph", onchange: () => openFile(picker.files[0]) });
  const choose = button("Choose a photograph …", () => { picker.value = ""; picker.click(); });
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    openFile(event.dataTransfer.files[0]);
  });
  const drawings = choice({
    legend: "or a drawn one",
    options: examples.map(({ name }, value) => ({ label: name, value })),
    value: 0,
    change: openExample,
  });
  const only = choice({
    legend: "Color",
    options: [{ label: "all classes", value: -1 }, ...classes.map((name, value) => ({ label: name, value, color: classColor(colors, value) }))],
    value: -1,
    change: (value) => { settings.only = value; if (answer) paint(); },
  });
  const opacity = slider({ label: "Opacity", min: 0, max: 1, step: 0.05, value: settings.opacity, format: (value) => `${Math.round(100 * value)} %`, change: (value) => { settings.opacity = value; if (answer) paint(); } });
  const shorter = slider({ label: "Shorter side seen", min: 32, max: 256, step: 8, value: settings.shorter, format: (value) => `${value} px`, change: (value) => { settings.shorter = value; refresh(); } });
  const threshold = slider({ label: "Void below", min: 0, max: 0.95, step: 0.05, value: 0, format: (value) => `${Math.round(100 * value)} %`, change: (value) => { settings.threshold = value; if (answer) settle(); } });
  const download = button("Save the label map", async () => {
    if (!answer) return;
    const { height, width, name } = photo;
    const labels = withDoubt(labelMap(answer, height, width), settings.threshold);
    try {
      save(await indexedPng(labels, height, width, colors), `${name.replace(/\.[^.]*$/, "")}.png`);
      say(`Saved: an indexed PNG of ${times(width, height)} pixels, whose values are the class numbers, 255 for void.`, true);
    } catch {
      say("This browser is too old to write the file.");
    }
  });

  root.append(
    element("div", { class: "st-row" }, choose, picker, drawings.node),
    element("div", { class: "st-panel" }, title, canvas),
    element("div", { class: "st-row", style: "margin-top: 0.7rem" }, only.node),
    element("div", { class: "st-row" }, opacity.node, shorter.node, threshold.node),
    element("div", { class: "st-row" }, download),
    numbers.node,
    says,
    table.node,
  );
  canvas.style.margin = "0 auto";
  say("The network is reading the picture.", true);
  openExample(0);
  return network.stop;
}

export { indexedPng, labelMap, makeEngine, scaled, taps, toNetwork };
export default { render };
