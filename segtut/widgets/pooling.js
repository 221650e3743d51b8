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

// The answer at each column: interpolated between the outputs, as networks do with their logits.
function answer(values, kind, times) {
  const outputs = pooled(values, kind, times);
  const m = outputs.length;
  return values.map((_, k) => {
    const place = (k + 0.5) / 2 ** times - 0.5 + m;
    const first = Math.floor(place);
    return outputs[first % m] * (1 - (place - first)) + outputs[(first + 1) % m] * (place - first);
  });
}

// Shift the row, pool it, compare with the answer at shift 0 moved along.
function compare(values, kind, times, shift) {
  const found = answer(moved(values, shift), kind, times);
  const expected = moved(answer(values, kind, times), shift);
  const change = found.map((value, k) => Math.abs(value - expected[k]));
  const mean = change.reduce((sum, value) => sum + value, 0) / change.length;
  return { found, expected, mean, changed: change.map((value) => value > TOLERANCE) };
}

const [LEFT, TOP, HEIGHT] = [2, 7, 64];
const BOTTOM = HEIGHT - 10;
const heightOf = (value) => BOTTOM - value * (BOTTOM - TOP);

function baseline(width) {
  return drawn("line", { class: "st-axis", x1: LEFT, x2: width - LEFT, y1: BOTTOM, y2: BOTTOM });
}

// The row before pooling: a bar a column, the cursor around one of them.
function drawBars(node, width, values, cursor) {
  const step = (width - 2 * LEFT) / values.length;
  const bars = values.map((value, k) =>
    drawn("rect", { class: "st-box", x: LEFT + k * step + 0.5, y: heightOf(value), width: step - 1, height: BOTTOM - heightOf(value) }));
  const frame = drawn("rect", { class: "st-cursor", x: LEFT + cursor * step, y: TOP - 4, width: step, height: BOTTOM - TOP + 8, rx: 2 });
  node.setAttribute("height", HEIGHT);
  node.replaceChildren(...bars, baseline(width), frame);
}

// A layer's answer: its outputs as dots, the line between them, the line it should be, dashed, and
// what lies between the two lines where they differ.
function drawAnswer(node, width, outputs, { found, expected, changed }) {
  const step = (width - 2 * LEFT) / found.length;
  const middle = (k) => LEFT + (k + 0.5) * step;
  const cell = found.length / outputs.length;
  const line = (values) => values.map((value, k) => `${middle(k)},${heightOf(value)}`).join(" ");
  const parts = [baseline(width)];
  changed.forEach((differs, k) => {
    if (!differs) return;
    const [high, low] = [Math.max(found[k], expected[k]), Math.min(found[k], expected[k])];
    parts.push(
      drawn("rect", { class: "st-changed", x: middle(k) - step / 2 + 0.5, y: heightOf(high), width: step - 1, height: heightOf(low) - heightOf(high) }),
      drawn("circle", { class: "st-mark", cx: middle(k), cy: BOTTOM + 6, r: 2.5 }),
    );
  });
  parts.push(
    drawn("polyline", { class: "st-line st-other", points: line(expected) }),
    drawn("polyline", { class: "st-line", points: line(found) }),
    ...outputs.map((value, i) => drawn("circle", { class: "st-dot", cx: LEFT + (i + 0.5) * cell * step, cy: heightOf(value), r: 4 })),
  );
  node.setAttribute("height", HEIGHT);
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
    drawBars(svg, svg.clientWidth || 320, values, cursor);
    node.setAttribute("aria-label", `Row of the feature map, column ${cursor + 1} of ${values.length}: ${values[cursor].toFixed(2)}. Left and right move, up and down change the value.`);
  };
  const follow = (event) => {
    const box = svg.getBoundingClientRect();
    cursor = Math.min(COLUMNS - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * COLUMNS)));
    set(cursor, (BOTTOM - (event.clientY - box.top)) / (BOTTOM - TOP));
  };
  whenDragged(node, follow);
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
    const changes = panels.map(({ kind, name, svg, title }) => {
      const comparison = compare(state.values, kind, state.times, state.shift);
      const number = comparison.changed.filter(Boolean).length;
      const outputs = pooled(moved(state.values, state.shift), kind, state.times);
      drawAnswer(svg, svg.clientWidth || 320, outputs, comparison);
      const change = comparison.mean.toFixed(2);
      const text = `mean change ${change}, ${number} of ${COLUMNS} columns changed`;
      title.textContent = `${name}: ${text}`;
      svg.setAttribute("aria-label", `${name} at shift ${state.shift}: ${text}`);
      return change;
    });
    table.show(state);
    const cell = 2 ** state.times;
    const lesson = state.shift % cell
      ? `the outputs stand ${cell} columns apart, and ${state.shift} is no multiple of ${cell}.`
      : `${state.shift} is a multiple of the ${cell} columns between outputs: the answers move along, and nothing else happens.`;
    const list = LAYERS.map(([kind], i) => `*${changes[i]}* (${kind})`).join(", ");
    say(`Mean change of a column: ${list}; ${lesson}`);
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
    element("p", { class: "st-key" }, `Large dots: the outputs, with the answer interpolated between them. Dashed: the answer at shift 0, moved along. Shaded, with a small dot below: where the two differ by more than ${TOLERANCE}.`),
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
