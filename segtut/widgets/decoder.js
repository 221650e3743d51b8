// What the figures that run a decoder share: codes in, pictures out, one after the other.

// `decode(code)` promises the picture's values, (C, H, W), 0-1; `draw(canvas, code)` paints them
// too. Of the codes that wait for one canvas only the last is drawn: the others get null.
// The figure, `root`, is marked as busy while anything waits.
function startDecoder(model, root = null) {
  const weights = bytes(model, "weights");
  const network = startNetwork(model.get("operations"), new Uint16Array(weights.slice().buffer));
  let [waiting, busy] = [[], false];
  const work = async () => {
    if (busy) return;
    busy = true;
    root?.setAttribute("aria-busy", "true");
    while (waiting.length) {
      const { code, canvas, resolve } = waiting.shift();
      const { logits, shape } = await network.run(Float32Array.from(code), 1, 1);
      if (canvas) paintMap(canvas, logits, shape);
      resolve(logits);
    }
    busy = false;
    root?.setAttribute("aria-busy", "false");
  };
  const ask = (code, canvas) =>
    new Promise((resolve) => {
      waiting.push({ code, canvas, resolve });
      work();
    });
  const draw = (canvas, code) => {
    waiting = waiting.filter((one) => {
      if (one.canvas === canvas) one.resolve(null);
      return one.canvas !== canvas;
    });
    return ask(code, canvas);
  };
  const stop = () => { waiting = []; network.stop(); };
  return { decode: (code) => ask(code, null), draw, stop };
}

// The float32 numbers of a trait.
function floats(model, name) {
  return new Float32Array(bytes(model, name).slice().buffer);
}

// The pictures on a sheet as the network's own values, (C, H, W), 0-1, each.
async function readSheet(url, count, [channels, height, width]) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = element("canvas", { width: image.width, height: image.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const side = Math.ceil(Math.sqrt(count));
  return Array.from({ length: count }, (_, k) => {
    const { data } = context.getImageData((k % side) * width, Math.floor(k / side) * height, width, height);
    const places = height * width;
    return Float32Array.from({ length: channels * places }, (_, i) => data[4 * (i % places) + Math.floor(i / places)] / 255);
  });
}

function meanSquare(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum / a.length;
}

const lengthOf = (code) => Math.sqrt(code.reduce((sum, value) => sum + value * value, 0));

// The code at share t of the straight way from a to b.
function onLine(a, b, t) {
  return Float32Array.from(a, (value, k) => (1 - t) * value + t * b[k]);
}

// The same on the great circle (Shoemake 1985): the direction turns evenly from a's to b's, and the
// length goes evenly from one to the other, instead of cutting the corner.
function onCircle(a, b, t) {
  const [start, end] = [lengthOf(a), lengthOf(b)];
  const cosine = a.reduce((sum, value, k) => sum + value * b[k], 0) / (start * end || 1);
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  if (Math.sin(angle) < 1e-4) return onLine(a, b, t);
  const length = ((1 - t) * start + t * end) / Math.sin(angle);
  const [first, second] = [(length * Math.sin((1 - t) * angle)) / start, (length * Math.sin(t * angle)) / end];
  return Float32Array.from(a, (value, k) => first * value + second * b[k]);
}

const signed = (value, digits = 2) => value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", "−");

function pictureCanvas(name) {
  return element("canvas", { class: "st-crisp", role: "img", "aria-label": name });
}

function tiles(names) {
  const values = names.map(() => element("dd", {}, "…"));
  const node = element("dl", { class: "st-tiles st-three" }, ...names.map((name, i) => element("div", {}, element("dt", {}, name), values[i])));
  return { node, show: (texts) => texts.forEach((text, i) => { values[i].textContent = text; }) };
}
