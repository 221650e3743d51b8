// Section 3.3.2: draw codes, move single latents, go from one picture to another.

const OTHERS = 12; // small samples beside the large one
const STEPS = 7; // pictures on the way from A to B
const IN_USE = 0.05; // nats from which a latent is said to be used

// The latents from the most to the least active one.
function byActivity(divergences) {
  return divergences.map((_, k) => k).sort((a, b) => divergences[b] - divergences[a]);
}

// A code from standard normal numbers: temperature 0 is the mean of all codes, 1 the model's own.
function atTemperature(noise, temperature) {
  return Float32Array.from(noise, (value) => temperature * value);
}

// Bars of the latents' divergences, most active first; those with a slider are solid.
function activityChart(divergences, order, sliders) {
  const node = drawn("svg", { class: "st-chart", role: "img", height: 92, "aria-label": "KL divergence of each latent, most active first" });
  const top = Math.max(...divergences, 1e-6);
  const draw = (width = node.clientWidth) => {
    if (!width) return;
    const [left, floor] = [34, 72];
    const pace = (width - left) / order.length;
    const bars = order.map((latent, i) => {
      const height = Math.max(1, (divergences[latent] / top) * 52);
      return drawn("rect", { class: "st-box", x: left + i * pace + 0.5, y: floor - height, width: Math.max(1, Math.min(26, pace - 2)), height, opacity: i < sliders ? 1 : 0.4 });
    });
    node.replaceChildren(
      drawn("text", { x: 0, y: 12 }, "KL divergence (nats)"),
      drawn("line", { class: "st-axis", x1: left, x2: width, y1: floor, y2: floor }),
      drawn("text", { x: left - 6, y: floor + 4, "text-anchor": "end" }, "0"),
      drawn("text", { x: left - 6, y: 26, "text-anchor": "end" }, top.toFixed(1)),
      ...bars,
      drawn("text", { x: width, y: 88, "text-anchor": "end" }, "latents, the most active first"),
    );
  };
  return { node, stop: whenResized(node, draw) };
}

function render({ model, el }) {
  const [size, typical, sliders, names] = ["code_size", "typical", "sliders", "names"].map((name) => model.get(name));
  const shape = ["channels", "height", "width"].map((name) => model.get(name));
  const divergences = model.get("divergences");
  const order = byActivity(divergences);
  const all = floats(model, "means");
  const means = names.map((_, k) => all.slice(k * size, (k + 1) * size));
  const root = card(el, "Codes drawn at random, changed and mixed, and the pictures they give");
  const decoder = startDecoder(model, root);
  const { node: says, say } = sentence();
  const normal = makeNormal(1);
  const draw = () => Float32Array.from({ length: size }, normal);
  const numbers = tiles(["Length of the code", "Typical if drawn", `Latents above ${IN_USE} nats`]);
  const used = divergences.filter((value) => value > IN_USE).length;
  const large = pictureCanvas("The picture of the code");
  let [noise, temperature, code, mode] = [draw(), 1, null, "sample"];
  let [pictures, pair, share] = [null, [0, 1], 0.5];

  const show = (text) => {
    decoder.draw(large, code);
    numbers.show([lengthOf(code).toFixed(2), (typical * (mode === "sample" ? temperature : 1)).toFixed(2), `${used} of ${size}`]);
    knobs.forEach(({ knob, latent }) => knob.set(code[latent]));
    say(text, true);
  };
  const sayHow = () => {
    if (temperature === 0) return "At temperature 0 every code is the *zeros*, the center of all codes: one picture for all.";
    if (temperature > 1.2) return `At temperature *${temperature.toFixed(1)}* codes lie farther from the center than most of those the decoder was trained with.`;
    return `Each of the ${size} numbers of the code is drawn from a normal distribution with standard deviation *${temperature.toFixed(1)}*.`;
  };

  // Samples: a large one, and twelve more to choose from.
  const small = Array.from({ length: OTHERS }, (_, k) => {
    const canvas = pictureCanvas(`Sample ${k + 1}`);
    const node = element("button", { type: "button", class: "st-pick", "aria-label": `Take sample ${k + 1}` }, canvas);
    const one = { canvas, node, noise: null };
    node.addEventListener("click", () => { noise = one.noise.slice(); heat(); });
    return one;
  });
  const heat = () => { code = atTemperature(noise, temperature); show(sayHow()); };
  const heatAll = () => small.forEach((one) => decoder.draw(one.canvas, atTemperature(one.noise, temperature)));
  const redraw = () => {
    small.forEach((one) => { one.noise = draw(); });
    heatAll();
  };
  const warmth = slider({
    label: "Temperature", min: 0, max: 2, step: 0.1, value: 1, format: (value) => value.toFixed(1),
    change: (value) => { temperature = value; heat(); heatAll(); },
  });

  // Between two pictures: decoded from mixed codes above, mixed pixel by pixel below.
  const between = (t) => onLine(means[pair[0]], means[pair[1]], t);
  const strip = (title) => Array.from({ length: STEPS }, (_, k) => pictureCanvas(`${title}, ${Math.round((100 * k) / (STEPS - 1))} % of the way`));
  const [decodedStrip, blended] = [strip("Codes mixed"), strip("Pixels mixed")];
  const stops = decodedStrip.map((canvas, k) => {
    const node = element("button", { type: "button", class: "st-pick", "aria-label": `${Math.round((100 * k) / (STEPS - 1))} % of the way` }, canvas);
    node.addEventListener("click", () => { share = k / (STEPS - 1); way.set(share); goBetween(); });
    return node;
  });
  const goBetween = () => {
    code = between(share);
    const [a, b] = pair.map((k) => names[k]);
    show(a === b ? `Both ends are ${a}.` : `*${Math.round(100 * share)} %* of the way from ${a} to ${b}: the codes are mixed, and the decoder draws the mixture as one picture; mixed pixels show both at once.`);
  };
  const fillStrips = () => {
    decodedStrip.forEach((canvas, k) => decoder.draw(canvas, between(k / (STEPS - 1))));
    blended.forEach((canvas, k) => paintMap(canvas, onLine(pictures[pair[0]], pictures[pair[1]], k / (STEPS - 1)), shape));
  };
  const picker = (end) => {
    const nodes = names.map((name, k) => {
      const canvas = pictureCanvas(name);
      const node = element("button", { type: "button", class: "st-pick", "aria-label": `${end ? "To" : "From"} ${name}`, "aria-pressed": String(pair[end] === k) }, canvas);
      node.addEventListener("click", () => {
        pair[end] = k;
        nodes.forEach((other, j) => other.node.setAttribute("aria-pressed", String(j === k)));
        fillStrips();
        goBetween();
      });
      return { node, canvas };
    });
    return nodes;
  };
  const pickers = [picker(0), picker(1)];
  const way = slider({
    label: "Share of the way", min: 0, max: 1, step: 0.02, value: share, format: (value) => `${Math.round(100 * value)} %`,
    change: (value) => { share = value; goBetween(); },
  });

  const knobs = order.slice(0, sliders).map((latent) => {
    const knob = slider({
      label: `Latent ${latent + 1}`, min: -3.5, max: 3.5, step: 0.05, value: 0, format: (value) => signed(value),
      change: (value) => {
        code = code.slice();
        code[latent] = value;
        if (mode === "sample" && temperature > 0) noise[latent] = value / temperature;
        show(`Latent ${latent + 1} alone is changed, to *${signed(value)}*. It carries ${divergences[latent].toFixed(2)} nats a picture, ${order.indexOf(latent) ? `and ${order.indexOf(latent)} of the ${size} latents carry more` : "more than any other"}.`);
      },
    });
    return { knob, latent };
  });
  const activity = activityChart(divergences, order, sliders);

  const sub = (text) => element("p", { class: "st-sub" }, text);
  const grid = (count, nodes) => element("div", { class: "st-strip", style: `--st-count:${count}` }, ...nodes);
  const sampling = element("div", {}, panel("Twelve samples: press one to take it", grid(4, small.map((one) => one.node))));
  const mixing = element("div", {},
    panel("From", grid(names.length, pickers[0].map((one) => one.node))),
    element("div", { style: "height:0.4rem" }),
    panel("To", grid(names.length, pickers[1].map((one) => one.node))),
    sub("Codes mixed, then decoded"), grid(STEPS, stops),
    sub("Pixels mixed"), grid(STEPS, blended));
  const both = element("div", {}, panel("The decoder draws", large), element("div", {}, sampling, mixing));
  const sampleRow = element("div", { class: "st-row" }, button("Another sample", () => { noise = draw(); heat(); }), button("Twelve others", redraw), warmth.node);
  const mixRow = element("div", { class: "st-row" }, way.node);
  const change = (value) => {
    mode = value;
    const mixes = mode === "mix";
    for (const node of [mixing, mixRow]) node.hidden = !mixes;
    for (const node of [sampling, sampleRow]) node.hidden = mixes;
    both.className = `st-codes ${mixes ? "st-mixing" : "st-even"}`;
    if (mixes) goBetween();
    else heat();
  };
  const modes = choice({ legend: "Codes are", options: [{ label: "drawn at random", value: "sample" }, { label: "mixed from two pictures", value: "mix" }], value: mode, change });
  root.append(
    element("div", { class: "st-row" }, modes.node),
    sampleRow,
    mixRow,
    both,
    says,
    element("div", { class: "st-latents", role: "group", "aria-label": "The most active latents" }, ...knobs.map(({ knob }) => knob.node)),
    numbers.node,
    element("div", { style: "margin-top:0.8rem" }, activity.node),
  );
  change("sample");
  redraw();
  readSheet(model.get("sheet"), names.length, shape).then((read) => {
    pictures = read;
    pickers.forEach((nodes) => nodes.forEach(({ canvas }, k) => paintMap(canvas, pictures[k], shape)));
    fillStrips();
  });
  return () => { activity.stop(); decoder.stop(); };
}

export { atTemperature, byActivity };
export default { render };
