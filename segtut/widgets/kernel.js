// Section 3.2.1: nine weights slid over a picture, the sum at the window's place written out.

// One number a pixel, a whole number from 0 to 255: a channel, or all three as gray.
function plane(colors, name) {
  const at = { red: 0, green: 1, blue: 2 }[name];
  return Array.from({ length: colors.length / 3 }, (_, i) =>
    at === undefined
      ? Math.floor((299 * colors[3 * i] + 587 * colors[3 * i + 1] + 114 * colors[3 * i + 2] + 500) / 1000)
      : colors[3 * i + at],
  );
}

// The nine pixels around a place, row by row.
function windowAt(values, width, row, column) {
  const seen = [];
  for (let v = row - 1; v <= row + 1; v++) for (let u = column - 1; u <= column + 1; u++) seen.push(values[v * width + u]);
  return seen;
}

// What a 3x3 kernel makes of a map without padding: (height - 2) x (width - 2) numbers.
function correlate(values, height, width, weights, divisor) {
  const output = new Float64Array((height - 2) * (width - 2));
  for (let row = 1; row < height - 1; row++)
    for (let column = 1; column < width - 1; column++) {
      let total = 0;
      for (let k = 0; k < 9; k++) total += weights[k] * values[(row - 1 + Math.floor(k / 3)) * width + column - 1 + (k % 3)];
      output[(row - 1) * (width - 2) + column - 1] = total / divisor;
    }
  return output;
}

const total = (values) => values.reduce((sum, value) => sum + value, 0);
const signed = (value) => String(Number(value.toFixed(2))).replace("-", "−");

// How outputs become shades. Weights that add up to 0 give values around 0, drawn as middle gray.
function shading(weights, output) {
  const around = Math.abs(total(weights)) < 1e-9 && weights.some((weight) => weight !== 0);
  if (!around) return { shade: (value) => value, text: "0 is black, 255 is white" };
  const largest = output.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  return { shade: (value) => 127.5 + (127.5 * value) / largest, text: "0 is middle gray" };
}

function paintShades(canvas, values, height, width, shade) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  values.forEach((value, i) => {
    pixels.data.fill(Math.min(255, Math.max(0, Math.round(shade(value)))), 4 * i, 4 * i + 3);
    pixels.data[4 * i + 3] = 255;
  });
  context.putImageData(pixels, 0, 0);
}

// A square over a picture, white in black so that it shows on everything.
function marker(height, width) {
  const squares = ["#000", "#fff"].map((stroke, i) =>
    drawn("rect", { fill: "none", stroke, "stroke-width": 4.5 - 2.5 * i, "vector-effect": "non-scaling-stroke" }),
  );
  const node = drawn("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, ...squares);
  const put = (row, column, size) =>
    squares.forEach((square) => fill(square, { x: column, y: row, width: size, height: size }, []));
  return { node, put };
}

function cells(title, nodes) {
  return element("div", { class: "st-nine" }, element("span", { class: "st-title" }, title), element("div", {}, ...nodes));
}

const sign = (text) => element("span", { class: "st-sign", "aria-hidden": "true" }, text);

function lesson(weights, divisor) {
  const sum = total(weights) / divisor;
  if (weights.every((weight) => weight === 0)) return "All weights are 0, and so is every output.";
  if (Math.abs(sum) < 1e-9) return "The weights add up to 0: where all nine pixels are alike the output is 0, and only differences remain.";
  if (Math.abs(sum - 1) < 1e-9) return "The weights add up to 1: where all nine pixels are alike the output is that same value.";
  return `The weights add up to ${signed(sum)}: where all nine pixels are alike the output is ${signed(sum)} times their value.`;
}

function render({ model, el }) {
  const [height, width] = [model.get("height"), model.get("width")];
  const colors = bytes(model, "pixels");
  const kernels = new Map(model.get("kernels").map(([name, ...rest]) => [name, rest]));
  let [row, column] = model.get("place");
  let values = plane(colors, "gray");
  const root = card(el, "A kernel slid over a picture");

  const inputs = Array.from({ length: 9 }, (_, k) =>
    element("input", {
      type: "number", step: "1", inputmode: "text",
      "aria-label": `Weight in row ${Math.floor(k / 3) + 1}, column ${(k % 3) + 1}`,
      oninput: () => { presets.set("own"); update(); },
    }),
  );
  const divisorInput = element("input", { type: "number", step: "1", oninput: () => { presets.set("own"); update(); } });
  const weights = () => inputs.map((input) => Number(input.value) || 0);
  const divisor = () => Number(divisorInput.value) || 1; // an empty field divides by nothing
  const load = (numbers, by) => {
    inputs.forEach((input, k) => { input.value = numbers[k]; });
    divisorInput.value = by;
  };
  const presets = choice({
    legend: "Kernel",
    options: [...kernels.keys()].map((name) => ({ label: name, value: name })),
    value: model.get("kernel"),
    change: (name) => { load(...kernels.get(name)); update(); },
  });
  const turn = button("turn by 180°", () => { presets.set("own"); load(weights().reverse(), divisorInput.value); update(); });
  const channels = choice({
    legend: "Picture as",
    options: ["gray", "red", "green", "blue"].map((name) => ({ label: name, value: name })),
    value: "gray",
    change: (name) => { values = plane(colors, name); update(); },
  });

  const [source, target] = [0, 1].map(() => element("canvas", { class: "st-crisp" }));
  const [sourceMark, targetMark] = [marker(height, width), marker(height, width)];
  const stage = (canvas, mark, name) => {
    const node = element(
      "div", { class: "st-over st-paint", tabindex: 0, role: "application", "aria-roledescription": "picture with a movable window" },
      element("div", { class: "st-frame" }, canvas), mark.node,
    );
    const go = (y, x) => {
      row = Math.min(height - 2, Math.max(1, y));
      column = Math.min(width - 2, Math.max(1, x));
      move();
    };
    const follow = (event) => {
      const box = node.getBoundingClientRect();
      go(Math.floor(((event.clientY - box.top) / box.height) * height), Math.floor(((event.clientX - box.left) / box.width) * width));
    };
    whenDragged(node, follow);
    node.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      const far = event.shiftKey ? 8 : 1;
      go(row + far * step[0], column + far * step[1]);
    });
    return { node, name };
  };
  const stages = [stage(source, sourceMark, "Picture"), stage(target, targetMark, "Output")];

  const [seenCells, productCells] = [0, 1].map(() => Array.from({ length: 9 }, () => element("span")));
  const sum = element("p", { class: "st-sum" });
  const { node: says, say } = sentence();
  const outputTitle = element("span");
  let output;

  // What depends on the window's place alone.
  const move = () => {
    const [seen, numbers, by] = [windowAt(values, width, row, column), weights(), divisor()];
    const products = seen.map((value, k) => value * numbers[k]);
    seen.forEach((value, k) => {
      seenCells[k].textContent = value;
      seenCells[k].style.cssText = `background:rgb(${value},${value},${value});color:${value < 118 ? "#fff" : "#000"}`;
      productCells[k].textContent = signed(products[k]);
    });
    const added = total(products);
    const terms = products.map((value, k) => (k ? (value < 0 ? " − " : " + ") + signed(Math.abs(value)) : signed(value))).join("");
    const divided = by === 1 ? "" : ` ÷ ${signed(by)} = ${signed(added / by)}`;
    sum.replaceChildren(`${terms} = `, element("strong", {}, signed(added) + divided));
    sourceMark.put(row - 1, column - 1, 3);
    targetMark.put(row, column, 1);
    for (const { node, name } of stages)
      node.setAttribute("aria-label", `${name}, window around row ${row + 1} of ${height}, column ${column + 1} of ${width}. Arrow keys move it, with Shift by eight.`);
    say(`Output at row ${row}, column ${column}: *${signed(output[(row - 1) * (width - 2) + column - 1])}*. ${lesson(numbers, by)}`, true);
  };
  const update = () => {
    const [numbers, by] = [weights(), divisor()];
    output = correlate(values, height, width, numbers, by);
    const { shade, text } = shading(numbers, output);
    paintShades(source, values, height, width, (value) => value);
    paintShades(target, output, height - 2, width - 2, shade);
    outputTitle.textContent = `Output, ${height - 2} × ${width - 2}: ${text}`;
    move();
  };

  // A rim of one pixel, where the window has no place.
  target.style.cssText = `width:${(100 * (width - 2)) / width}%;margin:0 ${100 / width}%`;
  stages[1].node.firstChild.style.padding = `${100 / width}% 0`;
  root.append(
    element("div", { class: "st-row" }, presets.node, turn),
    element("div", { class: "st-row" }, channels.node),
    element(
      "div", { class: "st-panels st-stack st-pictures" },
      panel(`Picture, ${height} × ${width}: drag, or use the arrow keys`, stages[0].node),
      element("div", { class: "st-panel" }, element("span", { class: "st-title" }, outputTitle), stages[1].node),
    ),
    element(
      "div", { class: "st-equation" },
      cells("pixels in the window", seenCells),
      element("div", { class: "st-term" }, sign("×"), cells("kernel: change it", inputs)),
      element("div", { class: "st-term" }, sign("="), cells("products", productCells)),
      element("label", { class: "st-divide" }, "sum divided by ", divisorInput),
    ),
    sum,
    says,
  );
  load(...kernels.get(model.get("kernel")));
  update();
}

export { correlate, plane };
export default { render };
