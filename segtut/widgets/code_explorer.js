// Section 3.3.1: the codes of pictures as a map, and what the decoder draws anywhere on it.

const MARKS = [
  "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", // disk
  "M-3.5-3.5h7v7h-7z", // square
  "M0-4.6L4.4 3.4H-4.4z", // triangle
  "M0-5L5 0L0 5L-5 0z", // diamond
  "M0 4.6L4.4-3.4H-4.4z", // triangle on its tip
  "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z", // plus
  "M0-2.1L2.6-4.7L4.7-2.6L2.1 0L4.7 2.6L2.6 4.7L0 2.1L-2.6 4.7L-4.7 2.6L-2.1 0L-4.7-2.6L-2.6-4.7z", // cross
  "M0-5.4L1.4-1.8H5.1L2.2.6L3.2 4.3L0 2.2L-3.2 4.3L-2.2.6L-5.1-1.8H-1.4z", // star
];
const TILES = 11; // drawings a side when the map is filled with them

// The square part of the plane that holds all codes, with room around them; both axes in one unit.
function frameOf(codes) {
  const axis = (k) => {
    const values = codes.filter((_, i) => i % 2 === k);
    return [Math.min(...values), Math.max(...values)];
  };
  const [across, up] = [axis(0), axis(1)];
  const reach = 0.58 * Math.max(across[1] - across[0], up[1] - up[0], 1e-3);
  const middle = ([low, high]) => (low + high) / 2;
  return { left: middle(across) - reach, bottom: middle(up) - reach, side: 2 * reach };
}

// The index of the code nearest to a point, and how far it is; `except` is left out.
function nearestCode(codes, point, except = -1) {
  let best = { index: -1, distance: Infinity };
  for (let i = 0; 2 * i < codes.length; i++) {
    const distance = Math.hypot(codes[2 * i] - point[0], codes[2 * i + 1] - point[1]);
    if (i !== except && distance < best.distance) best = { index: i, distance };
  }
  return best;
}

// The distance from which a point of the map counts as empty: as far as a lonely picture's neighbor.
function emptyFrom(codes) {
  const gaps = [];
  for (let i = 0; 2 * i < codes.length; i++) gaps.push(nearestCode(codes, [codes[2 * i], codes[2 * i + 1]], i).distance);
  gaps.sort((a, b) => a - b);
  return gaps[Math.floor(0.95 * (gaps.length - 1))];
}

// The mark of a class: a shape, or the class's name where all have one character.
function marker(classes, colors) {
  const lettered = classes.every((name) => [...name].length === 1);
  return (label) => {
    const style = `fill:${classColor(colors, label)}`;
    return lettered
      ? drawn("text", { class: "st-letter", style }, classes[label])
      : drawn("path", { class: "st-mark", d: MARKS[label], style });
  };
}

// The map: marks for the codes, a ring for the nearest picture, a pen to move.
const plain = (tick) => String(Number(tick.toPrecision(3))).replace("-", "−");

function codeMap({ codes, labels, mark, frame, move, nearest }) {
  const [left, bottom, top] = [36, 34, 6];
  const canvas = element("canvas", { class: "st-crisp" });
  const svg = drawn("svg", { "aria-hidden": "true" });
  const node = element("div", { class: "st-map", tabindex: 0, role: "application", "aria-roledescription": "map of codes" }, canvas, svg);
  let [size, code, near] = [0, [0, 0], 0];
  const x = (value) => left + ((value - frame.left) / frame.side) * size;
  const y = (value) => top + size - ((value - frame.bottom) / frame.side) * size;
  const over = drawn("g");
  const draw = (width = node.clientWidth) => {
    if (!width) return;
    size = width - left - 4;
    svg.setAttribute("height", size + top + bottom);
    Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`, width: `${size}px`, height: `${size}px` });
    const ticks = (low) => niceTicks(low, low + frame.side, size < 260 ? 3 : 5);
    const text = (attributes, words) => drawn("text", attributes, words);
    const marks = [...labels].map((label, i) =>
      drawn("g", { transform: `translate(${x(codes[2 * i]).toFixed(1)},${y(codes[2 * i + 1]).toFixed(1)})` }, mark(label)));
    svg.replaceChildren(
      drawn("rect", { class: "st-field", x: left, y: top, width: size, height: size, rx: 4 }),
      ...ticks(frame.left).map((tick) => text({ x: x(tick), y: top + size + 16, "text-anchor": "middle" }, plain(tick))),
      ...ticks(frame.bottom).map((tick) => text({ x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, plain(tick))),
      text({ x: left + size, y: top + size + 31, "text-anchor": "end" }, "first number of the code"),
      text({ x: 11, y: top, "text-anchor": "end", transform: `rotate(-90 11 ${top})` }, "second number"),
      ...marks,
      over,
    );
    drawPen();
  };
  const drawPen = () => {
    const at = { cx: x(code[0]), cy: y(code[1]) };
    const [cx, cy] = [x(codes[2 * near]), y(codes[2 * near + 1])];
    const cross = `M${at.cx - 13} ${at.cy}h8M${at.cx + 5} ${at.cy}h8M${at.cx} ${at.cy - 13}v8M${at.cx} ${at.cy + 5}v8`;
    over.replaceChildren(
      drawn("circle", { class: "st-chosen", cx, cy, r: 8 }),
      ...["st-pen st-under", "st-pen"].flatMap((kind) => [drawn("circle", { class: kind, ...at, r: 5 }), drawn("path", { class: kind, d: cross })]),
    );
  };
  const place = (next, chosen) => {
    [code, near] = [next, chosen];
    drawPen();
    node.setAttribute("aria-label", `Map of codes, at ${signed(code[0])}, ${signed(code[1])}. Arrow keys move, Shift makes large steps, Enter goes to the nearest picture.`);
  };
  const follow = (event) => {
    const box = svg.getBoundingClientRect();
    const at = [event.clientX - box.left, event.clientY - box.top];
    const next = [frame.left + ((at[0] - left) / size) * frame.side, frame.bottom + ((top + size - at[1]) / size) * frame.side];
    // A press on a mark means its picture.
    const { index, distance } = nearestCode(codes, next);
    const hit = event.type === "pointerdown" && (distance / frame.side) * size < 8;
    move(hit ? [codes[2 * index], codes[2 * index + 1]] : next);
  };
  whenDragged(node, follow);
  node.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (step) {
      const far = (frame.side / 100) * (event.shiftKey ? 8 : 1);
      move([code[0] + far * step[0], code[1] + far * step[1]]);
    } else if (event.key === "Enter" || event.key === " ") nearest();
    else return;
    event.preventDefault();
  });
  return { node, canvas, place, stop: whenResized(node, draw) };
}

function render({ model, el }) {
  const [classes, colors] = [model.get("classes"), bytes(model, "colors")];
  const [codes, labels] = [floats(model, "codes"), bytes(model, "labels")];
  const shape = ["channels", "height", "width"].map((name) => model.get(name));
  const frame = frameOf(codes);
  const far = emptyFrom(codes);
  const digits = Math.max(0, Math.ceil(2 - Math.log10(frame.side))); // a hundredth of the map's side
  const root = card(el, "Two-number codes of pictures, and what the decoder draws from them");
  const decoder = startDecoder(model, root);
  const { node: says, say } = sentence();
  const [drawing, original] = [pictureCanvas("What the decoder draws"), pictureCanvas("The nearest picture of the data")];
  const numbers = tiles(["Code", "Nearest code", "Squared error"]);
  let [pictures, code, near, filled] = [null, [0, 0], { index: 0, distance: 0 }, 0];

  const show = async () => {
    const [point, { index, distance }] = [code, near];
    const values = await decoder.draw(drawing, point);
    if (!values || !pictures) return;
    paintMap(original, pictures[index], shape);
    const name = classes[labels[index]];
    original.setAttribute("aria-label", `The nearest picture of the data: ${name}`);
    const error = meanSquare(values, pictures[index]);
    const there = distance < 1e-6;
    numbers.show([point.map((value) => signed(value, digits)).join(", "), there ? "this one" : distance.toFixed(digits), error.toFixed(4)]);
    if (there) say(`This is the code of a picture of the class *${name}*: what is drawn is its reconstruction. The mean squared error, of values from 0 to 1, is *${error.toFixed(4)}*.`, true);
    else if (distance > far) say(`No picture's code is near: the nearest, of the class *${name}*, is ${distance.toFixed(digits)} away. *No picture near here* taught the decoder what to draw.`);
    else say(`Between the pictures: the nearest, of the class *${name}*, is ${distance.toFixed(digits)} away.`, true);
  };
  const inside = (value, low) => Math.min(low + frame.side, Math.max(low, value));
  const move = (next) => {
    code = [inside(next[0], frame.left), inside(next[1], frame.bottom)];
    near = nearestCode(codes, code);
    map.place(code, near.index);
    show();
  };
  const goTo = (index) => move([codes[2 * index], codes[2 * index + 1]]);
  const mark = marker(classes, colors);
  const map = codeMap({ codes, labels, mark, frame, move, nearest: () => goTo(near.index) });

  // All over the map, at the middle of each of TILES x TILES squares, what is drawn from there.
  const fillMap = async (wanted) => {
    const turn = ++filled;
    map.node.classList.toggle("st-filled", wanted);
    map.canvas.hidden = !wanted;
    if (!wanted) return;
    const [, height, width] = shape;
    const one = element("canvas");
    [map.canvas.width, map.canvas.height] = [TILES * (width + 2), TILES * (height + 2)]; // a rim around each
    for (let k = 0; k < TILES * TILES && turn === filled; k++) {
      const [row, column] = [Math.floor(k / TILES), k % TILES];
      const at = [frame.left + ((column + 0.5) / TILES) * frame.side, frame.bottom + ((TILES - row - 0.5) / TILES) * frame.side];
      paintMap(one, await decoder.decode(at), shape);
      map.canvas.getContext("2d").drawImage(one, column * (width + 2) + 1, row * (height + 2) + 1);
    }
  };
  const filling = checkbox("Fill the map with drawings", fillMap);
  const another = () => goTo(Math.floor(Math.random() * labels.length));
  const key = element("div", { class: "st-legend" }, ...classes.map((name, label) => {
    const sign = drawn("svg", { viewBox: "-6 -6 12 12", "aria-hidden": "true" }, mark(label));
    return element("span", {}, sign, name);
  }));
  key.hidden = classes.every((name) => [...name].length === 1); // the marks say it
  root.append(
    element("div", { class: "st-row" }, button("Nearest picture", () => goTo(near.index)), button("Any picture", another), filling.node),
    element("div", { class: "st-codes" },
      element("div", {}, panel("The map of codes: press, drag, or use the arrow keys", map.node), key),
      element("div", {},
        element("div", { class: "st-pictures-two" }, panel("The decoder draws", drawing), panel("The nearest picture", original)),
        numbers.node,
        says)),
  );
  fillMap(false);
  say("The decoder is being started.", true);
  const middle = [frame.left + frame.side / 2, frame.bottom + frame.side / 2];
  readSheet(model.get("sheet"), labels.length, shape).then((read) => {
    pictures = read;
    goTo(nearestCode(codes, middle).index);
  });
  return () => { filled++; map.stop(); decoder.stop(); };
}

export { emptyFrom, frameOf, nearestCode };
export default { render };
