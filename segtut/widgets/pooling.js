// Section 3.2.2: one row of a feature map moves, and three kinds of pooling answer.

const FARTHEST = 8;
const TOLERANCE = 0.1;
const LAYERS = [["max", "Max pooling"], ["average", "Average pooling"], ["blur", "Blur pooling"]];
const COLUMNS = 24;

// Ready-made rows of 24 values.
const ROWS = {
  "a pole": (k) => (k === 5 || k === 6 ? 1 : 0),
  "an edge": (k) => (k < 9 ? 0.2 : 0.9),
  railings: (k) => (k % 4 < 2 ? 0 : 1),
  texture: (k) => ((k * 7 + (k * k) % 5) % 11) / 10,
};

// The ring of values moved to the right.
function moved(values, shift) {
  const n = values.length;
  return values.map((_, k) => values[(((k - shift) % n) + n) % n]);
}

// One pooling by 2 on a ring. Blur pooling: maxima of all neighbors, smoothed by 1 2 1, every second.
function pool(values, kind) {
  const n = values.length;
  const at = (k) => values[((k % n) + n) % n];
  const larger = (k) => Math.max(at(k), at(k + 1));
  const of = {
    max: larger,
    average: (k) => (at(k) + at(k + 1)) / 2,
    blur: (k) => (larger(k - 1) + 2 * larger(k) + larger(k + 1)) / 4,
  }[kind];
  return Array.from({ length: n / 2 }, (_, i) => of(2 * i));
}

function pooled(values, kind, times) {
  return times ? pooled(pool(values, kind), kind, times - 1) : values;
}

// The answer at each column: each pooled value copied to the columns it stands for.
function answer(values, kind, times) {
  return pooled(values, kind, times).flatMap((value) => new Array(2 ** times).fill(value));
}

// Shift the row, pool it, compare with the answer at shift 0 moved along.
function compare(values, kind, times, shift) {
  const found = answer(moved(values, shift), kind, times);
  const expected = moved(answer(values, kind, times), shift);
  const change = found.map((value, k) => Math.abs(value - expected[k]));
  const mean = change.reduce((sum, value) => sum + value, 0) / change.length;
  return { found, expected, mean, changed: change.map((value) => value > TOLERANCE) };
}

// Bars over the columns; `comparison` adds where the bars ought to be and marks what changed.
function drawRow(node, width, { values, cell, comparison, cursor }) {
  const [left, top, height] = [2, 6, 62];
  const step = (width - 2 * left) / values.length;
  const x = (k) => left + k * step;
  const y = (value) => top + (1 - value) * (height - top - 8);
  const bottom = y(0);
  const parts = [];
  for (let k = 0; k < values.length; k += cell) {
    const bar = { x: x(k) + 0.5, y: y(values[k]), width: cell * step - 1, height: bottom - y(values[k]) };
    parts.push(drawn("rect", { class: "st-box", ...bar }));
  }
  parts.push(drawn("line", { class: "st-axis", x1: left, x2: width - left, y1: bottom, y2: bottom }));
  if (comparison) {
    comparison.changed.forEach((changed, k) => {
      if (!changed) return;
      const [a, b] = [values[k], comparison.expected[k]].sort((p, q) => p - q);
      parts.push(
        drawn("rect", { class: "st-changed", x: x(k) + 0.5, y: y(b), width: step - 1, height: Math.max(1, y(a) - y(b)) }),
        drawn("circle", { class: "st-mark", cx: x(k) + step / 2, cy: bottom + 5, r: 2.5 }),
      );
    });
    const points = comparison.expected.flatMap((value, k) => [`${x(k)},${y(value)}`, `${x(k + 1)},${y(value)}`]);
    parts.push(drawn("polyline", { class: "st-line st-other", points: points.join(" ") }));
  }
  if (cursor !== undefined)
    parts.push(drawn("rect", { class: "st-cursor", x: x(cursor), y: top - 4, width: step, height: bottom - top + 8, rx: 2 }));
  node.setAttribute("height", height);
  node.replaceChildren(...parts);
}

const STYLE = `
.st-changed { fill: var(--st-alarm); fill-opacity: 0.45; }
.st-mark { fill: var(--st-alarm); }
.st-cursor { fill: none; stroke: var(--st-ink); stroke-width: 1.5; visibility: hidden; }
.st-rowpaint { cursor: ns-resize; touch-action: none; display: block; }
.st-rowpaint:focus-visible .st-cursor { visibility: visible; }
.st-shifts th, .st-shifts td { padding: 0.18rem 0.1rem; }
.st-shifts .st-here { font-weight: 700; color: var(--st-accent); }
.st-key { color: var(--st-soft); font-size: 0.82rem; }
`;

// The row itself, whose columns mouse, finger or keyboard raise and lower.
function editable(state, changed) {
  const svg = drawn("svg", { class: "st-chart", "aria-hidden": "true" });
  const node = element("div", { class: "st-rowpaint", tabindex: 0, role: "application", "aria-roledescription": "row of values to edit" }, svg);
  let cursor = 5;
  const current = () => moved(state.values, state.shift);
  const set = (column, value) => {
    const n = state.values.length;
    state.values[(((column - state.shift) % n) + n) % n] = Math.round(Math.min(1, Math.max(0, value)) * 20) / 20;
    changed();
  };
  const show = () => {
    const values = current();
    drawRow(svg, svg.clientWidth || 320, { values, cell: 1, cursor });
    node.setAttribute("aria-label", `Row of the feature map, column ${cursor + 1} of ${values.length}: ${values[cursor].toFixed(2)}. Left and right move, up and down change the value.`);
  };
  const follow = (event) => {
    const box = svg.getBoundingClientRect();
    cursor = Math.min(COLUMNS - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * COLUMNS)));
    set(cursor, 1 - (event.clientY - box.top - 6) / (box.height - 14));
  };
  node.addEventListener("pointerdown", (event) => { if (!event.button) { node.setPointerCapture(event.pointerId); follow(event); } });
  node.addEventListener("pointermove", (event) => { if (event.buttons & 1) follow(event); });
  node.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
    if (!step) return;
    event.preventDefault();
    cursor = Math.min(COLUMNS - 1, Math.max(0, cursor + step[0]));
    if (step[1]) set(cursor, current()[cursor] + step[1]);
    else show();
  });
  return { node, show };
}

// How much each layer's answer changed, for every shift; the present one is set off.
function shiftTable() {
  const shifts = Array.from({ length: FARTHEST + 1 }, (_, shift) => shift);
  const head = shifts.map((shift) => element("th", { scope: "col" }, String(shift)));
  const body = element("tbody");
  const node = element(
    "table",
    { class: "st-figures st-shifts" },
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Shift"), ...head)),
    body,
  );
  const show = (state) => {
    head.forEach((cell, shift) => cell.classList.toggle("st-here", shift === state.shift));
    const rows = LAYERS.map(([kind, name]) => {
      const cells = shifts.map((shift) => {
        const { mean } = compare(state.values, kind, state.times, shift);
        return element("td", { class: shift === state.shift ? "st-here" : null }, String(Math.round(100 * mean)));
      });
      return element("tr", {}, element("th", { scope: "row" }, name.split(" ")[0]), ...cells);
    });
    body.replaceChildren(...rows);
  };
  return { node, show };
}

function render({ model, el }) {
  const state = { values: [...model.get("signal")], times: model.get("poolings"), shift: 1 };
  const root = card(el, "Shift a row of a feature map and watch what pooling answers");
  root.append(element("style", {}, STYLE));
  const row = editable(state, () => update());
  const table = shiftTable();
  const { node: says, say } = sentence();
  const panels = LAYERS.map(([kind, name]) => {
    const svg = drawn("svg", { class: "st-chart", role: "img" });
    const node = panel(name, svg);
    return { kind, name, svg, node, title: node.querySelector(".st-title") };
  });
  const update = () => {
    row.show();
    const counts = panels.map(({ kind, name, svg, title }) => {
      const comparison = compare(state.values, kind, state.times, state.shift);
      const number = comparison.changed.filter(Boolean).length;
      drawRow(svg, svg.clientWidth || 320, { values: comparison.found, cell: 2 ** state.times, comparison });
      const text = `${number} of ${COLUMNS} columns changed`;
      title.textContent = `${name}: ${text}`;
      svg.setAttribute("aria-label", `${name} at shift ${state.shift}: ${text}`);
      return number;
    });
    table.show(state);
    const cell = 2 ** state.times;
    const lesson = state.shift % cell
      ? `the outputs stand ${cell} columns apart, and ${state.shift} is no multiple of ${cell}.`
      : `${state.shift} is a multiple of the ${cell} columns between outputs: the answers move along, and nothing else happens.`;
    const list = LAYERS.map(([kind], i) => `*${counts[i]}* (${kind})`).join(", ");
    say(`Columns changed by more than ${TOLERANCE}: ${list}; ${lesson}`);
  };
  const shift = slider({
    label: "Shift (columns)", min: 0, max: FARTHEST, step: 1, value: state.shift, format: String,
    change: (value) => { state.shift = value; update(); },
  });
  const times = choice({
    legend: "Poolings by 2",
    options: [1, 2, 3].map((value) => ({ label: String(value), value })),
    value: state.times,
    change: (value) => { state.times = value; update(); },
  });
  const presets = Object.entries(ROWS).map(([name, value]) =>
    button(name, () => { state.values = Array.from({ length: COLUMNS }, (_, k) => value(k)); update(); }));
  root.append(
    element("div", { class: "st-row" }, shift.node, times.node),
    element("div", { class: "st-row st-tight", role: "group", "aria-label": "Ready-made rows" }, element("span", {}, "Row:"), ...presets),
    panel("One row of a feature map: drag its columns, or use the arrow keys", row.node),
    ...panels.map(({ node }) => node),
    element("p", { class: "st-key" }, "Bars: what the layer gives now. Dashed: what it gave at shift 0, moved along. Dots: where the two differ."),
    says,
    element("p", { class: "st-key" }, "Mean change of a column, in hundredths, for each shift"),
    table.node,
  );
  const stop = whenResized(root, update);
  update();
  return stop;
}

export { answer, compare, pooled };
export default { render };
