// Section 3.4.1: a generator and a discriminator of points in the plane, trained in the page.

const REACH = 1.6; // the plane is shown from -REACH to REACH
const JUDGED = 2500; // generated points that a count looks at
const LEAST_SHARE = 0.01; // of them must lie in a part of the set for it to count as covered
const SHOWN = 500;
const AT_ONCE = 300; // steps that Play takes where nothing may move
const FIELD = 48; // cells a side of the discriminator's shading

const sigmoid = (a) => 1 / (1 + Math.exp(-a));
const softplus = (a) => (a > 0 ? a + Math.log1p(Math.exp(-a)) : Math.log1p(Math.exp(a)));

// Layers of neurons. `parameters` holds of each layer its weights (out, in), then its biases.
function makeNetwork(sizes, slope, parameters) {
  let length = 0;
  const starts = sizes.slice(1).map((to, l) => {
    const start = length;
    length += to * (sizes[l] + 1);
    return start;
  });
  return { sizes, slope, starts, parameters: Float64Array.from(parameters ?? new Float64Array(length)) };
}

// As torch.nn.Linear begins: uniform within one over the root of the number of inputs.
function initialize({ sizes, starts, parameters }, random) {
  starts.forEach((start, l) => {
    const bound = 1 / Math.sqrt(sizes[l]);
    for (let i = start; i < (starts[l + 1] ?? parameters.length); i++) parameters[i] = bound * (2 * random() - 1);
  });
}

// The values of all layers for n inputs, the inputs themselves first.
function forward({ sizes, slope, starts, parameters }, inputs, n) {
  const values = [inputs];
  starts.forEach((start, l) => {
    const [from, to, last] = [sizes[l], sizes[l + 1], l === starts.length - 1];
    const [before, after] = [values[l], new Float64Array(n * to)];
    for (let i = 0; i < n; i++)
      for (let k = 0; k < to; k++) {
        let sum = parameters[start + from * to + k];
        const row = start + k * from;
        for (let j = 0; j < from; j++) sum += parameters[row + j] * before[i * from + j];
        after[i * to + k] = last || sum > 0 ? sum : slope * sum;
      }
    values.push(after);
  });
  return values;
}

// From the slopes by the outputs to those by the inputs; `gradient`, if given, gathers those by the
// parameters. `signals` are the slopes by the weighted sums of each layer.
function backward({ sizes, slope, starts, parameters }, values, n, byOutputs, gradient = null) {
  const signals = [];
  let flow = byOutputs;
  for (let l = starts.length - 1; l >= 0; l--) {
    const [from, to, last, start] = [sizes[l], sizes[l + 1], l === starts.length - 1, starts[l]];
    const [signal, next] = [new Float64Array(n * to), new Float64Array(n * from)];
    for (let i = 0; i < n; i++)
      for (let k = 0; k < to; k++) {
        const at = i * to + k;
        const g = last || values[l + 1][at] > 0 ? flow[at] : slope * flow[at];
        if (g === 0) continue;
        signal[at] = g;
        const row = start + k * from;
        for (let j = 0; j < from; j++) next[i * from + j] += g * parameters[row + j];
        if (!gradient) continue;
        for (let j = 0; j < from; j++) gradient[row + j] += g * values[l][i * from + j];
        gradient[start + from * to + k] += g;
      }
    signals[l] = signal;
    flow = next;
  }
  return { byInputs: flow, signals };
}

// R1: half of `strength` times the mean squared slope of the score by its input. Adds its gradient.
// With piecewise linear neurons the score is linear around each point, a product of the layers'
// weights; so the slope of the penalty by a weight is (slope by its sum) x (the slope, sent forward).
function penalize(network, values, n, strength, gradient) {
  const { sizes, slope, starts, parameters } = network;
  const { byInputs, signals } = backward(network, values, n, new Float64Array(n).fill(1));
  let [sent, total] = [byInputs.map((value) => (strength * value) / n), 0];
  byInputs.forEach((value) => { total += value * value; });
  starts.forEach((start, l) => {
    const [from, to] = [sizes[l], sizes[l + 1]];
    const next = new Float64Array(n * to);
    for (let i = 0; i < n; i++)
      for (let k = 0; k < to; k++) {
        const [at, row] = [i * to + k, start + k * from];
        let sum = 0;
        for (let j = 0; j < from; j++) {
          gradient[row + j] += signals[l][at] * sent[i * from + j];
          sum += parameters[row + j] * sent[i * from + j];
        }
        next[at] = values[l + 1][at] > 0 ? sum : slope * sum;
      }
    sent = next;
  });
  return (strength * total) / (2 * n);
}

// As torch.optim.Adam, without weight decay.
function makeAdam({ parameters }, [first, second]) {
  const [mean, square] = [new Float64Array(parameters.length), new Float64Array(parameters.length)];
  let steps = 0;
  return (gradient, rate) => {
    steps++;
    const [c, d] = [1 - first ** steps, Math.sqrt(1 - second ** steps)];
    for (let i = 0; i < parameters.length; i++) {
      mean[i] = first * mean[i] + (1 - first) * gradient[i];
      square[i] = second * square[i] + (1 - second) * gradient[i] * gradient[i];
      parameters[i] -= ((rate / c) * mean[i]) / (Math.sqrt(square[i]) / d + 1e-8);
    }
  };
}

function makePlayers({ generator, discriminator, slope, betas }, parameters = {}) {
  const G = makeNetwork(generator, slope, parameters.generator);
  const D = makeNetwork(discriminator, slope, parameters.discriminator);
  return { G, D, improveG: makeAdam(G, betas), improveD: makeAdam(D, betas) };
}

// The generator's loss for a score, and its slope by the score.
const GENERATOR_LOSSES = {
  minimax: (a) => [-softplus(a), -sigmoid(a)], // ln(1 - D)
  non_saturating: (a) => [softplus(-a), sigmoid(a) - 1], // -ln D
};

// One step of the discriminator: real points are to get high scores, generated ones low ones.
function teachDiscriminator({ G, D, improveD }, real, noise, { discriminatorRate, r1 }) {
  const n = real.length / 2;
  const gradient = new Float64Array(D.parameters.length);
  let loss = 0;
  const judge = (points, sign) => {
    const values = forward(D, points, n);
    const slopes = values.at(-1).map((a) => { loss += softplus(-sign * a) / n; return (-sign * sigmoid(-sign * a)) / n; });
    backward(D, values, n, slopes, gradient);
    return values;
  };
  const values = judge(real, 1);
  if (r1 > 0) loss += penalize(D, values, n, r1, gradient);
  judge(forward(G, noise, n).at(-1), -1);
  improveD(gradient, discriminatorRate);
  return loss;
}

// One step of the generator, through the discriminator, which stays as it is.
function teachGenerator({ G, D, improveG }, noise, { loss, generatorRate }) {
  const n = noise.length / G.sizes[0];
  const made = forward(G, noise, n);
  const judged = forward(D, made.at(-1), n);
  const both = Array.from(judged.at(-1), (a) => GENERATOR_LOSSES[loss](a));
  const slopes = Float64Array.from(both, ([, slope]) => slope / n);
  const gradient = new Float64Array(G.parameters.length);
  backward(G, made, n, backward(D, judged, n, slopes).byInputs, gradient);
  improveG(gradient, generatorRate);
  return both.reduce((sum, [value]) => sum + value / n, 0);
}

// Some steps of the discriminator, each on a new batch, then one of the generator.
function playRound(players, draw, settings) {
  let critical = 0;
  for (let k = 0; k < settings.discriminatorSteps; k++) critical = teachDiscriminator(players, draw.real(), draw.noise(), settings);
  return { discriminator: critical, generator: teachGenerator(players, draw.noise(), settings) };
}

// Rounds on given batches from given weights, in the order in which `playRound` asks for them.
function replay(network, parameters, reals, noises, rounds, settings) {
  const players = makePlayers(network, parameters);
  const [real, noise] = [reals, noises].map((lists) => lists.map((list) => Float64Array.from(list)));
  const draw = { real: () => real.shift(), noise: () => noise.shift() };
  const losses = Array.from({ length: rounds }, () => playRound(players, draw, settings));
  return { losses, generator: players.G.parameters, discriminator: players.D.parameters };
}

// How many points lie within three standard deviations of an anchor, and in which parts of the set.
function coverage({ anchors, pieces, std }, points) {
  const hits = new Array(Math.max(...pieces) + 1).fill(0);
  const n = points.length / 2;
  for (let i = 0; i < n; i++) {
    let [best, nearest] = [Infinity, 0];
    for (let k = 0; k < anchors.length; k++) {
      const distance = (points[2 * i] - anchors[k][0]) ** 2 + (points[2 * i + 1] - anchors[k][1]) ** 2;
      if (distance < best) [best, nearest] = [distance, k];
    }
    if (best <= 9 * std * std) hits[pieces[nearest]]++;
  }
  const covered = hits.filter((count) => count >= LEAST_SHARE * n).length;
  return { hits, covered, pieces: hits.length, near: hits.reduce((sum, count) => sum + count, 0) / n };
}

// Batches of real points and of noise, all from one seed.
function makeDraw({ anchors, std }, batch, noiseSize, seed) {
  const [random, normal] = [makeRandom(2 * seed + 1), makeNormal(2 * seed + 2)];
  const points = (n) => {
    const found = new Float64Array(2 * n);
    for (let i = 0; i < n; i++) {
      const [x, y] = anchors[Math.floor(random() * anchors.length)];
      found[2 * i] = x + std * normal();
      found[2 * i + 1] = y + std * normal();
    }
    return found;
  };
  const noise = (n) => Float64Array.from({ length: n * noiseSize }, normal);
  return { points, real: () => points(batch), noise: (n = batch) => noise(n) };
}

const channels = (color) => [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));

// Shading: how sure the discriminator is. Crosses are real, dots generated, strokes where a step
// wants to move a dot.
function drawPlane(canvas, look, { D, real, made, pushes }) {
  const side = canvas.width;
  const context = canvas.getContext("2d");
  const [realColor, madeColor, ink] = ["--st-accent", "--st-second", "--st-ink"].map((name) => look.getPropertyValue(name).trim());
  const place = (x, y) => [((x / REACH + 1) / 2) * side, ((1 - y / REACH) / 2) * side];
  context.clearRect(0, 0, side, side);
  const cells = Float64Array.from({ length: 2 * FIELD * FIELD }, (_, i) => {
    const cell = i >> 1;
    return i % 2 ? REACH * (1 - (2 * (Math.floor(cell / FIELD) + 0.5)) / FIELD) : REACH * ((2 * ((cell % FIELD) + 0.5)) / FIELD - 1);
  });
  const small = element("canvas", { width: FIELD, height: FIELD });
  const shading = small.getContext("2d").createImageData(FIELD, FIELD);
  const tints = [madeColor, realColor].map(channels);
  forward(D, cells, FIELD * FIELD).at(-1).forEach((a, i) => {
    const sure = 2 * sigmoid(a) - 1;
    shading.data.set([...tints[sure > 0 ? 1 : 0], 110 * Math.abs(sure)], 4 * i);
  });
  small.getContext("2d").putImageData(shading, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, side, side);
  const unit = side / 400;
  context.lineWidth = 1.1 * unit;
  context.strokeStyle = realColor;
  context.globalAlpha = 0.75;
  context.beginPath();
  for (let i = 0; i < real.length; i += 2) {
    const [x, y] = place(real[i], real[i + 1]);
    context.moveTo(x - 2.6 * unit, y);
    context.lineTo(x + 2.6 * unit, y);
    context.moveTo(x, y - 2.6 * unit);
    context.lineTo(x, y + 2.6 * unit);
  }
  context.stroke();
  context.fillStyle = madeColor;
  context.globalAlpha = 0.8;
  for (let i = 0; i < made.length; i += 2) {
    const [x, y] = place(made[i], made[i + 1]);
    context.beginPath();
    context.arc(x, y, 2.1 * unit, 0, 7);
    context.fill();
  }
  context.globalAlpha = 1;
  context.strokeStyle = ink;
  context.lineWidth = 1.4 * unit;
  context.beginPath();
  pushes.forEach(([x, y, dx, dy]) => {
    context.moveTo(...place(x, y));
    context.lineTo(...place(x + dx, y + dy));
  });
  context.stroke();
}

// Where a step would move some generated points: against the slope of the generator's loss.
function pushesOf({ D }, made, loss, number = 40) {
  const judged = forward(D, made.subarray(0, 2 * number), number);
  const slopes = judged.at(-1).map((a) => GENERATOR_LOSSES[loss](a)[1]);
  const { byInputs } = backward(D, judged, number, slopes);
  return Array.from({ length: number }, (_, i) => {
    const [dx, dy] = [-0.12 * byInputs[2 * i], -0.12 * byInputs[2 * i + 1]];
    const limit = Math.min(1, 0.5 / (Math.hypot(dx, dy) || 1));
    return [made[2 * i], made[2 * i + 1], dx * limit, dy * limit];
  });
}

const share = (value) => `${Math.round(100 * value)}\u00a0%`;
const LOSSES = [{ value: "minimax", label: "minimax" }, { value: "non_saturating", label: "non-saturating" }];

// How sure the discriminator is, on average, that points are real.
const belief = (D, points) => forward(D, points, points.length / 2).at(-1).reduce((sum, a) => sum + sigmoid(a), 0) / (points.length / 2);

// The root of the mean squared distance of points to their middle.
function spread(points) {
  const n = points.length / 2;
  const [sums, squares] = [[0, 0], [0, 0]];
  points.forEach((value, i) => { sums[i % 2] += value / n; squares[i % 2] += (value * value) / n; });
  return Math.sqrt(Math.max(0, squares[0] - sums[0] ** 2 + squares[1] - sums[1] ** 2));
}

function verdict(step, { covered, pieces, near }, { onReal, onMade, heap }, gaussians) {
  const parts = gaussians ? "Gaussians" : "parts of the spiral";
  const found = `Step ${count(step)}: *${covered} of ${pieces}* ${parts} covered, ${share(near)} of the generated points in place. `;
  if (step === 0) return found + "The generator does not know the crosses; it will only ever be told how its own points were judged.";
  if (covered === pieces && near > 0.7) return found + "All are there.";
  if (heap < 0.4 && onMade > 0.3 && step > 100) return found + "They form one heap: *mode collapse*. Step on, and see whether it stays.";
  if (onReal > 0.9 && onMade < 0.1) return found + "The discriminator is sure of everything: look at how long or short the strokes are.";
  if (near > 0.5 && covered < pieces) return found + "What is made is good, and much is missing: *mode collapse*.";
  return found + `The discriminator gives real points ${share(onReal)} and generated ones ${share(onMade)}.`;
}

function render({ model, el }) {
  const [sets, opening, limits, network] = ["sets", "opening", "limits", "network"].map((name) => model.get(name));
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const settings = { ...opening };
  const root = card(el, "A GAN on points of the plane, trained here");
  const { node: says, say } = sentence();
  const canvas = element("canvas", { role: "img" });
  const arena = element("div", { class: "st-arena" }, canvas);
  let [players, draw, real, looking, step, history, running] = [null, null, null, null, 0, [], 0];
  let stopCurve = () => {};
  const curve = element("div");
  const chosen = () => sets.find((one) => one.name === settings.data);

  const names = ["Step", "Covered", "In place", "D on real, generated"];
  const values = names.map(() => element("dd"));
  const tiles = element("dl", { class: "st-tiles st-four" }, ...names.map((name, i) => element("div", {}, element("dt", {}, name), values[i])));

  const paint = () => {
    const width = arena.clientWidth || 320;
    const side = Math.round(width * Math.min(2, window.devicePixelRatio || 1));
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const made = forward(players.G, looking.subarray(0, SHOWN * network.generator[0]), SHOWN).at(-1);
    drawPlane(canvas, getComputedStyle(root), { D: players.D, real, made, pushes: pushesOf(players, made, settings.loss) });
    return made;
  };
  const judge = () => {
    const made = forward(players.G, looking, JUDGED).at(-1);
    const found = coverage(chosen(), made);
    const beliefs = { onReal: belief(players.D, real), onMade: belief(players.D, made.subarray(0, 2 * SHOWN)), heap: spread(made) / spread(real) };
    if (history.at(-1)?.step !== step) history.push({ step, ...found });
    if (history.length > 400) history = history.filter((_, i) => i % 2 === 0 || i === history.length - 1);
    const shown = [count(step), `${found.covered} of ${found.pieces}`, share(found.near), `${share(beliefs.onReal)}, ${share(beliefs.onMade)}`];
    shown.forEach((text, i) => { values[i].textContent = text; });
    canvas.setAttribute("aria-label", `Real points as crosses, generated points as dots: ${found.covered} of ${found.pieces} parts covered, ${share(found.near)} of the dots in place`);
    stopCurve();
    const until = Math.max(100, step);
    const line = (pick) => ({ xs: history.map((one) => one.step), ys: history.map(pick) });
    const lines = chart({
      name: `Parts covered, of ${found.pieces}, over the steps`, xTitle: "step", yTitle: "parts covered", height: 130, until,
      low: 0, high: found.pieces, format: String, lines: [line((one) => one.covered)],
    });
    stopCurve = lines.stop;
    curve.replaceChildren(lines.node);
    lines.mark(step);
    return [found, beliefs];
  };
  const show = () => {
    paint();
    const [found, beliefs] = judge();
    const fine = found.covered === found.pieces || step === 0;
    say(verdict(step, found, beliefs, settings.data !== "spiral"), fine);
  };
  const forwardBy = (rounds) => {
    for (let k = 0; k < rounds; k++) playRound(players, draw, settings);
    step += rounds;
  };
  const halt = () => {
    cancelAnimationFrame(running);
    running = 0;
    play.textContent = "Play";
  };
  const restart = () => {
    halt();
    [step, history] = [0, []];
    players = makePlayers(network);
    const random = makeRandom(1000 + settings.seed);
    initialize(players.G, random);
    initialize(players.D, random);
    draw = makeDraw(chosen(), network.batch, network.generator[0], settings.seed);
    const aside = makeDraw(chosen(), network.batch, network.generator[0], 500 + settings.seed);
    real = aside.points(300);
    looking = aside.noise(JUDGED);
    show();
  };
  let frames = 0;
  const frame = () => {
    const until = performance.now() + 10;
    do forwardBy(1); while (performance.now() < until);
    paint();
    if (++frames % 8 === 0) judge();
    running = requestAnimationFrame(frame);
  };
  const play = button("Play", () => {
    if (running) {
      halt();
      return show();
    }
    if (calm) {
      forwardBy(AT_ONCE);
      return show();
    }
    play.textContent = "Pause";
    say("Training.", true);
    running = requestAnimationFrame(frame);
  });
  play.classList.add("st-main");
  const steady = () => { if (!running) show(); };

  const kinds = choice({ legend: "To imitate", options: sets.map(({ name, label }) => ({ value: name, label })), value: settings.data, change: (value) => { settings.data = value; restart(); } });
  const losses = choice({ legend: "Generator's loss", options: LOSSES, value: settings.loss, change: (value) => { settings.loss = value; steady(); } });
  const rate = (name, label) =>
    slider({
      label, min: Math.log10(limits.rates[0]), max: Math.log10(limits.rates[1]), step: 0.01, value: Math.log10(settings[name]),
      format: (power) => String(Number((10 ** power).toPrecision(2))), change: (power) => { settings[name] = 10 ** power; },
    });
  const often = slider({
    label: "Steps of D", min: 1, max: limits.steps, step: 1, value: settings.discriminatorSteps,
    format: String, change: (value) => { settings.discriminatorSteps = value; },
  });
  const penalty = slider({
    label: "R1 penalty", min: 0, max: limits.r1.length - 1, step: 1, value: limits.r1.indexOf(settings.r1),
    format: (index) => (index ? String(limits.r1[index]) : "off"), change: (index) => { settings.r1 = limits.r1[index]; },
  });
  const mark = (shape) => drawn("svg", { class: "st-mark", viewBox: "0 0 10 10", "aria-hidden": "true" }, shape);
  const entry = (shape, text) => element("span", {}, mark(shape), text);
  const key = element(
    "div", { class: "st-legend" },
    entry(drawn("path", { d: "M1 5h8M5 1v8", style: "stroke:var(--st-accent);stroke-width:1.6" }), "real"),
    entry(drawn("circle", { cx: 5, cy: 5, r: 3.4, style: "fill:var(--st-second)" }), "generated"),
    entry(drawn("path", { d: "M1 8L9 2", style: "stroke:var(--st-ink);stroke-width:1.6" }), "the push on it"),
    entry(drawn("rect", { width: 10, height: 10, style: "fill:var(--st-accent);opacity:.43" }), "D says real"),
    entry(drawn("rect", { width: 10, height: 10, style: "fill:var(--st-second);opacity:.43" }), "D says generated"),
  );
  root.append(
    element("div", { class: "st-row" }, kinds.node, losses.node),
    element("div", { class: "st-row" }, rate("generatorRate", "Rate of G").node, rate("discriminatorRate", "Rate of D").node, often.node, penalty.node),
    element(
      "div", { class: "st-row st-tight" }, play, button("Step", () => { halt(); forwardBy(1); show(); }), button("Start over", restart),
      button("Another start", () => { settings.seed++; restart(); }),
    ),
    element("div", { class: "st-panels st-stack" }, element("div", {}, arena, key), element("div", {}, tiles, curve, says)),
  );
  restart();
  const stopPainting = whenResized(arena, () => { if (!running) paint(); });
  return () => { halt(); stopCurve(); stopPainting(); };
}

export { coverage, replay };
export default { render };
