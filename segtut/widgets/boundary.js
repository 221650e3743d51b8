// Section 3.1.1: neurons as lines in a plane of colors, and the pictures they label.

const VOID = 255;
const GAIN = 30; // how steeply a neuron's value rises across its line
const RIDGE = 1e-4;
const INKS = ["var(--st-ink)", "var(--st-second)", "var(--st-accent)", "var(--st-alarm)"];
const WRONG = [158, 22, 104];
const MISSED = [232, 141, 0];

const ACTIVATIONS = {
  sigmoid: { of: (a) => 1 / (1 + Math.exp(-a)), slope: (a, h) => h * (1 - h) },
  relu: { of: (a) => Math.max(0, a) / 10, slope: (a) => (a > 0 ? 0.1 : 0) },
  none: { of: (a) => a / 10, slope: () => 0.1 },
};

// Brightness and blueness of each pixel, both 0 to 1 across the plane.
function planeOf(pixels, low, high) {
  const places = new Float64Array((2 * pixels.length) / 3);
  for (let i = 0; 3 * i < pixels.length; i++) {
    const [r, g, b] = [pixels[3 * i], pixels[3 * i + 1], pixels[3 * i + 2]];
    places[2 * i] = (r + g + b) / 765;
    places[2 * i + 1] = ((b - r) / 255 - low) / (high - low);
  }
  return places;
}

// What a neuron adds up at a place of the plane; positive on the side its arrow points to.
function weighted(line, x, y) {
  return GAIN * ((x - 0.5) * Math.cos(line.angle) + (y - 0.5) * Math.sin(line.angle) - line.offset);
}

// Values of the hidden layer and its sums, (places, lines) each.
function hiddenLayer(lines, activation, places) {
  const [count, size] = [places.length / 2, lines.length];
  const [sums, values] = [new Float64Array(count * size), new Float64Array(count * size)];
  for (let i = 0; i < count; i++)
    for (let k = 0; k < size; k++) {
      const a = weighted(lines[k], places[2 * i], places[2 * i + 1]);
      sums[i * size + k] = a;
      values[i * size + k] = ACTIVATIONS[activation].of(a);
    }
  return { sums, values };
}

// Solve a small symmetric system by elimination with pivots; `matrix` and `right` are used up.
function solve(matrix, right) {
  const size = right.length;
  for (let k = 0; k < size; k++) {
    let best = k;
    for (let i = k + 1; i < size; i++) if (Math.abs(matrix[i][k]) > Math.abs(matrix[best][k])) best = i;
    [matrix[k], matrix[best], right[k], right[best]] = [matrix[best], matrix[k], right[best], right[k]];
    for (let i = k + 1; i < size; i++) {
      const factor = matrix[i][k] / matrix[k][k];
      for (let j = k; j < size; j++) matrix[i][j] -= factor * matrix[k][j];
      right[i] -= factor * right[k];
    }
  }
  for (let k = size - 1; k >= 0; k--) {
    for (let j = k + 1; j < size; j++) right[k] -= matrix[k][j] * right[j];
    right[k] /= matrix[k][k];
  }
  return right;
}

const logistic = (z) => (z > 0 ? z + Math.log1p(Math.exp(-z)) : Math.log1p(Math.exp(z)));

function output(weights, values, row) {
  const size = weights.length - 1;
  let z = weights[size];
  for (let k = 0; k < size; k++) z += weights[k] * values[row * size + k];
  return z;
}

// Mean cross-entropy of the output neuron and a little of its squared weights.
function outputLoss(weights, values, truth) {
  let total = 0;
  for (let i = 0; i < truth.length; i++) {
    const z = output(weights, values, i);
    total += logistic(z) - truth[i] * z;
  }
  return total / truth.length + (RIDGE / 2) * weights.slice(0, -1).reduce((sum, w) => sum + w * w, 0);
}

// Weights and constant of the output neuron, by Newton's method: logistic regression.
function fitOutput(values, truth, start, steps = 25) {
  const size = start.length;
  let weights = [...start];
  let loss = outputLoss(weights, values, truth);
  for (let step = 0; step < steps; step++) {
    const gradient = weights.map((w, k) => (k < size - 1 ? RIDGE * w : 0));
    const hessian = weights.map((_, k) => weights.map((_, j) => (k === j ? (k < size - 1 ? RIDGE : 1e-9) : 0)));
    for (let i = 0; i < truth.length; i++) {
      const p = 1 / (1 + Math.exp(-output(weights, values, i)));
      for (let k = 0; k < size; k++) {
        const h = k < size - 1 ? values[i * (size - 1) + k] : 1;
        gradient[k] += ((p - truth[i]) * h) / truth.length;
        for (let j = 0; j < size; j++)
          hessian[k][j] += (p * (1 - p) * h * (j < size - 1 ? values[i * (size - 1) + j] : 1)) / truth.length;
      }
    }
    const direction = solve(hessian, gradient);
    let [length, next, lower] = [1, weights, loss];
    for (; length > 1e-4; length /= 2) {
      next = weights.map((w, k) => w - length * direction[k]);
      lower = outputLoss(next, values, truth);
      if (lower <= loss) break;
    }
    if (!(lower < loss - 1e-9)) break;
    [weights, loss] = [next, lower];
  }
  return weights;
}

// A lone neuron answers by itself; more of them are combined by the output neuron.
function fit(lines, activation, places, truth, start) {
  if (lines.length === 1) return [1, 0];
  const same = start?.length === lines.length + 1;
  const { values } = hiddenLayer(lines, activation, places);
  return fitOutput(values, truth, same ? start : [...lines.map(() => 0), 0]);
}

function logits(lines, activation, weights, places) {
  const { values } = hiddenLayer(lines, lines.length === 1 ? "none" : activation, places);
  const scale = lines.length === 1 ? [10, 0] : weights; // undoes the activation's tenth
  return Float64Array.from({ length: places.length / 2 }, (_, i) => output(scale, values, i));
}

// The loss's derivatives by each line's angle and offset, the output neuron held still.
function gradient(lines, activation, weights, places, truth) {
  const alone = lines.length === 1;
  const { of, slope } = ACTIVATIONS[activation];
  const slopes = lines.map(() => [0, 0]);
  const all = logits(lines, activation, weights, places);
  for (let i = 0; i < truth.length; i++) {
    const [x, y] = [places[2 * i] - 0.5, places[2 * i + 1] - 0.5];
    const error = (1 / (1 + Math.exp(-all[i])) - truth[i]) / truth.length;
    lines.forEach((line, k) => {
      const a = weighted(line, places[2 * i], places[2 * i + 1]);
      const change = error * GAIN * (alone ? 1 : weights[k] * slope(a, of(a)));
      slopes[k][0] += change * (y * Math.cos(line.angle) - x * Math.sin(line.angle));
      slopes[k][1] -= change;
    });
  }
  return slopes;
}

// Gradient descent (Adam) on angles and offsets, the output neuron fitted anew at each step.
// Returns a function that takes one step and says whether another is due.
function descent(lines, activation, places, truth, total = 160, rate = 0.02) {
  const memory = lines.map(() => [[0, 0], [0, 0]]);
  let [step, weights] = [0, null];
  return () => {
    weights = fit(lines, activation, places, truth, weights);
    const slopes = gradient(lines, activation, weights, places, truth);
    const pace = rate * (1 - step / total);
    step++;
    lines.forEach((line, k) => {
      const [mean, square] = memory[k];
      const change = slopes[k].map((slope, j) => {
        mean[j] = 0.9 * mean[j] + 0.1 * slope;
        square[j] = 0.99 * square[j] + 0.01 * slope * slope;
        return (pace * mean[j]) / (1 - 0.9 ** step) / (Math.sqrt(square[j] / (1 - 0.99 ** step)) + 1e-9);
      });
      line.angle -= 2 * change[0];
      line.offset -= change[1];
      placeLine(line, ...handleOf(line).foot);
    });
    return step < total;
  };
}

// Right, wrong and missed pixels of the class, and its scores; void is left out.
function score(said, labels, label) {
  const found = { hits: 0, wrong: 0, missed: 0, labeled: 0 };
  labels.forEach((truth, i) => {
    if (truth === VOID) return;
    found.labeled++;
    if (said[i] && truth === label) found.hits++;
    else if (said[i]) found.wrong++;
    else if (truth === label) found.missed++;
  });
  const either = found.hits + found.wrong + found.missed;
  return { ...found, iou: found.hits / either, accuracy: 1 - (found.wrong + found.missed) / found.labeled };
}

// The four lines before anybody has moved one; the first asks for more blue than red.
function openingLines(opening, low, high) {
  const line = (degrees, offset, slide = 0) => ({ angle: (degrees * Math.PI) / 180, offset, slide });
  return [line(90, (opening - low) / (high - low) - 0.5, -0.3), line(0, 0.1, -0.25), line(180, -0.4, 0.1), line(45, 0.3)];
}

// A line's handle, and the tip of its arrow, in plane coordinates.
function handleOf({ angle, offset, slide }) {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  const foot = [0.5 + offset * c - slide * s, 0.5 + offset * s + slide * c];
  return { foot, tip: [foot[0] + 0.13 * c, foot[1] + 0.13 * s] };
}

// Keep the handle in sight.
function placeLine(line, x, y) {
  const inside = (value) => Math.min(0.96, Math.max(0.04, value)) - 0.5;
  const [u, v, c, s] = [inside(x), inside(y), Math.cos(line.angle), Math.sin(line.angle)];
  Object.assign(line, { offset: u * c + v * s, slide: v * c - u * s });
}

function paintAnswer(canvas, picture, labels, said, sky, label) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < labels.length; i++) {
    const gray = 0.45 * (0.299 * picture[3 * i] + 0.587 * picture[3 * i + 1] + 0.114 * picture[3 * i + 2]) + 135;
    const there = labels[i] === label;
    let color = [gray, gray, gray];
    if (labels[i] === VOID) color = [247, 244, 238];
    else if (said[i]) color = there ? sky : WRONG;
    else if (there) color = MISSED;
    image.data.set([...color, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

function render({ model, el }) {
  const [height, width, number, label] = ["height", "width", "pictures", "label"].map((name) => model.get(name));
  const [low, high] = [model.get("low"), model.get("high")];
  const [pixels, labels, colors] = ["pixels", "labels", "colors"].map((name) => bytes(model, name));
  const name = model.get("classes")[label];
  const sky = [...colors.slice(3 * label, 3 * label + 3)];
  const places = planeOf(pixels, low, high);
  const labeled = [...labels.keys()].filter((i) => labels[i] !== VOID);
  const every = Math.max(1, Math.round(labeled.length / 1500)) | 1;
  const sampled = labeled.filter((_, k) => k % every === 0);
  const sample = {
    places: Float64Array.from(sampled.flatMap((i) => [places[2 * i], places[2 * i + 1]])),
    truth: Float64Array.from(sampled, (i) => Number(labels[i] === label)),
  };

  let [lines, used, chosen, activation, weights, running] = [[], 1, 0, "sigmoid", null, 0];
  const root = card(el, "Neurons as lines among colors");
  const { node: says, say } = sentence();

  // The plane: dots and the network's region on a canvas, lines above them.
  const dots = element("canvas");
  const overlay = drawn("svg", { viewBox: "0 0 100 100", "aria-hidden": "true" });
  const plane = element("div", { class: "st-over st-paint st-plane", tabindex: 0, role: "application", "aria-roledescription": "plane of colors with movable lines" }, dots, overlay);
  const axis = (text, kind) => element("span", { class: `st-axis-name st-${kind}` }, text);
  const answers = [...Array(number).keys()].map((k) => {
    const [picture, answer] = [0, 1].map(() => element("canvas", { class: "st-crisp", width, height, role: "img" }));
    picture.setAttribute("aria-label", `Street ${k + 1}`);
    const part = { picture: pixels.subarray(3 * k * height * width, 3 * (k + 1) * height * width), labels: labels.subarray(k * height * width, (k + 1) * height * width) };
    const image = picture.getContext("2d").createImageData(width, height);
    for (let i = 0; i < height * width; i++) image.data.set([...part.picture.subarray(3 * i, 3 * i + 3), 255], 4 * i);
    picture.getContext("2d").putImageData(image, 0, 0);
    return { nodes: [picture, answer], answer, ...part };
  });

  const drawDots = (width) => {
    const side = Math.round(width * Math.min(2, window.devicePixelRatio || 1));
    dots.width = dots.height = side;
    const [context, look] = [dots.getContext("2d"), getComputedStyle(root)];
    const cells = 80;
    const edge = (k) => Math.round((k * side) / cells);
    const grid = Float64Array.from({ length: 2 * cells * cells }, (_, i) => ((i % 2 ? Math.floor(i / 2 / cells) : (i >> 1) % cells) + 0.5) / cells);
    context.fillStyle = `rgba(${sky.join(",")},0.38)`;
    logits(lines.slice(0, used), activation, weights, grid).forEach((z, i) => {
      const [column, row] = [i % cells, cells - 1 - Math.floor(i / cells)];
      if (z > 0) context.fillRect(edge(column), edge(row), edge(column + 1) - edge(column), edge(row + 1) - edge(row));
    });
    const unit = side / 320;
    for (const there of [0, 1]) {
      context.fillStyle = there ? `rgb(${sky.join(",")})` : look.getPropertyValue("--st-soft");
      context.globalAlpha = there ? 1 : 0.55;
      context.strokeStyle = look.getPropertyValue("--st-ink");
      context.lineWidth = 0.5 * unit;
      sample.truth.forEach((truth, i) => {
        if (truth !== there || (!there && i % 2)) return;
        const [x, y] = [sample.places[2 * i] * side, (1 - sample.places[2 * i + 1]) * side];
        if (!there) return context.fillRect(x - unit, y - unit, 2 * unit, 2 * unit);
        context.beginPath();
        context.arc(x, y, 2.1 * unit, 0, 7);
        context.fill();
        context.stroke();
      });
    }
    context.globalAlpha = 1;
  };

  const drawLines = () => {
    const parts = lines.slice(0, used).flatMap((line, k) => {
      const { foot, tip } = handleOf(line);
      const [along, across] = [-Math.sin(line.angle), Math.cos(line.angle)];
      const at = ([x, y]) => [100 * x, 100 - 100 * y];
      const [[x1, y1], [x2, y2]] = [-2, 2].map((far) => at([foot[0] + far * along, foot[1] + far * across]));
      const [[cx, cy], [tx, ty]] = [at(foot), at(tip)];
      const ink = INKS[k];
      return [
        drawn("line", { x1, y1, x2, y2, stroke: ink, "stroke-width": k === chosen ? 1.1 : 0.6 }),
        drawn("line", { x1: cx, y1: cy, x2: tx, y2: ty, stroke: ink, "stroke-width": 0.8 }),
        drawn("circle", { cx: tx, cy: ty, r: 1.7, fill: ink }),
        drawn("circle", { cx, cy, r: 3.4, fill: ink, stroke: "var(--st-paper)", "stroke-width": 0.8 }),
        drawn("text", { x: cx, y: cy + 1.6, "text-anchor": "middle", fill: "var(--st-paper)", "font-size": 4.6 }, String(k + 1)),
      ];
    });
    overlay.replaceChildren(...parts);
    const { angle, offset } = lines[chosen];
    plane.setAttribute("aria-label", `Line ${chosen + 1} of ${used}, direction ${degrees(angle)} degrees, position ${offset.toFixed(2)}. Arrow keys move it, Shift and arrow keys turn it, digits choose a line.`);
  };

  const degrees = (angle) => ((Math.round((angle * 180) / Math.PI) % 360) + 360) % 360;
  const tiles = element("dl", { class: "st-tiles st-two" });
  const tile = (title, value) => element("div", {}, element("dt", {}, title), element("dd", {}, value.toFixed(3), element("span", { class: "st-bar", style: `--st-share:${100 * value}%` })));
  const table = element("table", { class: "st-figures" });
  const fillTable = () => {
    const hidden = used > 1;
    const rows = lines.slice(0, used).map(({ angle, offset }, k) => {
      const [x, y] = [(GAIN * Math.cos(angle)) / 3, (GAIN * Math.sin(angle)) / (high - low)];
      const constant = GAIN * (-0.5 * Math.cos(angle) - (0.5 + low / (high - low)) * Math.sin(angle) - offset);
      return [k + 1, ...[x - y, x, x + y, constant, ...(hidden ? [weights[k]] : [])].map((value) => value.toFixed(1))];
    });
    if (hidden) rows.push(["output", "", "", "", weights[used].toFixed(1), ""]);
    const head = ["Neuron", "red", "green", "blue", "bias", ...(hidden ? ["in output"] : [])];
    const header = element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)));
    const body = rows.map(([first, ...rest]) => element("tr", {}, element("th", { scope: "row" }, first), ...rest.map((text) => element("td", {}, text))));
    table.replaceChildren(element("thead", {}, header), element("tbody", {}, ...body));
  };

  const lessons = (found) => {
    const lost = `${count(found.missed)} pixels of ${name} are missed and ${count(found.wrong)} others called ${name}.`;
    if (used === 1) return `*One neuron:* its line is the boundary. ${lost}`;
    if (activation === "none") return `*${used} neurons without activation:* the boundary is one straight line, and moving the lines does not move it. ${lost}`;
    return `*${used} neurons and an output neuron:* the boundary may bend. ${lost}`;
  };

  const update = () => {
    const active = lines.slice(0, used);
    weights = fit(active, activation, sample.places, sample.truth, weights);
    const said = Uint8Array.from(logits(active, activation, weights, places), (z) => z > 0);
    const found = score(said, labels, label);
    answers.forEach((part, k) => {
      const own = said.subarray(k * height * width, (k + 1) * height * width);
      paintAnswer(part.answer, part.picture, part.labels, own, sky, label);
      part.answer.setAttribute("aria-label", `Street ${k + 1} as labeled: IoU ${score(own, part.labels, label).iou.toFixed(2)}`);
    });
    tiles.replaceChildren(tile(`IoU of ${name}`, found.iou), tile("Pixel accuracy", found.accuracy));
    say(lessons(found), true);
    drawDots(plane.clientWidth || 320);
    drawLines();
    fillTable();
    turn.set(degrees(lines[chosen].angle));
    move.set(lines[chosen].offset);
  };

  const stop = () => { cancelAnimationFrame(running); running = 0; };
  const changed = () => { stop(); update(); };
  const turn = slider({ label: "Direction", min: 0, max: 359, step: 1, value: 0, format: (value) => `${value}°`, change: (value) => { lines[chosen].angle = (value * Math.PI) / 180; changed(); } });
  const move = slider({ label: "Position", min: -0.7, max: 0.7, step: 0.01, value: 0, format: (value) => value.toFixed(2), change: (value) => { lines[chosen].offset = value; changed(); } });
  const neurons = choice({ legend: "Neurons", options: [1, 2, 3, 4].map((value) => ({ label: String(value), value })), value: 1, change: (value) => { used = value; choose(value - 1); } });
  const picks = element("div");
  const choose = (k) => {
    chosen = k;
    const options = lines.slice(0, used).map((_, value) => ({ label: `line ${value + 1}`, value }));
    picks.replaceChildren(choice({ legend: "Move", options, value: k, change: (value) => { chosen = value; changed(); } }).node);
    changed();
  };
  const kinds = choice({
    legend: "Activation",
    options: [["sigmoid", "sigmoid"], ["relu", "ReLU"], ["none", "none"]].map(([value, label]) => ({ value, label })),
    value: activation,
    change: (value) => { activation = value; weights = null; changed(); },
  });

  const descend = () => {
    stop();
    const step = descent(lines.slice(0, used), activation, sample.places, sample.truth);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      while (step());
      return update();
    }
    const frame = () => {
      const more = step() && step();
      update();
      running = more ? requestAnimationFrame(frame) : 0;
    };
    frame();
  };

  const restart = () => {
    lines = openingLines(model.get("opening"), low, high);
    used = 1;
    neurons.set(1);
    choose(0);
  };

  // Pointer: the tip of an arrow turns its line, anything else moves the nearest.
  let grip = null;
  const where = (event) => {
    const box = dots.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height];
  };
  const follow = (event) => {
    const [x, y] = where(event);
    const line = lines[chosen];
    if (grip.turns) {
      const { foot } = handleOf(line);
      line.angle = Math.atan2(y - foot[1], x - foot[0]);
      placeLine(line, ...foot);
    } else placeLine(line, x + grip.dx, y + grip.dy);
    changed();
  };
  plane.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const [x, y] = where(event);
    const near = lines.slice(0, used).flatMap((line, k) => {
      const { foot, tip } = handleOf(line);
      const away = Math.abs(weighted(line, x, y)) / GAIN;
      return [
        { k, turns: true, distance: Math.hypot(x - tip[0], y - tip[1]) - 0.02 },
        { k, distance: Math.hypot(x - foot[0], y - foot[1]) - 0.02, dx: foot[0] - x, dy: foot[1] - y },
        { k, distance: away + 0.02, dx: foot[0] - x, dy: foot[1] - y },
      ];
    });
    const best = near.reduce((a, b) => (b.distance < a.distance ? b : a));
    if (best.distance > 0.09) return;
    grip = best;
    plane.setPointerCapture(event.pointerId);
    if (best.k !== chosen) choose(best.k);
  });
  plane.addEventListener("pointermove", (event) => { if (grip && event.buttons & 1) follow(event); });
  for (const end of ["pointerup", "pointercancel"]) plane.addEventListener(end, () => { grip = null; });
  plane.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
    const step = steps[event.key];
    if (step) {
      const [line, { foot }] = [lines[chosen], handleOf(lines[chosen])];
      if (event.shiftKey) {
        line.angle += ((step[1] - step[0]) * Math.PI) / 60;
        placeLine(line, ...foot);
      } else placeLine(line, foot[0] + 0.02 * step[0], foot[1] + 0.02 * step[1]);
      changed();
    } else if (/^[1-4]$/.test(event.key) && Number(event.key) <= used) choose(Number(event.key) - 1);
    else return;
    event.preventDefault();
  });

  const swatch = (text, color) => element("span", {}, element("span", { class: "st-swatch", style: `background:rgb(${color.join(",")})` }), text);
  const key = element("div", { class: "st-legend" }, swatch(`${name}, found`, sky), swatch(`${name}, missed`, MISSED), swatch(`called ${name}, wrong`, WRONG));
  const dotKey = element("div", { class: "st-legend" }, ...[[name, "there"], ["rest", "other"]].map(([text, kind]) => element("span", {}, element("span", { class: `st-point st-${kind}`, style: kind === "there" ? `background:rgb(${sky.join(",")})` : "" }), text)));
  const streets = element("div", { class: "st-answers" }, ...answers.flatMap(({ nodes }) => nodes));
  root.append(
    element("div", { class: "st-row" }, neurons.node, kinds.node),
    element(
      "div",
      { class: "st-panels st-stack" },
      panel("Colors of the pixels", element("div", { class: "st-framed" }, axis("blue minus red", "up"), plane, axis("brightness", "along")), dotKey),
      panel("The streets, and what the network calls " + name, streets, key),
    ),
    tiles,
    says,
    element("div", { class: "st-row" }, picks, turn.node, move.node),
    element("div", { class: "st-row st-tight" }, button("Let gradient descent move the lines", descend), button("Start over", restart)),
    table,
  );
  restart();
  return whenResized(plane, drawDots);
}

export { descent, fit, gradient, logits, planeOf, score };
export default { render };
