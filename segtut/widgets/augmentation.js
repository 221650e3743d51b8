// Section 4.1: a street and its label map under one transform, and three ways to spoil the labels.

const VOID = 255;

// Where output pixel (row, column) comes from: the inverse of torchvision's `affine`, then a flip.
function source({ rotate, shear, zoom, flip }, height, width) {
  const angle = (rotate * Math.PI) / 180;
  const slant = Math.tan((shear * Math.PI) / 180);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return (row, column) => {
    const x = (column + 0.5 - width / 2) * (flip ? -1 : 1);
    const y = row + 0.5 - height / 2;
    return [
      (-sin * x + cos * y) / zoom + height / 2,
      ((cos - sin * slant) * x + (cos * slant + sin) * y) / zoom + width / 2,
    ];
  };
}

function nearest(labels, height, width, from, outside) {
  const moved = new Uint8Array(height * width);
  for (let i = 0; i < moved.length; i++) {
    const [y, x] = from(Math.floor(i / width), i % width).map(Math.floor);
    const inside = y >= 0 && x >= 0 && y < height && x < width;
    moved[i] = inside ? labels[y * width + x] : outside;
  }
  return moved;
}

// Weighted mean of the four pixels around a place; `channels` values a pixel.
function bilinear(values, channels, height, width, from, outside) {
  const moved = new Uint8Array(height * width * channels);
  const at = (y, x, c) =>
    y >= 0 && x >= 0 && y < height && x < width ? values[(y * width + x) * channels + c] : outside;
  for (let i = 0; i < height * width; i++) {
    const [y, x] = from(Math.floor(i / width), i % width).map((place) => place - 0.5);
    const [top, left] = [Math.floor(y), Math.floor(x)];
    const [down, right] = [y - top, x - left];
    for (let c = 0; c < channels; c++) {
      const upper = at(top, left, c) * (1 - right) + at(top, left + 1, c) * right;
      const lower = at(top + 1, left, c) * (1 - right) + at(top + 1, left + 1, c) * right;
      moved[i * channels + c] = Math.round(upper * (1 - down) + lower * down);
    }
  }
  return moved;
}

// The label map as it should be and as the switches leave it, and how far they differ.
function transformed(labels, height, width, classes, move, damage) {
  const from = source(move, height, width);
  const still = source({ rotate: 0, shear: 0, zoom: 1, flip: false }, height, width);
  const right = nearest(labels, height, width, from, VOID);
  const outside = damage.fill ? 0 : VOID;
  const place = damage.still ? still : from;
  const given = damage.blend
    ? bilinear(labels, 1, height, width, place, outside)
    : nearest(labels, height, width, place, outside);
  const inventions = given.filter((label) => label >= classes && label !== VOID);
  return {
    right,
    given,
    wrong: given.reduce((sum, label, i) => sum + (label !== right[i]), 0),
    invented: inventions.length,
    values: new Set(inventions).size,
    outside: nearest(new Uint8Array(labels.length).fill(1), height, width, from, 0).reduce((sum, inside) => sum + 1 - inside, 0),
  };
}

// The picture, enlarged, with the contours of the label map drawn over it.
function paintOverlay(canvas, picture, labels, height, width) {
  const zoom = Math.max(1, Math.round(480 / width));
  const small = document.createElement("canvas");
  [small.width, small.height] = [width, height];
  const pixels = small.getContext("2d").createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    pixels.data.set(picture.subarray(3 * i, 3 * i + 3), 4 * i);
    pixels.data[4 * i + 3] = 255;
  }
  small.getContext("2d").putImageData(pixels, 0, 0);
  [canvas.width, canvas.height] = [width * zoom, height * zoom];
  const context = canvas.getContext("2d");
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  const path = new Path2D();
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      if (x + 1 < width && labels[i] !== labels[i + 1] && labels[i] !== VOID) {
        path.moveTo((x + 1) * zoom, y * zoom);
        path.lineTo((x + 1) * zoom, (y + 1) * zoom);
      }
      if (y + 1 < height && labels[i] !== labels[i + width] && labels[i] !== VOID) {
        path.moveTo(x * zoom, (y + 1) * zoom);
        path.lineTo((x + 1) * zoom, (y + 1) * zoom);
      }
    }
  for (const [color, thickness] of [["rgba(0,0,0,0.55)", 3.2], ["#fff", 1.6]]) {
    context.strokeStyle = color;
    context.lineWidth = thickness;
    context.stroke(path);
  }
}

// The right labels in pale gray, the wrong ones in one strong color.
function paintDamage(canvas, right, given, height, width, colors) {
  const shown = given.map((label, i) => (label === right[i] ? right[i] : 254));
  const pale = new Uint8Array(768);
  for (let label = 0; label < 256; label++) {
    const [r, g, b] = colors.subarray(3 * label, 3 * label + 3);
    pale.fill(200 + (0.3 * r + 0.59 * g + 0.11 * b) * 0.2, 3 * label, 3 * label + 3);
  }
  pale.set([197, 48, 15], 3 * 254);
  paintLabels(canvas, shown, height, width, pale);
}

function describe(result, total, damage) {
  const share = ((100 * result.wrong) / total).toFixed(1);
  if (!damage.still && !damage.blend && !damage.fill)
    return `*No label is wrong.* ${count(result.outside)} pixels came from outside the picture; their label is void, and neither loss nor score counts them.`;
  if (!result.wrong) return "*No label is wrong* here: with this transform the switches change nothing.";
  const invented = result.invented
    ? ` ${count(result.invented)} pixels hold one of ${result.values} values that no class has.`
    : "";
  return `*${count(result.wrong)} of ${count(total)} labels are wrong* (${share} %).${invented}`;
}

function render({ model, el }) {
  const [height, width] = [model.get("height"), model.get("width")];
  const [image, labels, colors] = ["image", "labels", "colors"].map((name) => bytes(model, name));
  const classes = model.get("classes");
  const root = card(el, "A street and its label map under one transform");
  const move = { rotate: 12, shear: 10, zoom: 1.2, flip: false };
  const damage = { still: false, blend: false, fill: false };
  const canvases = ["Picture, label contours", "Label map", "Wrong labels"].map((title) => {
    const canvas = element("canvas", { role: "img", "aria-label": title });
    return { canvas, node: panel(title, canvas) };
  });
  canvases[1].canvas.classList.add("st-crisp");
  canvases[2].canvas.classList.add("st-crisp");
  const { node: says, say } = sentence();
  const update = () => {
    const result = transformed(labels, height, width, classes.length, move, damage);
    const picture = bilinear(image, 3, height, width, source(move, height, width), 128);
    paintOverlay(canvases[0].canvas, picture, result.given, height, width);
    paintLabels(canvases[1].canvas, result.given, height, width, colors);
    paintDamage(canvases[2].canvas, result.right, result.given, height, width, colors);
    say(describe(result, height * width, damage), !result.wrong);
  };
  const sliders = [
    ["rotate", { label: "Rotate", min: -45, max: 45, step: 1, format: (v) => `${v}°` }],
    ["shear", { label: "Shear", min: -30, max: 30, step: 1, format: (v) => `${v}°` }],
    ["zoom", { label: "Zoom", min: 0.5, max: 2, step: 0.05, format: (v) => `× ${v.toFixed(2)}` }],
  ].map(([name, options]) =>
    slider({ ...options, value: move[name], change: (value) => { move[name] = value; update(); } }),
  );
  const flip = checkbox("Flip left to right", (on) => { move.flip = on; update(); });
  const faults = [
    ["still", "move the picture only"],
    ["blend", "interpolate the mask bilinearly"],
    ["fill", "fill with class 0 instead of void"],
  ].map(([name, label]) => checkbox(label, (on) => { damage[name] = on; update(); }).node);
  root.append(
    element("div", { class: "st-row" }, ...sliders.map((one) => one.node), flip.node),
    element("div", { class: "st-row", role: "group", "aria-label": "Done wrong" }, element("span", {}, "Done wrong:"), ...faults),
    element("div", { class: "st-panels st-pairs", style: "--st-columns:3" }, ...canvases.map((one) => one.node), says),
    legend(classes, colors, [["void", VOID], ["no class at all", 254]]),
  );
  update();
}

export { transformed };
export default { render };
