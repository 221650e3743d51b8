// Section 6: decodes a label map in the page, as Pillow would, and says what is wrong with it.

const VOID = 255;
const INVENTED = [255, 0, 214];
const NO_NUMBERS = [150, 150, 150];
const FEW_COLORS = 64;
const LARGEST = 640; // pixels a side of what is drawn; everything is counted at full size

// ---- PNG: the numbers of a file, which a canvas would only give as colors

const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

// Header, palette and compressed pixels of a PNG; null for other files.
function chunksOf(file) {
  const signature = [137, 80, 78, 71, 13, 10, 26, 10];
  if (!signature.every((value, i) => file[i] === value)) return null;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const found = { palette: null, parts: [] };
  for (let at = 8; at + 12 <= file.length; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...file.subarray(at + 4, at + 8));
    const data = file.subarray(at + 8, at + 8 + length);
    if (kind === "IHDR") {
      found.width = view.getUint32(at + 8);
      found.height = view.getUint32(at + 12);
      [found.depth, found.type, , , found.interlaced] = data.subarray(8, 13);
    }
    if (kind === "PLTE") found.palette = data;
    if (kind === "IDAT") found.parts.push(data);
    at += 12 + length;
  }
  return found;
}

// The rows without their filters (PNG specification, section 9).
function unfiltered(data, height, bytesPerRow, step) {
  const rows = new Uint8Array(height * bytesPerRow);
  for (let y = 0; y < height; y++) {
    const filter = data[y * (bytesPerRow + 1)];
    const from = y * (bytesPerRow + 1) + 1;
    const to = y * bytesPerRow;
    for (let i = 0; i < bytesPerRow; i++) {
      const left = i >= step ? rows[to + i - step] : 0;
      const up = y ? rows[to + i - bytesPerRow] : 0;
      const corner = y && i >= step ? rows[to + i - bytesPerRow - step] : 0;
      let guess = 0;
      if (filter === 1) guess = left;
      else if (filter === 2) guess = up;
      else if (filter === 3) guess = (left + up) >> 1;
      else if (filter === 4) {
        const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
        guess = a <= b && a <= c ? left : b <= c ? up : corner;
      }
      rows[to + i] = data[from + i] + guess;
    }
  }
  return rows;
}

// One number for each sample of each pixel, (H, W, channels).
function samplesOf(rows, { width, height, depth, type }, bytesPerRow) {
  const perRow = width * CHANNELS[type];
  const samples = depth === 16 ? new Uint16Array(height * perRow) : new Uint8Array(height * perRow);
  const mask = (1 << depth) - 1;
  for (let y = 0; y < height; y++)
    for (let i = 0; i < perRow; i++) {
      const row = y * bytesPerRow;
      if (depth === 8) samples[y * perRow + i] = rows[row + i];
      else if (depth === 16) samples[y * perRow + i] = (rows[row + 2 * i] << 8) | rows[row + 2 * i + 1];
      else {
        const bit = i * depth;
        samples[y * perRow + i] = (rows[row + (bit >> 3)] >> (8 - depth - (bit & 7))) & mask;
      }
    }
  return samples;
}

async function inflated(parts) {
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// What a file holds: {format, mode, width, height, bits, values or rgb}. Null if it is no plain PNG.
async function readPNG(file) {
  const header = chunksOf(file);
  if (!header || header.interlaced || !(header.type in CHANNELS)) return null;
  const { width, height, depth, type } = header;
  const bits = depth * CHANNELS[type];
  const bytesPerRow = Math.ceil((width * bits) / 8);
  const rows = unfiltered(await inflated(header.parts), height, bytesPerRow, Math.max(1, bits >> 3));
  const samples = samplesOf(rows, header, bytesPerRow);
  const shared = { format: "PNG", width, height, bits: depth, alpha: type >= 4 };
  if (type === 3) return { ...shared, mode: "indexed", values: samples };
  if (type === 0) return { ...shared, mode: "gray", values: samples };
  const n = CHANNELS[type];
  const places = width * height;
  const to8 = depth === 16 ? (value) => value >> 8 : (value) => value;
  const rgb = new Uint8Array(3 * places);
  for (let i = 0; i < places; i++)
    for (let c = 0; c < 3; c++) rgb[3 * i + c] = to8(samples[n * i + (n > 2 ? c : 0)]);
  return asColors(shared, rgb);
}

// Three equal channels are gray levels; the difference matters only for how they are read.
function asColors(shared, rgb) {
  const places = rgb.length / 3;
  let gray = true;
  for (let i = 0; gray && i < places; i++) gray = rgb[3 * i] === rgb[3 * i + 1] && rgb[3 * i] === rgb[3 * i + 2];
  if (!gray) return { ...shared, mode: "color", rgb };
  return { ...shared, mode: "gray", tripled: true, values: Uint8Array.from({ length: places }, (_, i) => rgb[3 * i]) };
}

// ---- any other file, by the browser

const plain = { premultiplyAlpha: "none", colorSpaceConversion: "none" };

function formatOf(file, type) {
  if (file[0] === 0xff && file[1] === 0xd8) return "JPEG";
  return (type.split("/")[1] ?? "file").toUpperCase();
}

function pixelsOf(bitmap) {
  const canvas = element("canvas", { width: bitmap.width, height: bitmap.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

async function readMask(file, type) {
  const bitmap = await createImageBitmap(new Blob([file], { type }), plain);
  const shared = { width: bitmap.width, height: bitmap.height, bitmap };
  const png = await readPNG(file);
  if (png) return { ...png, bitmap };
  const rgba = pixelsOf(bitmap);
  const rgb = new Uint8Array((3 * rgba.length) / 4);
  for (let i = 0; i < rgb.length / 3; i++) rgb.set(rgba.subarray(4 * i, 4 * i + 3), 3 * i);
  const format = formatOf(file, type);
  const read = asColors({ ...shared, format, bits: 8, lossy: format === "JPEG" || format === "WEBP" }, rgb);
  return { ...read, tripled: read.tripled && !read.lossy };
}

// The EXIF orientation of a JPEG, 1 to 8: from 5 on, the stored picture lies on its side.
function orientationOf(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 2; at + 4 < file.length && file[at] === 0xff && file[at + 1] !== 0xda; at += 2 + view.getUint16(at + 2)) {
    if (file[at + 1] !== 0xe1 || view.getUint32(at + 4) !== 0x45786966) continue; // "Exif"
    const tiff = at + 10;
    const little = file[tiff] === 0x49;
    const first = tiff + view.getUint32(tiff + 4, little);
    for (let i = 0; i < view.getUint16(first, little); i++)
      if (view.getUint16(first + 2 + 12 * i, little) === 0x0112) return view.getUint16(first + 10 + 12 * i, little);
  }
  return 1;
}

async function readPicture(file, type) {
  const bitmap = await createImageBitmap(new Blob([file], { type }));
  const turned = formatOf(file, type) === "JPEG" && orientationOf(file) >= 5;
  return { bitmap, width: bitmap.width, height: bitmap.height, turned };
}

// ---- counting

const SHORT = 6; // pixels: a longer run of one value is an area

// How often each value occurs; along rows and columns, how often a label map steps over a value
// (from 2 to 5, say), and how often it passes through one: a short run between a lower and a higher.
function census(values, width, height) {
  const pixels = new Uint32Array(1 + values.reduce((top, value) => Math.max(top, value), 0));
  let [steps, passes] = [0, 0];
  const follow = (start, step, length) => {
    let before = VOID;
    for (let from = 0, to = 0; from < length; from = to) {
      const value = values[start + from * step];
      while (to < length && values[start + to * step] === value) to++;
      const after = to < length ? values[start + to * step] : VOID;
      if (value !== VOID && after !== VOID && Math.abs(after - value) > 1) steps++;
      const thin = to - from <= SHORT && before !== VOID && after !== VOID; // else inside a contour of void
      if (thin && (before < value ? value < after : after < value)) passes++;
      before = value;
    }
  };
  for (let y = 0; y < height; y++) follow(y * width, 1, width);
  for (let x = 0; x < width; x++) follow(x, width, height);
  values.forEach((value) => pixels[value]++);
  const rows = [];
  pixels.forEach((number, value) => { if (number) rows.push({ value, pixels: number }); });
  return { rows, steps, passes };
}

// A sharp map steps; interpolation passes through what lies between.
const isSmooth = ({ steps, passes }) => passes >= 20 && passes > steps / 2;

function colorsOf(rgb) {
  const counts = new Map();
  for (let i = 0; i < rgb.length; i += 3) {
    const key = (rgb[i] << 16) | (rgb[i + 1] << 8) | rgb[i + 2];
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([key, pixels]) => ({ rgb: [key >> 16, (key >> 8) & 255, key & 255], pixels }));
}

// ---- the diagnosis

const verdict = ([worst], errors) =>
  worst === "error" ? `${errors} thing${errors > 1 ? "s" : ""} to put right before training.` : worst === "warning" ? "look at what is said below before training." : "it can be trained on.";
const some = (items, most = 6) => items.slice(0, most).join(", ") + (items.length > most ? ", …" : "");
const percent = (part, whole) => ((100 * part) / whole).toFixed(part && part / whole < 0.001 ? 3 : 1) + " %";

function sizesIn(mask, picture) {
  if (!picture || (mask.width === picture.width && mask.height === picture.height)) return [];
  const text = `The picture has ${picture.width}x${picture.height} pixels and the mask ${mask.width}x${mask.height}.`;
  const factor = picture.width / mask.width;
  if (mask.width === picture.height && mask.height === picture.width)
    return [["error", text + " Height and width are exchanged.", picture.turned ? "The picture carries an orientation tag (EXIF). Open it with ImageOps.exif_transpose(Image.open(path)), or label the upright picture." : "Transpose one of the two."]];
  if (Math.abs(picture.height / mask.height - factor) < 0.02 * factor)
    return [["error", text, `The mask was exported at 1/${Number(factor.toFixed(2))} of the size. Export it at the picture's own; if that is impossible, enlarge it by nearest-exact, never bilinearly.`]];
  return [["error", text, "These are not the same view: cropped, padded or of another picture. Match the files by name."]];
}

function valuesIn(mask, counted, classes) {
  const { rows } = counted;
  const found = [];
  const all = mask.width * mask.height;
  const known = rows.map((row) => row.value);
  const strays = rows.filter((row) => row.value >= classes && row.value !== VOID);
  const example = strays[0]?.value;
  const refuses = `A loss stops with "Target ${example} is out of bounds", on a GPU with "device-side assert triggered".`;
  if (mask.lossy)
    found.push(["error", `Stored as ${mask.format}, which changes values near borders: ${rows.length} values, where a label map of this picture needs at most ${classes + 1}.`, "Export the mask again as PNG. If there is only this file, give each pixel the nearest value that is a class, and check the borders."]);
  else if (isSmooth(counted))
    found.push(["error", `In ${count(counted.passes)} places a value lies between a lower and a higher neighbor, where a sharp map has a step: the mask was resized smoothly, or drawn with a soft brush.${strays.length ? ` ${count(strays.length)} values are no class.` : ""}`, `Resize by nearest-exact: resize_mask(mask, size). ${example === undefined ? "All of them are valid labels, so nothing would stop." : refuses}`]);
  else if (known.length === 2 && known[0] === 0 && known[1] === VOID)
    found.push(["error", "Black and white: the only values are 0 and 255. Where 255 is void, as in this book, every white pixel is ignored and the rest is one class.", "FolderDataset(…, colors={(0, 0, 0): 0, (255, 255, 255): 1}), or mask = (mask > 127).long()."]);
  else if (strays.length && !known.includes(0) && strays.length === 1 && example === classes)
    found.push(["error", `The values run from ${known[0]} to ${example}, and 0 is missing: counted from 1?`, `Subtract 1 from all but 255. ${refuses}`]);
  else if (strays.length && mask.mode === "gray" && strays.length >= 0.6 * known.length && known.length <= 2 * classes)
    found.push(["error", `${known.length} gray levels (${some(known)}), most of them no class: was a palette PNG converted to gray, or were labels stretched for the eye?`, `Go back to the indexed file, or translate each level: table = torch.zeros(256).long(); table[${example}] = … ; mask = table[mask].`]);
  else if (strays.length)
    found.push(["error", `${strays.length === 1 ? "A value is" : `${strays.length} values are`} no class: ${some(strays.map((row) => `${row.value} in ${count(row.pixels)} pixels`), 4)}. With ${classes} classes a label is 0 to ${classes - 1}, or 255 for void.`, `${refuses} Count the classes again, or name the number that is void: FolderDataset(…, void=${strays[strays.length - 1].value}).`]);
  const errors = found.length > 0;
  const highest = Math.max(...known.filter((value) => value !== VOID), 0);
  if (!errors && mask.mode === "gray" && highest <= 40)
    found.push(["fine", `It looks black and is right: its labels end at ${highest}, and a viewer shows ${highest} of 255 as nearly black.`, "To look at it, paint it: colorize(mask, palette). Do not multiply the file."]);
  if (!errors && mask.mode === "indexed")
    found.push(["fine", "An indexed PNG: the stored numbers are the labels, the colors are for the eye.", "np.array(Image.open(path)) reads the numbers; convert('RGB') and convert('L') would destroy them."]);
  if (mask.tripled) found.push(["warning", "Three equal channels: read as it is, the mask has the shape (H, W, 3).", "Take one channel: np.array(Image.open(path))[..., 0]."]);
  const voids = rows.find((row) => row.value === VOID)?.pixels ?? 0;
  if (voids === all) found.push(["error", "Every pixel is void: nothing can be learned here, and a mean over no pixel is NaN.", "Label the picture, or leave it out."]);
  else if (voids > all / 2) found.push(["warning", `${percent(voids, all)} of the pixels are void.`, "Was the picture labeled to the end?"]);
  else if (!errors && known.filter((value) => value !== VOID).length === 1) found.push(["warning", "One class only.", "Fine as an example of absence; look whether something was left unlabeled."]);
  return found;
}

function colorsIn(mask, colors, classes) {
  if (mask.lossy)
    return [["error", `Stored as ${mask.format}: ${count(colors.length)} colors, where ${classes + 1} would do.`, "Export the mask again as PNG: no color table fits a compressed mask."]];
  if (colors.length > FEW_COLORS)
    return [["error", `${count(colors.length)} colors: a photograph, a mask laid over one, or one resized smoothly. It is no label map.`, "Export the labels alone, as an indexed PNG."]];
  const table = colors.slice(0, 8).map(({ rgb }, i) => `(${rgb.join(", ")}): ${i < classes ? i : VOID}`).join(", ");
  return [["warning", `Colors, not numbers: ${colors.length} of them. The array has the shape (H, W, ${mask.alpha ? 4 : 3}), and a loss wants (H, W).`, `Give each color its label, 255 for void: FolderDataset(…, colors={${table}${colors.length > 8 ? ", …" : ""}}). The numbers here are only in order of size: put in yours.`]];
}

// Findings as [kind, what, what to do], the worst first.
function diagnose(mask, picture, classes) {
  const counted = mask.values ? census(mask.values, mask.width, mask.height) : null;
  const rows = counted?.rows ?? null;
  const colors = rows ? null : colorsOf(mask.rgb);
  const found = [...sizesIn(mask, picture), ...(counted ? valuesIn(mask, counted, classes) : colorsIn(mask, colors, classes))];
  const order = ["error", "warning", "fine"];
  found.sort((a, b) => order.indexOf(a[0]) - order.indexOf(b[0]));
  if (!found.length) found.push(["fine", "Nothing wrong was found in the numbers.", "Whether they lie on the right things, only the overlay shows."]);
  return { found, rows, colors };
}

// ---- the figure

// VOC's color of a label: bits of the number spread over the three channels.
function vocColor(label) {
  const color = [0, 0, 0];
  for (let bit = 7, rest = label; bit >= 0; bit--, rest >>= 3) for (let c = 0; c < 3; c++) color[c] |= ((rest >> c) & 1) << bit;
  return color;
}

function render({ model, el }) {
  const names = model.get("names");
  const classNames = model.get("classes");
  const ownColors = bytes(model, "colors");
  const state = { mask: null, picture: null, classes: classNames.length, opacity: 0.55, wanted: 0 };
  const root = card(el, "Examine a label map: an example, or files of your own, which stay in this page");
  const { node: says, say } = sentence();
  const [scene, laid, viewed, read] = ["The picture", "The mask in class colors, over the picture", "The mask as a viewer shows it", "The mask as a loss reads it, in class colors"].map((name) => element("canvas", { role: "img", "aria-label": name }));
  const table = element("tbody");
  const findings = element("ul", { class: "st-findings", "aria-label": "Findings" });

  const colorOf = (value) => {
    if (value === VOID) return [...ownColors.subarray(3 * VOID, 3 * VOID + 3)];
    if (value >= state.classes) return INVENTED;
    return value < classNames.length ? [...ownColors.subarray(3 * value, 3 * value + 3)] : vocColor(value + 1);
  };
  const nameOf = (value) => {
    if (value === VOID) return "void";
    if (value >= state.classes) return "no class";
    return value < classNames.length ? classNames[value] : `class ${value}`;
  };

  const fit = (canvas, width, height) => {
    const factor = Math.min(1, LARGEST / Math.max(width, height));
    canvas.width = Math.max(1, Math.round(width * factor));
    canvas.height = Math.max(1, Math.round(height * factor));
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = factor < 1;
    return context;
  };
  const paint = () => {
    const { mask, picture } = state;
    const show = picture ?? mask;
    fit(scene, show.width, show.height).drawImage(show.bitmap, 0, 0, scene.width, scene.height);
    const view = fit(viewed, mask.width, mask.height);
    view.drawImage(mask.bitmap, 0, 0, viewed.width, viewed.height);
    const context = fit(read, mask.width, mask.height);
    const out = context.createImageData(read.width, read.height);
    for (let y = 0, i = 0; y < read.height; y++)
      for (let x = 0; x < read.width; x++, i++) {
        const from = Math.floor(((y + 0.5) * mask.height) / read.height) * mask.width + Math.floor(((x + 0.5) * mask.width) / read.width);
        out.data.set(mask.values ? colorOf(mask.values[from]) : NO_NUMBERS, 4 * i);
        out.data[4 * i + 3] = 255;
      }
    context.putImageData(out, 0, 0);
    const over = fit(laid, scene.width, scene.height);
    over.imageSmoothingEnabled = false;
    over.globalAlpha = state.opacity;
    over.drawImage(mask.values ? read : viewed, 0, 0, laid.width, laid.height);
  };

  const row = (swatch, label, name, pixels, all) =>
    element("tr", {},
      element("th", { scope: "row" }, element("span", { class: "st-swatch", style: `background:rgb(${swatch.join(",")})` }), ` ${label}`),
      element("td", {}, name), element("td", {}, count(pixels)), element("td", {}, percent(pixels, all)),
      element("td", { style: "width:22%;text-align:left" }, element("span", { class: "st-bar-of", style: `width:${(100 * pixels) / all}%` })));
  const list = ({ rows, colors }) => {
    const all = state.mask.width * state.mask.height;
    const entries = rows
      ? rows.map((one) => ({ ...one, swatch: colorOf(one.value), label: one.value, name: nameOf(one.value) }))
      : colors.map((one) => ({ ...one, swatch: one.rgb, label: `(${one.rgb.join(", ")})`, name: "a color" }));
    const shown = entries.length <= 10 ? entries : entries.slice().sort((a, b) => b.pixels - a.pixels).slice(0, 9);
    const rest = entries.length - shown.length;
    const left = all - shown.reduce((sum, one) => sum + one.pixels, 0);
    table.replaceChildren(...shown.map((one) => row(one.swatch, one.label, one.name, one.pixels, all)), ...(rest ? [row(NO_NUMBERS, `${count(rest)} more`, "", left, all)] : []));
  };

  const update = () => {
    if (!state.mask) return;
    const { mask } = state;
    const result = diagnose(mask, state.picture, state.classes);
    paint();
    list(result);
    const words = { error: "Error", warning: "Look", fine: "Good" };
    findings.replaceChildren(...result.found.map(([kind, what, cure]) => element("li", { class: `st-${kind}` }, element("span", { class: "st-kind" }, words[kind]), what, element("p", {}, element("span", { class: "st-kind" }, kind === "fine" ? "Know" : "Cure"), cure))));
    const errors = result.found.filter(([kind]) => kind === "error").length;
    const modes = { indexed: "indexed by a palette", gray: "gray", color: "in color" };
    const held = result.rows ? `${count(result.rows.length)} ${result.rows.length === 1 ? "value" : "different values"}` : `${count(result.colors.length)} colors`;
    say(`${mask.width}x${mask.height}, ${mask.format}, ${mask.bits} bits, ${modes[mask.mode]}, with ${held}: *${verdict(result.found[0], errors)}*`, result.found[0][0] === "fine");
  };

  const decoded = (url) => ({ file: Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (c) => c.charCodeAt(0)), type: url.slice(5, url.indexOf(";")) });
  const complain = (name) => say(`*${name} cannot be decoded by this browser as a picture.* Nothing was changed.`);
  // The last file asked for is the one that is shown, whichever is decoded last.
  const take = async (what, { file, type }, name) => {
    const turn = ++state.wanted;
    try {
      const result = await (what === "mask" ? readMask(file, type) : readPicture(file, type));
      if (what === "mask" && turn !== state.wanted) return;
      state[what] = result;
      update();
    } catch {
      complain(name);
    }
  };
  const examples = choice({
    legend: "Example:", value: "0", options: names.map((name, i) => ({ value: String(i), label: name })),
    change: (next) => { state.own = false; open(Number(next)); },
  });
  const open = async (which) => {
    const picture = decoded(model.get("picture"));
    state.picture = await readPicture(picture.file, picture.type);
    await take("mask", decoded(model.get("files")[which]), names[which]);
  };

  const own = (label, what) => {
    const input = element("input", { type: "file", accept: "image/*", "aria-label": label });
    const node = element("label", { class: "st-file" }, label, input);
    const use = async (file) => {
      if (!file) return;
      examples.set("none");
      if (what === "mask" && state.picture && !state.own) state.picture = null; // the example's street has nothing to do with it
      state.own = true;
      await take(what, { file: new Uint8Array(await file.arrayBuffer()), type: file.type }, file.name);
    };
    input.addEventListener("change", () => use(input.files[0]));
    node.addEventListener("dragover", (event) => { event.preventDefault(); node.classList.add("st-over-it"); });
    node.addEventListener("dragleave", () => node.classList.remove("st-over-it"));
    node.addEventListener("drop", (event) => { event.preventDefault(); node.classList.remove("st-over-it"); use(event.dataTransfer.files[0]); });
    return node;
  };
  const howMany = slider({ label: "Classes, void not counted", min: 2, max: 60, step: 1, value: state.classes, format: String, change: (next) => { state.classes = next; update(); } });
  const opacity = slider({ label: "Mask over the picture", min: 0, max: 1, step: 0.05, value: state.opacity, format: (value) => `${Math.round(100 * value)} %`, change: (next) => { state.opacity = next; if (state.mask) paint(); } });

  root.append(
    element("div", { class: "st-row" }, examples.node),
    element("div", { class: "st-files" }, own("Your mask: choose or drop a file", "mask"), own("Your picture: choose or drop a file", "picture")),
    element("div", { class: "st-row" }, howMany.node, opacity.node),
    element("div", { class: "st-panels st-pairs st-first-wide", style: "--st-columns:3" },
      panel("On the picture", element("div", { class: "st-stack-of" }, scene, laid)), panel("As a viewer shows it", viewed), panel("As a loss reads it", read)),
    says,
    findings,
    element("table", { class: "st-figures" },
      element("thead", {}, element("tr", {}, ...["value", "class", "pixels", "share", "of the picture"].map((name) => element("th", { scope: "col" }, name)))), table),
  );
  open(0);
}

export { diagnose, readMask, readPicture };
export default { render };
