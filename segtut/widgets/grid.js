// Section 2: truth and prediction on a 4x4 grid, counted and scored with the arithmetic written out.

const VERDICTS = { TP: "true positive", FP: "false positive", FN: "false negative", TN: "true negative" };

const verdict = (truth, prediction) => (prediction ? (truth ? "TP" : "FP") : truth ? "FN" : "TN");

function counts(truth, prediction) {
  const found = { TP: 0, FP: 0, FN: 0, TN: 0 };
  truth.forEach((is, i) => found[verdict(is, prediction[i])]++);
  return found;
}

// Numerator and denominator of each score, and its value; null where it is 0 / 0.
function scores({ TP, FP, FN, TN }) {
  const ratio = (part, whole) => ({ part, whole, value: whole ? part / whole : null });
  return { accuracy: ratio(TP + TN, TP + FP + FN + TN), iou: ratio(TP, TP + FP + FN), dice: ratio(2 * TP, 2 * TP + FP + FN) };
}

const GOALS = [
  ["accuracy of 0.75 or more, and IoU 0", ({ accuracy, iou }) => accuracy.value >= 0.75 && iou.value === 0],
  ["IoU of exactly one half", ({ iou }) => iou.value === 0.5],
  ["accuracy below one half, and IoU above 0.4", ({ accuracy, iou }) => accuracy.value < 0.5 && iou.value > 0.4],
  ["a Dice that exceeds the IoU by 0.17 or more", ({ iou, dice }) => iou.value !== null && dice.value - iou.value >= 0.17],
];

const PRESETS = [
  ["as the truth", (truth) => truth.slice()],
  ["nothing", (truth) => truth.map(() => 0)],
  ["everything", (truth) => truth.map(() => 1)],
  ["shifted", (truth, side) => truth.map((_, i) => (i % side ? truth[i - 1] : 0))],
];

// A square of buttons: arrow keys move between them, Space or a click paints.
function cells({ name, values, side, changed }) {
  const where = (i) => `row ${Math.floor(i / side) + 1}, column ${(i % side) + 1}`;
  const buttons = [...values].map((_, i) =>
    element("button", { type: "button", class: "st-square", tabindex: i ? -1 : 0, onclick: () => { values[i] = 1 - values[i]; changed(); } }));
  const show = () => buttons.forEach((node, i) => {
    node.setAttribute("aria-pressed", String(Boolean(values[i])));
    node.setAttribute("aria-label", `${name}, ${where(i)}`);
  });
  const node = element("div", { class: "st-squares", role: "group", "aria-label": `${name}: arrow keys move, Space paints`, style: `--st-side:${side}` }, ...buttons);
  node.addEventListener("focusin", (event) => buttons.forEach((one) => { one.tabIndex = one === event.target ? 0 : -1; }));
  node.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(event.target);
    const steps = { ArrowUp: -side, ArrowDown: side, ArrowLeft: at % side ? -1 : 0, ArrowRight: (at + 1) % side ? 1 : 0 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    buttons[at + steps[event.key]]?.focus();
  });
  return { node, show };
}

function arithmetic(name, formula, numbers, { part, whole, value }) {
  return element("tr", {},
    element("th", { scope: "row" }, name),
    element("td", { class: "st-sum" }, `${formula} = ${numbers} = ${part} / ${whole}`),
    element("td", { class: "st-result" }, value === null ? "undefined" : value.toFixed(3)));
}

function render({ model, el }) {
  const side = model.get("side");
  const [truth, prediction] = ["truth", "prediction"].map((name) => [...bytes(model, name)]);
  const [thing, other] = model.get("classes").slice().reverse();
  const reached = new Set();
  const root = card(el, "Paint truth and prediction, and follow the arithmetic of the scores");
  const verdicts = element("div", { class: "st-squares", role: "img", style: `--st-side:${side}` });
  const sums = element("tbody");
  const goals = element("ul", { class: "st-goals" });
  const { node: says, say } = sentence();
  const shared = { side, changed: () => update() };
  const grids = [cells({ ...shared, name: "Truth", values: truth }), cells({ ...shared, name: "Prediction", values: prediction })];
  const update = () => {
    grids.forEach((grid) => grid.show());
    const found = counts(truth, prediction);
    const { TP, FP, FN, TN } = found;
    const result = scores(found);
    const kinds = truth.map((is, i) => verdict(is, prediction[i]));
    verdicts.replaceChildren(...kinds.map((kind) => element("span", { class: `st-square st-${kind}` }, kind)));
    verdicts.setAttribute("aria-label", "Comparison, row by row: " + kinds.join(" "));
    sums.replaceChildren(
      arithmetic("Accuracy", "(TP + TN) / all", `(${TP} + ${TN}) / ${truth.length}`, result.accuracy),
      arithmetic("IoU", "TP / (TP + FP + FN)", `${TP} / (${TP} + ${FP} + ${FN})`, result.iou),
      arithmetic("Dice", "2 TP / (2 TP + FP + FN)", `2·${TP} / (2·${TP} + ${FP} + ${FN})`, result.dice),
    );
    GOALS.forEach(([, met], i) => { if (met(result)) reached.add(i); });
    goals.replaceChildren(...GOALS.map(([text], i) => element("li", {}, element("span", { "aria-hidden": "true" }, reached.has(i) ? "☑ " : "☐ "), text, reached.has(i) ? element("strong", {}, " reached") : "")));
    const worth = result.iou.value === null ? `No pixel is ${thing} in either grid: the IoU is 0 / 0, and the class is left out of the mean.` : `The ${TN} pixels that are ${other} in both grids raise the accuracy and are nowhere in the IoU.`;
    say(`${TP} found (TP), ${FP} invented (FP), ${FN} missed (FN), ${TN} rightly left alone (TN). *${worth}*`, true);
  };
  const use = (make) => { prediction.splice(0, prediction.length, ...make(truth, side)); update(); };
  const letters = Object.entries(VERDICTS).map(([kind, name]) => element("span", {}, element("span", { class: `st-swatch st-${kind}` }), `${kind} ${name}`));
  root.append(
    element("div", { class: "st-row st-tight", role: "group", "aria-label": "Ready-made predictions" }, element("span", {}, "Prediction:"), ...PRESETS.map(([label, make]) => button(label, () => use(make)))),
    element("div", { class: "st-panels", style: "--st-columns:3" }, panel("Truth", grids[0].node), panel("Prediction", grids[1].node), panel("Compared", verdicts)),
    element("div", { class: "st-legend" }, ...letters),
    says,
    element("table", { class: "st-figures st-sums" }, sums),
    element("p", { class: "st-goals-title" }, "Can you paint …"),
    goals,
  );
  update();
}

export { counts, scores };
export default { render };
