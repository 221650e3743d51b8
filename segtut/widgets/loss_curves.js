// Section 3.1.2: what three losses charge for one pixel, and how hard they pull on its logit.

const KINDS = [
  { name: "Cross-entropy", color: "var(--st-accent)", dash: "none" },
  { name: "Squared error", color: "var(--st-second)", dash: "7 4" },
  { name: "Focal loss", color: "var(--st-ink)", dash: "2 4" },
];

// Two classes; the true one has the logit z, the other 0. Losses and pulls in the order above;
// a pull is minus the loss's slope by z.
function atLogit(z, gamma) {
  const [p, q] = [1 / (1 + Math.exp(-z)), 1 / (1 + Math.exp(z))];
  const ln = z < 0 ? z - Math.log1p(Math.exp(z)) : -Math.log1p(Math.exp(-z)); // of p
  const factor = q ** gamma;
  return { p, losses: [-ln, q * q, -factor * ln], pulls: [q, 2 * p * q * q, factor * (q - gamma * p * ln)] };
}

const stroke = (kind) => `stroke:${kind.color};stroke-dasharray:${kind.dash};fill:none;stroke-width:2.2`;

// One chart over the logit or the probability; pressing or dragging in it calls moved(z).
function lossChart({ title, high, pick, format, settings, moved }) {
  const node = drawn("svg", { class: "st-chart", role: "img", height: 200, style: "cursor:ew-resize;touch-action:pan-y" });
  const [left, right, top, bottom] = [36, 12, 10, 36];
  const height = 200;
  const span = () => (settings.axis === "logit" ? [-settings.reach, settings.reach] : [0, 1]);
  const across = (z) => (settings.axis === "logit" ? z : 1 / (1 + Math.exp(-z)));
  const draw = (width = node.clientWidth) => {
    if (!width) return;
    const [first, last] = span();
    const x = (value) => left + ((value - first) / (last - first)) * (width - left - right);
    const y = (value) => height - bottom - (Math.min(value, high) / high) * (height - top - bottom);
    const parts = [];
    for (const level of niceTicks(0, high, 4))
      parts.push(
        drawn("line", { class: "st-axis", x1: left, x2: width - right, y1: y(level), y2: y(level) }),
        drawn("text", { x: left - 6, y: y(level) + 4, "text-anchor": "end" }, format(level)),
      );
    for (const tick of niceTicks(first, last, width < 300 ? 4 : 6))
      parts.push(drawn("text", { x: x(tick), y: height - bottom + 16, "text-anchor": "middle" }, String(Number(tick.toFixed(2))).replace("-", "−")));
    const under = settings.axis === "logit" ? "logit z of the true class" : "probability p of the true class";
    parts.push(drawn("text", { x: width - right, y: height - 4, "text-anchor": "end" }, under));
    const steps = Array.from({ length: 241 }, (_, i) => settings.reach * (i / 120 - 1));
    const now = atLogit(settings.z, settings.gamma);
    parts.push(drawn("line", { class: "st-now", x1: x(across(settings.z)), x2: x(across(settings.z)), y1: top, y2: height - bottom }));
    KINDS.forEach((kind, k) => {
      const points = steps.map((z) => `${x(across(z)).toFixed(1)},${y(pick(atLogit(z, settings.gamma))[k]).toFixed(1)}`);
      parts.push(drawn("polyline", { points: points.join(" "), style: stroke(kind) }));
    });
    KINDS.forEach((kind, k) =>
      parts.push(drawn("circle", { cx: x(across(settings.z)), cy: y(pick(now)[k]), r: 5, style: `fill:${kind.color};stroke:var(--st-paper);stroke-width:2` })),
    );
    node.setAttribute("aria-label", `${title} of the three losses over the ${settings.axis} of the true class, marked at logit ${settings.z.toFixed(1)}`);
    node.replaceChildren(...parts);
  };
  const follow = (event) => {
    const box = node.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left - left) / (box.width - left - right)));
    const [first, last] = span();
    const value = first + share * (last - first);
    moved(settings.axis === "logit" ? value : Math.log(value / (1 - value)));
  };
  whenDragged(node, follow);
  return { node, draw, stop: whenResized(node, draw) };
}

// Rows: the losses, each with a sample of its line.
function lossTable() {
  const body = element("tbody");
  const head = ["", "loss", "pull on z"].map((name) => element(name ? "th" : "td", name ? { scope: "col" } : {}, name));
  const node = element("table", { class: "st-figures" }, element("thead", {}, element("tr", {}, ...head)), body);
  const show = (now) => {
    const rows = KINDS.map((kind, k) => {
      const line = drawn("svg", { width: 34, height: 10, "aria-hidden": "true", style: "margin-right:.5rem" }, drawn("line", { x1: 1, x2: 33, y1: 5, y2: 5, style: stroke(kind) }));
      const cells = [now.losses[k].toFixed(4), now.pulls[k].toFixed(4)];
      return element("tr", {}, element("th", { scope: "row" }, line, kind.name), ...cells.map((text) => element("td", {}, text)));
    });
    body.replaceChildren(...rows);
  };
  return { node, show };
}

function lesson({ z, gamma }, { p, pulls }) {
  const belief = `The true class has the probability *${p < 0.001 ? p.toExponential(1) : p.toFixed(3)}*. `;
  const [cross, squared, focal] = pulls;
  if (p < 0.1)
    return belief + `A confident mistake: cross-entropy pulls ${count(cross / squared)} times as hard as squared error, which has all but given the pixel up.`;
  if (p <= 0.5) return belief + "Wrong, and not sure of it: all three pull.";
  if (p < 0.9) return belief + "Right, and not sure of it: the pulls begin to fade.";
  const least = gamma > 0 ? `, and the focal loss pulls ${count(cross / focal)} times less than cross-entropy` : "";
  return belief + `Right and sure: nothing is left to learn here${least}.`;
}

function render({ model, el }) {
  const reach = model.get("reach");
  const settings = { z: model.get("logit"), gamma: model.get("gamma"), axis: "logit", reach };
  const root = card(el, "Three losses of one pixel, and how hard they pull on its logit");
  const { node: says, say } = sentence();
  const table = lossTable();
  const update = () => {
    const now = atLogit(settings.z, settings.gamma);
    table.show(now);
    say(lesson(settings, now), now.p >= 0.1);
    charts.forEach((one) => one.draw());
  };
  const logit = slider({
    label: "Logit z of the true class", min: -reach, max: reach, step: 0.1, value: settings.z,
    format: (value) => value.toFixed(1).replace("-", "−"), change: (value) => { settings.z = value; update(); },
  });
  const moved = (z) => {
    settings.z = Math.round(10 * Math.min(reach, Math.max(-reach, z))) / 10;
    logit.set(settings.z);
    update();
  };
  const gamma = slider({
    label: "Focal loss: exponent γ", min: 0, max: 5, step: 0.5, value: settings.gamma,
    format: String, change: (value) => { settings.gamma = value; update(); },
  });
  const axis = choice({
    legend: "Across", value: "logit", change: (value) => { settings.axis = value; update(); },
    options: [{ value: "logit", label: "logit" }, { value: "probability", label: "probability" }],
  });
  const shared = { settings, moved };
  const charts = [
    lossChart({ ...shared, title: "Loss", high: 8, pick: (one) => one.losses, format: String }),
    lossChart({ ...shared, title: "Pull", high: 1.5, pick: (one) => one.pulls, format: (level) => level.toFixed(1) }),
  ];
  root.append(
    element("div", { class: "st-row" }, logit.node, gamma.node, axis.node),
    element("div", { class: "st-panels st-stack" }, panel("Loss: drag to move z", charts[0].node), panel("Pull on z: how far one step moves it", charts[1].node)),
    says,
    table.node,
  );
  update();
  return () => charts.forEach((one) => one.stop());
}

export { atLogit };
export default { render };
