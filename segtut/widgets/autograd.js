// Section 3.1.3: a neuron, two logits and their loss, a node at a time, forward and back.

const [BOX_WIDTH, BOX_HEIGHT] = [72, 46];
const softmax = (logits) => {
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - highest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
};

// Each operation: its value, and its derivative by each of the numbers that enter it.
function operation(kind, activation, label) {
  const activations = {
    relu: { value: ([a]) => Math.max(a, 0), slopes: ([a]) => [a > 0 ? 1 : 0] },
    sigmoid: { value: ([a]) => 1 / (1 + Math.exp(-a)), slopes: (_, h) => [h * (1 - h)] },
  };
  const operations = {
    multiply: { value: ([u, v]) => u * v, slopes: ([u, v]) => [v, u] },
    add: { value: (terms) => terms.reduce((sum, term) => sum + term, 0), slopes: (terms) => terms.map(() => 1) },
    activation: activations[activation],
    "cross-entropy": {
      value: (logits) => -Math.log(softmax(logits)[label]),
      slopes: (logits) => softmax(logits).map((p, index) => p - (index === label ? 1 : 0)),
    },
  };
  return operations[kind];
}

// All that happens, stage by stage. A stage: what is done, at which node, and what is known then.
// nodes: {name, operation, inputs}, each after all that enter it; the last one is the loss.
function trace(nodes, inputs, activation, label) {
  const values = { ...inputs };
  const stages = [{ kind: "start", values: { ...values }, gradients: {}, sent: [] }];
  const computed = nodes.filter((node) => node.operation !== "input");
  const slopes = {};
  for (const node of computed) {
    const entering = node.inputs.map((name) => values[name]);
    const does = operation(node.operation, activation, label);
    values[node.name] = does.value(entering);
    slopes[node.name] = does.slopes(entering, values[node.name]);
    stages.push({ kind: "forward", node: node.name, values: { ...values }, gradients: {}, sent: [] });
  }
  const gradients = { [computed.at(-1).name]: 1 };
  stages.push({ kind: "seed", node: computed.at(-1).name, values: { ...values }, gradients: { ...gradients }, sent: [] });
  for (const node of computed.toReversed()) {
    const incoming = gradients[node.name];
    const sent = node.inputs.map((name, index) => {
      const before = gradients[name];
      const product = slopes[node.name][index] * incoming;
      gradients[name] = (before ?? 0) + product;
      return { to: name, slope: slopes[node.name][index], incoming, product, before, sum: gradients[name] };
    });
    stages.push({ kind: "backward", node: node.name, values: { ...values }, gradients: { ...gradients }, sent });
  }
  return stages;
}

const pretty = (name) => name.replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);
const figures = (value) => {
  const text = value !== 0 && Math.abs(value) < 0.0005 ? value.toExponential(0) : value.toFixed(Math.abs(value) < 100 ? 3 : 1);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace(/-/g, "−");
};
const inBrackets = (value) => (value < 0 ? `(${figures(value)})` : figures(value));

// What a node computes, in symbols and in numbers.
function formula(node, { values }, activation, label) {
  const entering = node.inputs.map((name) => values[name]);
  const names = node.inputs.map(pretty);
  const [called, value] = [pretty(node.name), figures(values[node.name])];
  if (node.operation === "multiply") return `${called} = ${names.join(" · ")} = ${entering.map(inBrackets).join(" · ")} = *${value}*`;
  if (node.operation === "add") return `${called} = ${names.join(" + ")} = ${entering.map(inBrackets).join(" + ")} = *${value}*`;
  if (node.operation === "activation") {
    const name = activation === "relu" ? "ReLU" : "σ";
    return `${called} = ${name}(${names[0]}) = ${name}(${figures(entering[0])}) = *${value}*`;
  }
  const wanted = pretty(`p${label}`);
  return `The softmax of (z₀, z₁) gives class ${label} the probability ${wanted} = ${figures(softmax(entering)[label])}, and ${called} = −ln ${wanted} = *${value}*.`;
}

// The local derivative of a node by its input number `index`, in symbols.
function slopeName(node, index, activation, label) {
  if (node.operation === "multiply") return pretty(node.inputs[1 - index]);
  if (node.operation === "add") return "1";
  if (node.operation === "activation") return activation === "relu" ? "[a > 0]" : "h (1 − h)";
  return `${pretty(`p${index}`)} − ${index === label ? 1 : 0}`;
}

function says(stage, node, last, activation, label) {
  const called = node && pretty(node.name);
  if (stage.kind === "start") return "The inputs are given. Step on: each node computes its value from those above it.";
  if (stage.kind === "forward") return formula(node, stage, activation, label);
  if (stage.kind === "seed") return "The backward pass starts at the loss with ∂L/∂L = *1*: nudge L, and L changes by as much.";
  const added = stage.sent.find((one) => one.before !== undefined);
  const targets = stage.sent.map((one) => pretty(one.to));
  const to = targets.length > 1 ? `${targets.slice(0, -1).join(", ")} and ${targets.at(-1)}` : targets[0];
  const text = `${called} passes its gradient ${figures(stage.sent[0].incoming)} up to ${to}, times the local derivative.`;
  if (added)
    return `${text} ${pretty(added.to)} is used twice, so what arrives is *added*: ${figures(added.before)} + ${inBrackets(added.product)} = ${figures(added.sum)}.`;
  return last ? `${text} *Every gradient is known, and no value has changed.* Changing them is the optimizer's work.` : text;
}

// The graph as boxes: a value above, the gradient below once it is known.
function graphPicture(nodes) {
  const parts = {};
  const place = Object.fromEntries(nodes.map((node) => [node.name, node]));
  const lines = nodes.flatMap((node) => node.inputs.map((name) => ({ from: place[name], to: node })));
  const heads = ["accent", "second"].map((color) => drawn(
    "marker",
    { id: `st-${color}-${Math.random().toString(36).slice(2)}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 4, markerHeight: 4, orient: "auto-start-reverse" },
    drawn("path", { d: "M0 0L8 4L0 8Z", style: `fill:var(--st-${color})` }),
  ));
  const svg = drawn("svg", { viewBox: "0 0 348 494", "aria-hidden": "true", style: "display:block;width:100%;height:auto;overflow:visible" }, drawn("defs", {}, ...heads));
  for (const line of lines) {
    line.node = drawn("line", {
      x1: line.from.x - (line.from.y === line.to.y ? BOX_WIDTH / 2 : 0), y1: line.from.y + (line.from.y === line.to.y ? 0 : BOX_HEIGHT / 2),
      x2: line.to.x + (line.from.y === line.to.y ? BOX_WIDTH / 2 : 0), y2: line.to.y - (line.from.y === line.to.y ? 0 : BOX_HEIGHT / 2),
    });
    // The derivative stands nearer to where it is sent, so that neighbors keep apart.
    line.text = drawn("text", {
      x: 0.6 * line.from.x + 0.4 * line.to.x, y: 0.54 * line.from.y + 0.46 * line.to.y + (line.from.y === line.to.y ? -6 : 4), "text-anchor": "middle",
      style: "paint-order:stroke;stroke:var(--st-paper);stroke-width:5px;stroke-linejoin:round;fill:var(--st-second);font-size:12px;font-weight:600",
    });
    svg.append(line.node);
  }
  for (const node of nodes) {
    const [left, top] = [node.x - BOX_WIDTH / 2, node.y - BOX_HEIGHT / 2];
    const text = (x, y, anchor, color, weight = 400) => drawn("text", { x, y, "text-anchor": anchor, style: `fill:var(${color});font-size:12.5px;font-weight:${weight}` });
    const box = drawn("rect", { x: left, y: top, width: BOX_WIDTH, height: BOX_HEIGHT, rx: 6 });
    const name = text(left + 6, top + 16, "start", "--st-ink", 600);
    name.textContent = pretty(node.name);
    parts[node.name] = { box, value: text(left + BOX_WIDTH - 6, top + 16, "end", "--st-accent"), gradient: text(left + BOX_WIDTH - 6, top + 37, "end", "--st-second", 600), sign: text(left + 6, top + 37, "start", "--st-second") };
    parts[node.name].sign.textContent = "∂";
    svg.append(drawn("g", {}, box, name, ...Object.values(parts[node.name]).slice(1)));
  }
  svg.append(...lines.map((line) => line.text));
  const show = (stage) => {
    for (const node of nodes) {
      const { box, value, gradient, sign } = parts[node.name];
      const known = stage.values[node.name] !== undefined;
      const reached = stage.gradients[node.name] !== undefined;
      const here = stage.node === node.name;
      const color = here ? (stage.kind === "forward" ? "--st-accent" : "--st-second") : "--st-line";
      box.setAttribute("style", `fill:var(${known ? "--st-quiet" : "--st-paper"});stroke:var(${color});stroke-width:${here ? 3 : 1}`);
      value.textContent = known ? figures(stage.values[node.name]) : "";
      gradient.textContent = reached ? figures(stage.gradients[node.name]) : "";
      sign.setAttribute("visibility", reached ? "visible" : "hidden");
    }
    for (const { from, to, node, text } of lines) {
      const active = stage.node === to.name && stage.kind !== "seed";
      const back = active && stage.kind === "backward";
      node.setAttribute("style", `stroke:var(${back ? "--st-second" : active ? "--st-accent" : "--st-line"});stroke-width:${active ? 3 : 1.5}`);
      node.setAttribute("marker-end", active && !back ? `url(#${heads[0].id})` : "none");
      node.setAttribute("marker-start", back ? `url(#${heads[1].id})` : "none");
      const sent = back && stage.sent.find((one) => one.to === from.name);
      text.textContent = sent ? `× ${figures(sent.slope)}` : "";
    }
  };
  return { svg, show };
}

// Rows: what the node of a backward step sends, and what it makes of the gradient there.
function sentTable() {
  const head = ["to", "local derivative", "× incoming", "sent", "gradient so far"];
  const body = element("tbody");
  const caption = element("caption", { style: "caption-side:top;text-align:left;padding:0;color:var(--st-soft);font-size:0.82rem" });
  const node = element(
    "table",
    { class: "st-figures" },
    caption,
    element("thead", {}, element("tr", {}, ...head.map((name) => element("th", { scope: "col" }, name)))),
    body,
  );
  const show = (stage, from, activation, label) => {
    caption.textContent = stage.kind === "backward" ? `What ${pretty(from.name)} sends back` : "What a node sends back appears on the way back";
    const rows = stage.sent.map((one, index) => [
      pretty(one.to), `${slopeName(from, index, activation, label)} = ${figures(one.slope)}`,
      figures(one.incoming), figures(one.product), figures(one.sum),
    ]);
    while (rows.length < 3) rows.push(["–", "", "", "", ""]); // the page keeps still
    body.replaceChildren(...rows.map(([first, ...rest]) => element("tr", {}, element("th", { scope: "row" }, first), ...rest.map((text) => element("td", {}, text)))));
  };
  return { node, show };
}

// A number that is typed, or stepped with the arrow keys up and down.
function numberField({ label, name, value, min, max, change }) {
  const input = element("input", {
    type: "number", step: 0.1, min, max, value, "aria-label": label,
    style: "width:100%;font:inherit;color:var(--st-ink);background:var(--st-paper);border:1px solid var(--st-line);border-radius:0.35rem;padding:0.15rem 0.3rem",
  });
  input.addEventListener("input", () => {
    const next = input.valueAsNumber;
    if (next >= min && next <= max) change(next);
  });
  input.addEventListener("change", () => { if (!input.checkValidity() && !input.validity.stepMismatch) set(value); });
  const set = (next) => { value = next; input.value = Number(next.toFixed(4)); };
  const title = element("span", { style: "color:var(--st-soft);font-size:0.82rem", "aria-hidden": "true" }, name);
  return { node: element("label", { style: "display:block;margin:0;min-width:0" }, title, input), set, keep: (next) => { value = next; } };
}

const FIELDS = [
  ["x1", "x₁ (red)"], ["x2", "x₂ (blue)"], ["b", "b"], ["rate", "rate η"],
  ["w1", "w₁"], ["w2", "w₂"], ["u0", "u₀"], ["u1", "u₁"],
];
const LEARNED = ["w1", "w2", "b", "u0", "u1"];

function render({ model, el }) {
  const nodes = model.get("nodes");
  const named = Object.fromEntries(nodes.map((node) => [node.name, node]));
  const inputs = { ...model.get("inputs") };
  const settings = { activation: model.get("activation"), label: model.get("label"), rate: 0.5 };
  const root = card(el, "A small network's graph, stepped forward and back");
  let stages = [];
  let at = 0;
  const picture = graphPicture(nodes);
  const graph = element("div", { style: "border-radius:0.3rem", tabindex: 0, role: "application", "aria-roledescription": "graph stepped with the arrow keys" }, picture.svg);
  const table = sentTable();
  const { node: sentenceNode, say } = sentence();
  sentenceNode.style.minHeight = "clamp(2.9em, calc(8em - 10cqi), 5.7em)"; // the graph below keeps its place
  const progress = element("span", { style: "color:var(--st-soft)" });
  const end = () => stages.length - 1;
  const lossStage = () => stages.findIndex((stage) => stage.kind === "seed") - 1;
  const show = (text) => {
    const stage = stages[at];
    const node = named[stage.node];
    picture.show(stage);
    table.show(stage, node, settings.activation, settings.label);
    const spoken = text ?? says(stage, node, at === end(), settings.activation, settings.label);
    say(spoken, true);
    progress.textContent = `step ${at} of ${end()}`;
    graph.setAttribute("aria-label", `Graph, step ${at} of ${end()}. Arrow keys step, Home and End go to the ends.`);
    for (const [button, off] of [[back, at === 0], [on, at === end()], [loss, at === lossStage()], [all, at === end()], [update, at < end()]])
      button.setAttribute("aria-disabled", String(off)), (button.style.opacity = off ? 0.45 : 1);
  };
  const go = (stage) => { at = Math.max(0, Math.min(end(), stage)); show(); };
  const compute = () => { stages = trace(nodes, inputs, settings.activation, settings.label); };
  const changed = () => { compute(); show(); };
  const descend = () => {
    if (at < end()) return;
    const [before, gradients] = [stages[at].values.L, stages[at].gradients];
    for (const name of LEARNED) {
      inputs[name] -= settings.rate * gradients[name];
      fields[name].set(inputs[name]);
    }
    compute();
    at = lossStage();
    show(`The optimizer took η times its gradient from each of w₁, w₂, b, u₀ and u₁; x₁ and x₂ are data and stay. L was ${figures(before)} and is *${figures(stages[at].values.L)}*. The old gradients no longer hold.`);
  };
  const fields = Object.fromEntries(FIELDS.map(([key, name]) => [key, numberField({
    label: key === "rate" ? "learning rate" : key, name, value: inputs[key] ?? settings.rate, min: key === "rate" ? 0 : -10, max: 10,
    change: (value) => {
      fields[key].keep(value);
      if (key === "rate") settings.rate = value;
      else { inputs[key] = value; changed(); }
    },
  })]));
  const [back, on] = [button("◀ back", () => go(at - 1)), button("step ▶", () => go(at + 1))];
  const [loss, all] = [button("to the loss", () => go(lossStage())), button("to the end", () => go(end()))];
  const update = button("optimizer step", descend);
  root.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement) return; // a field's arrow keys are its own
    const next = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: end() }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    go(next);
  });
  const activation = choice({
    legend: "h =", value: settings.activation, options: [{ value: "relu", label: "ReLU(a)" }, { value: "sigmoid", label: "sigmoid(a)" }],
    change: (value) => { settings.activation = value; changed(); },
  });
  const label = choice({
    legend: "True class", value: String(settings.label), options: [{ value: "0", label: "0" }, { value: "1", label: "1" }],
    change: (value) => { settings.label = Number(value); changed(); },
  });
  root.append(
    element("div", { class: "st-row st-tight" }, back, on, loss, all, update, progress),
    sentenceNode,
    element(
      "div",
      { class: "st-panels st-stack" },
      panel("Values, and ∂: the gradient of L. Arrow keys step", graph),
      element(
        "div",
        { class: "st-panel" },
        element("div", { class: "st-row" }, activation.node, label.node),
        element("div", { style: "display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:0.4rem 0.5rem;margin-bottom:0.9rem" }, ...FIELDS.map(([key]) => fields[key].node)),
        table.node,
      ),
    ),
  );
  compute();
  at = lossStage();
  show();
}

export { trace };
export default { render };
