// Section 5.3: weather on a slider, a network that labels the street, and when it is silent.

const VOID = 255;
const PROMISE = 0.05;
const [VEIL, WRONG, RIGHT, SILENT] = [[214, 217, 222], [197, 48, 15], [208, 212, 220], [[250, 250, 250], [150, 150, 158]]];

// The pixels (H, W, 3), 0-255, as the network is shown them: veiled, then lit, then noisy.
function disturbed(pixels, { fog, light, noise }, grain) {
  return Uint8ClampedArray.from(pixels, (value, i) => light * ((1 - fog) * value + fog * VEIL[i % 3]) + noise * grain[i]);
}

// (H, W, 3), 0-255, to (3, H, W), 0-1: what the network takes.
function toNetwork(pixels) {
  const places = pixels.length / 3;
  return Float32Array.from(pixels, (_, i) => pixels[3 * (i % places) + Math.floor(i / places)] / 255);
}

// The likeliest class of each pixel, and its probability.
function judged(logits, classes, places) {
  const [said, confidence] = [new Uint8Array(places), new Float32Array(places)];
  for (let i = 0; i < places; i++) {
    for (let c = 1; c < classes; c++) if (logits[c * places + i] > logits[said[i] * places + i]) said[i] = c;
    let sum = 0;
    for (let c = 0; c < classes; c++) sum += Math.exp(logits[c * places + i] - logits[said[i] * places + i]);
    confidence[i] = 1 / sum;
  }
  return { said, confidence };
}

// Confidences of the labeled pixels, the surest first, and how many of the first k + 1 are wrong.
function ranked({ said, confidence }, truth) {
  const order = [...truth.keys()].filter((i) => truth[i] !== VOID).sort((a, b) => confidence[b] - confidence[a]);
  let sum = 0;
  return { sure: order.map((i) => confidence[i]), wrong: order.map((i) => (sum += said[i] === truth[i] ? 0 : 1)) };
}

// What is left with a threshold: share of the labels given, share of wrong ones among them, and
// the share that the network itself expects to be wrong; null where none is given.
function selected({ sure, wrong }, threshold) {
  let given = sure.findIndex((value) => value < threshold);
  if (given < 0) given = sure.length;
  const expected = sure.slice(0, given).reduce((sum, value) => sum + 1 - value, 0);
  return { coverage: given / sure.length, risk: given ? wrong[given - 1] / given : null, expected: given ? expected / given : null };
}

// The error among the surest k % of the labels, in percent, for k = 1 to 100.
function riskCurve({ sure, wrong }) {
  return Array.from({ length: 100 }, (_, k) => {
    const given = Math.max(1, Math.round(((k + 1) / 100) * sure.length));
    return (100 * wrong[given - 1]) / given;
  });
}

// The lowest threshold, in whole percent, that leaves at most this share of wrong labels.
function promised(ranks, limit) {
  for (let percent = 0; percent < 100; percent++) {
    const { risk } = selected(ranks, percent / 100);
    if (risk === null || risk <= limit) return percent;
  }
  return 99;
}

const percent = (value) => (value === null ? "none" : `${(100 * value).toFixed(1)}\u00a0%`);

function render({ model, el }) {
  const [height, width, names] = [model.get("height"), model.get("width"), model.get("names")];
  const [classes, colors] = [model.get("classes"), bytes(model, "colors")];
  const places = height * width;
  const of = (name, size, k) => bytes(model, name).subarray(size * k, size * (k + 1));
  const halves = new Uint16Array(bytes(model, "weights").slice().buffer);
  const networks = [];
  const network = (k) => (networks[k] ??= startNetwork(model.get("programs")[k], halves));
  const grain = Float32Array.from({ length: 3 * places }, makeNormal(1));
  const settings = { fog: 0, light: 1, noise: 0 };
  let [street, statistics, threshold, view, answer, reference] = [0, 0, 0, "confidence", null, null];

  const root = card(el, "A network in other weather");
  const { node: says, say } = sentence();
  const canvases = ["Street", "Labels", "Confidence"].map((name) => element("canvas", { class: "st-crisp", role: "img", "aria-label": name }));
  const numbers = numberTiles(["Labels given", "Wrong among them", "Wrong, it expects", "Wrong without silence"]);
  const grid = Array.from({ length: 100 }, (_, k) => k + 1);
  const lines = [{ xs: grid, ys: grid.map(() => 0) }, { xs: grid, ys: grid.map(() => 0), other: true }];
  const curve = chart({
    name: "Wrong labels among those given, against the share of labels given", xTitle: "labels given, the surest first (%)", yTitle: "wrong among them (%)",
    lines, until: 100, low: 0, high: 60, format: (value) => `${value}`, height: 170,
  });
  const thirdTitle = element("span", { class: "st-title" });

  const seen = () => disturbed(of("pictures", 3 * places, street), settings, grain);
  const silent = (i) => answer.confidence[i] < threshold;
  const hatch = (i) => SILENT[(Math.floor(i / width) + (i % width)) % 4 < 2 ? 0 : 1];
  const classOf = (label) => colors.subarray(3 * label, 3 * label + 3);
  const VIEWS = {
    confidence: (i) => new Array(3).fill(255 * answer.confidence[i]),
    mistakes: (i) => {
      const truth = answer.truth[i];
      return truth === VOID ? classOf(VOID) : silent(i) ? hatch(i) : truth === answer.said[i] ? RIGHT : WRONG;
    },
  };
  const show = () => {
    if (!answer) return;
    paintPixels(canvases[1], height, width, (i) => (silent(i) ? hatch(i) : classOf(answer.said[i])));
    paintPixels(canvases[2], height, width, VIEWS[view]);
    thirdTitle.textContent = view === "confidence" ? "How sure it is" : "Mistakes, in red";
    const now = selected(answer.ranks, threshold);
    const all = selected(answer.ranks, 0);
    const clear = selected(reference, threshold);
    numbers.show([percent(now.coverage), percent(now.risk), percent(now.expected), percent(all.risk)]);
    canvases[0].setAttribute("aria-label", `Street: ${names[street]}, fog ${Math.round(100 * settings.fog)} %, light ${Math.round(100 * settings.light)} %, noise ${settings.noise}`);
    canvases[1].setAttribute("aria-label", `Labels, ${percent(now.coverage)} of them given`);
    canvases[2].setAttribute("aria-label", view === "confidence" ? "Confidence, bright where the network is sure" : `Mistakes, ${percent(now.risk)} of the labels given`);
    [lines[0].ys, lines[1].ys] = [riskCurve(answer.ranks), riskCurve(reference)];
    curve.mark(100 * now.coverage);
    const kept = now.risk === null || now.risk <= now.expected + 0.02;
    const first = `Silent below ${Math.round(100 * threshold)} %, the network labels *${percent(now.coverage)}* of the picture; *${percent(now.risk)}* of that is wrong, and it expects ${percent(now.expected)}.`;
    say(`${first} On the first street, left as it is, the same threshold gives ${percent(clear.coverage)}, of which ${percent(clear.risk)} is wrong.`, kept);
  };

  const ask = async (pixels, k, which) => {
    const { logits } = await network(k).run(toNetwork(pixels), height, width);
    const truth = of("labels", places, which);
    const found = judged(logits, classes.length, places);
    return { ...found, truth, ranks: ranked(found, truth) };
  };
  // Never more than one run at a time, and after the last change always one more.
  let [wanted, busy] = [false, false];
  const refresh = async () => {
    const pixels = seen();
    paintPixels(canvases[0], height, width, (i) => pixels.subarray(3 * i, 3 * i + 3));
    wanted = true;
    root.setAttribute("aria-busy", "true");
    if (busy) return;
    busy = true;
    reference ??= (await ask(of("pictures", 3 * places, 0), 0, 0)).ranks;
    while (wanted) {
      wanted = false;
      answer = await ask(seen(), statistics, street);
    }
    busy = false;
    show();
    root.setAttribute("aria-busy", "false");
  };

  const knob = (name, label, min, max, step, format) =>
    slider({ label, min, max, step, value: settings[name], format, change: (value) => { settings[name] = value; refresh(); } });
  const knobs = [
    knob("fog", "Fog", 0, 0.9, 0.05, (value) => `${Math.round(100 * value)} %`),
    knob("light", "Light", 0.2, 3, 0.1, (value) => `${Math.round(100 * value)} %`),
    knob("noise", "Noise", 0, 60, 2, (value) => `± ${value}`),
  ];
  const silence = slider({
    label: "Silent below", min: 0, max: 99, step: 1, value: 0, format: (value) => `${value} %`,
    change: (value) => { threshold = value / 100; show(); },
  });
  const promise = () => {
    if (!reference) return;
    silence.set(promised(reference, PROMISE));
    threshold = silence.get() / 100;
    show();
  };
  const calm = () => {
    Object.assign(settings, { fog: 0, light: 1, noise: 0 });
    ["fog", "light", "noise"].forEach((name, k) => knobs[k].set(settings[name]));
    refresh();
  };
  const streets = choice({
    legend: "Street", value: 0, options: names.map((label, value) => ({ label, value })),
    change: (value) => { street = value; refresh(); },
  });
  const norms = choice({
    legend: "Statistics", value: 0,
    options: ["stored", "half and half", "of this picture"].map((label, value) => ({ label, value })),
    change: (value) => { statistics = value; refresh(); },
  });
  const views = choice({
    legend: "Third picture", value: view, options: ["confidence", "mistakes"].map((value) => ({ label: value, value })),
    change: (value) => { view = value; show(); },
  });

  root.append(
    element("div", { class: "st-row" }, streets.node, button("Calm the weather", calm)),
    element("div", { class: "st-row" }, ...knobs.map(({ node }) => node)),
    element("div", { class: "st-row" }, norms.node),
    element("div", { class: "st-panels st-easel", style: "--st-columns:3" },
      panel("The street", canvases[0]), panel("Its labels, hatched: silent", canvases[1]),
      element("div", { class: "st-panel" }, thirdTitle, canvases[2])),
    legend(classes, colors, [["void", VOID]]),
    element("div", { class: "st-row", style: "margin-top: 0.7rem" }, views.node),
    element("div", { class: "st-row" }, silence.node, button(`Promise ${100 * PROMISE} % on the first street`, promise)),
    numbers.node,
    says,
    curve.node,
    element("p", { class: "st-title" }, `Line: this picture. Dashes: the first street, left as it is. White is certain in the picture of confidence.`),
  );
  say("The network is reading the street.", true);
  refresh();
  return () => { curve.stop(); networks.forEach((one) => one?.stop()); };
}

export { disturbed, judged, promised, ranked, riskCurve, selected };
export default { render };
