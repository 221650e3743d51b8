// Section 3.2.1: how large a convolution's output is, which cells each output reads, and a stack.

const DOCUMENT = [[3, 1, 1], [2, 2, 1], [3, 1, 1], [2, 2, 1]]; // (kernel, stride, dilation), no padding

// Side of the output; 0 where the kernel does not fit even once.
function outputSize(size, kernel, stride, padding, dilation) {
  return Math.max(0, Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1);
}

// The cells that one output reads along a side, counted from the first pixel: padding is negative
// or beyond the size.
function cellsRead(output, kernel, stride, padding, dilation) {
  return Array.from({ length: kernel }, (_, k) => output * stride - padding + k * dilation);
}

// For each pixel along a side: does any output read it?
function pixelsRead(size, kernel, stride, padding, dilation) {
  const read = new Array(size).fill(false);
  for (let output = outputSize(size, kernel, stride, padding, dilation) - 1; output >= 0; output--)
    for (const cell of cellsRead(output, kernel, stride, padding, dilation)) if (cell in read) read[cell] = true;
  return read;
}

// A stack of (kernel, stride, dilation), first layer first. `field` and `stride` after each layer
// in input pixels; `reads`: at each level the cells that the last layer's output 0 depends on.
function stack(layers) {
  const levels = [{ field: 1, stride: 1 }];
  for (const [kernel, stride, dilation] of layers) {
    const before = levels.at(-1);
    levels.push({ field: before.field + dilation * (kernel - 1) * before.stride, stride: before.stride * stride });
  }
  const reads = [[0]];
  for (const [kernel, stride, dilation] of [...layers].reverse()) {
    const below = new Set(reads[0].flatMap((cell) => cellsRead(cell, kernel, stride, 0, dilation)));
    reads.unshift([...below].sort((a, b) => a - b));
  }
  return levels.map((level, i) => ({ ...level, reads: reads[i] }));
}

const cellAt = (tag, y, x, attributes) => drawn("rect", { class: tag, x, y, width: 1, height: 1, ...attributes });

// The cross of a cell that nothing reads, in two shades so that it shows on every color.
const crossed = (y, x) =>
  ["st-cross st-under", "st-cross"].map((tag) =>
    drawn("path", { class: tag, d: `M${x + 0.2} ${y + 0.2}l0.6 0.6m-0.6 0l0.6 -0.6` }),
  );

function drawInput(node, settings, pixels, side, chosen) {
  const { size, kernel, stride, padding, dilation } = settings;
  const read = pixelsRead(size, kernel, stride, padding, dilation);
  const parts = [];
  for (let y = -padding; y < size + padding; y++)
    for (let x = -padding; x < size + padding; x++) {
      if (y < 0 || x < 0 || y >= size || x >= size) {
        parts.push(cellAt("st-cell-zero", y, x), drawn("text", { x: x + 0.5, y: y + 0.5, "font-size": 0.55 }, "0"));
        continue;
      }
      const color = pixels.slice(3 * (y * side + x), 3 * (y * side + x) + 3);
      parts.push(cellAt("st-cell-pixel", y, x, { fill: `rgb(${color.join(",")})` }));
      if (!read[y] || !read[x]) parts.push(...crossed(y, x));
    }
  const seen = chosen && [chosen[0], chosen[1]].map((output) => cellsRead(output, kernel, stride, padding, dilation));
  if (seen)
    for (const tag of ["st-seen-under", "st-seen"])
      for (const y of seen[0]) for (const x of seen[1]) parts.push(cellAt(tag, y, x));
  const full = size + 2 * padding;
  node.setAttribute("viewBox", `${-padding - 0.2} ${-padding - 0.2} ${full + 0.4} ${full + 0.4}`);
  node.replaceChildren(...parts);
}

// Each output drawn as the mean of the pixels that it reads, padding counted as 0.
function meanColor(row, column, settings, pixels, side) {
  const { size, kernel, stride, padding, dilation } = settings;
  const sums = [0, 0, 0];
  for (const y of cellsRead(row, kernel, stride, padding, dilation))
    for (const x of cellsRead(column, kernel, stride, padding, dilation))
      if (y >= 0 && x >= 0 && y < size && x < size) sums.forEach((_, c) => { sums[c] += pixels[3 * (y * side + x) + c]; });
  return `rgb(${sums.map((sum) => Math.round(sum / kernel ** 2)).join(",")})`;
}

function drawOutput(node, settings, pixels, side, chosen, outputs) {
  const { size, padding } = settings;
  const full = size + 2 * padding;
  const parts = [];
  for (let y = 0; y < outputs; y++)
    for (let x = 0; x < outputs; x++)
      parts.push(cellAt("st-cell-pixel", y, x, { fill: meanColor(y, x, settings, pixels, side) }));
  if (chosen) for (const tag of ["st-seen-under", "st-seen"]) parts.push(cellAt(tag, ...chosen));
  else parts.push(drawn("text", { x: full / 2, y: full / 2, "font-size": full / 14 }, "no output"));
  // The scale of the input, unless there are more outputs than that has room for.
  const room = Math.max(full, outputs) + 0.4;
  node.setAttribute("viewBox", `-0.2 -0.2 ${room} ${room}`);
  node.replaceChildren(...parts);
}

// The cells of every level that the topmost output depends on, above the pixels they stand for.
function drawStack(node, width, levels) {
  const [row, top, half] = [46, 28, 9];
  const last = levels.length - 1;
  const { field } = levels[last];
  const margin = Math.max(2, Math.ceil(field * 0.06));
  const unit = width / (field + 2 * margin);
  const parts = [];
  const rows = levels.map((level, i) => {
    // Where cell 0 of this level lies: in the middle of the pixels that it sees.
    const center = (cell) => (margin + (level.field - 1) / 2 + 0.5 + cell * level.stride) * unit;
    const y = top + (last - i) * row;
    const wide = Math.max(1.5, Math.min(Math.max(26, 0.86 * unit), 0.86 * unit * level.stride));
    return { ...level, center, y, wide };
  });
  rows.slice(1).forEach((above, i) => {
    const below = rows[i];
    const ends = (one, sign) => one.center(sign < 0 ? one.reads[0] : one.reads.at(-1)) + (sign * one.wide) / 2;
    const corners = [[ends(above, -1), above.y + half], [ends(above, 1), above.y + half], [ends(below, 1), below.y - half], [ends(below, -1), below.y - half]];
    parts.push(drawn("polygon", { class: "st-cone", points: corners.map((corner) => corner.join(",")).join(" ") }));
  });
  rows.forEach((level, i) => {
    const reads = new Set(level.reads);
    for (let cell = level.reads[0] - 1; cell <= level.reads.at(-1) + 1; cell++) {
      const x = level.center(cell) - level.wide / 2;
      if (x < 0 || x + level.wide > width) continue;
      parts.push(drawn("rect", { class: "st-unit" + (reads.has(cell) ? " st-reads" : ""), x, y: level.y - half, width: level.wide, height: 2 * half, rx: 2, "stroke-width": level.wide > 5 ? 1 : 0 }));
    }
    const text = i ? `layer ${i}: r = ${level.field}, j = ${level.stride}` : `input: ${level.reads.length} of ${field} pixels read`;
    parts.push(drawn("text", { class: "st-strong", x: 0, y: level.y - half - 5 }, text));
  });
  node.setAttribute("height", top + row * last + half + 4);
  node.setAttribute("aria-label", "A stack of layers in one dimension: " + levels.slice(1).map((level, i) => `after layer ${i + 1} the receptive field is ${level.field} and the output stride ${level.stride}`).join("; "));
  node.replaceChildren(...parts);
}

function render({ model, el }) {
  const [pixels, side] = [bytes(model, "pixels"), model.get("side")];
  const settings = { ...model.get("start"), layers: "2" };
  const limits = model.get("limits");
  let chosen = [0, 0];
  const root = card(el, "Size and receptive field of a convolution");
  const [input, output] = [0, 1].map(() => drawn("svg", { class: "st-grid", "aria-hidden": "true" }));
  const numbers = element("tbody");
  const cone = drawn("svg", { class: "st-chart", role: "img" });
  const { node: says, say } = sentence();
  const shape = () => [settings.size, settings.kernel, settings.stride, settings.padding, settings.dilation];
  const outputs = () => outputSize(...shape());
  const layers = () =>
    settings.layers === "document" ? DOCUMENT : new Array(Number(settings.layers)).fill([settings.kernel, settings.stride, settings.dilation]);

  const stage = element("div", { class: "st-over", tabindex: 0, role: "application", "aria-roledescription": "grid of outputs" }, output);
  output.style.cssText = "position:static;pointer-events:none";
  const choose = (row, column) => {
    const limit = (value) => Math.min(outputs() - 1, Math.max(0, value));
    chosen = [limit(row), limit(column)];
    update();
  };
  const follow = (event) => {
    const box = output.getBoundingClientRect();
    const room = output.viewBox.baseVal.width;
    const at = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
    if (outputs()) choose(...at.map((part) => Math.floor(part * room - 0.2)));
  };
  stage.addEventListener("pointerdown", follow);
  stage.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") follow(event); });
  stage.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step || !outputs()) return;
    event.preventDefault();
    choose(chosen[0] + step[0], chosen[1] + step[1]);
  });

  const drawCone = (width = cone.clientWidth) => { if (width) drawStack(cone, width, stack(layers())); };
  const rows = (entries) =>
    numbers.replaceChildren(...entries.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value))));
  const sizes = () => {
    const [padding, chain] = [settings.layers === "document" ? 0 : settings.padding, [settings.size]];
    for (const [kernel, stride, dilation] of layers()) chain.push(outputSize(chain.at(-1), kernel, stride, padding, dilation));
    return chain.join(" → ");
  };
  const update = () => {
    const { size, kernel, stride, padding, dilation } = settings;
    const count = outputs();
    const here = count ? chosen.map((place) => Math.min(count - 1, place)) : null;
    drawInput(input, settings, pixels, side, here);
    drawOutput(output, settings, pixels, side, here, count);
    const idle = pixelsRead(...shape()).filter((read) => !read).length;
    const span = dilation * (kernel - 1) + 1;
    const top = stack(layers()).at(-1);
    rows([
      [dilation > 1 ? "Output side n′ = ⌊(n + 2P − δ(K − 1) − 1) / S⌋ + 1" : "Output side n′ = ⌊(n + 2P − K) / S⌋ + 1", `${count}`],
      ["in numbers", count ? `⌊(${size} + ${2 * padding} − ${span}) / ${stride}⌋ + 1` : `a window of ${span} does not fit into ${size + 2 * padding}`],
      ["Rows (and columns) that no output reads", `${idle} of ${size}`],
      ["Stack: receptive field r, output stride j", `${top.field}, ${top.stride}`],
      ["Stack: sizes", sizes()],
    ]);
    if (here) {
      const [ys, xs] = here.map((place) => cellsRead(place, kernel, stride, padding, dilation));
      const inside = (cells) => cells.filter((cell) => cell >= 0 && cell < size).length;
      const zeros = kernel ** 2 - inside(ys) * inside(xs);
      say(`Output (${here[0] + 1}, ${here[1] + 1}) reads ${kernel ** 2} cells, *${zeros ? `${zeros} of them padding` : "all of them pixels"}*. ${idle ? `Crossed-out pixels are read by no output at all.` : "Every pixel is read by some output."}`, true);
      stage.setAttribute("aria-label", `Outputs, ${count} by ${count}; chosen: row ${here[0] + 1}, column ${here[1] + 1}. Arrow keys move.`);
    } else {
      say(`The window spans *${span} cells*, the padded input only ${size + 2 * padding}: there is no place for it.`);
      stage.setAttribute("aria-label", "Outputs: none");
    }
    drawCone();
  };
  const control = (name, label) =>
    slider({ label, min: limits[name][0], max: limits[name][1], step: 1, value: settings[name], format: String, change: (value) => { settings[name] = value; update(); } }).node;
  const depth = choice({
    legend: "Stack", value: settings.layers, change: (value) => { settings.layers = value; update(); },
    options: [...["1", "2", "3", "4"].map((value) => ({ value, label: value === "1" ? "one layer" : `${value} alike` })), { value: "document", label: "the document's four" }],
  });
  root.append(
    element("div", { class: "st-row" }, control("size", "Input side n"), control("kernel", "Kernel K"), control("stride", "Stride S"), control("padding", "Padding P"), control("dilation", "Dilation δ")),
    element("div", { class: "st-panels" }, panel("Input: what it reads", input), panel("Output: choose a cell", stage)),
    says,
    element("table", { class: "st-figures" }, numbers),
    element("div", { class: "st-row st-below" }, depth.node),
    panel("What one output of the stack sees, along one side (padding left out)", cone),
  );
  update();
  return whenResized(cone, drawCone);
}

export { cellsRead, outputSize, pixelsRead, stack };
export default { render };
