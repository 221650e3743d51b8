// Section 5.2: a confusion matrix whose classes can be merged, and one logit that can be shifted.

// Confusion, rows truth, when the logit of class `shifted` is raised by shift number `step`.
// counts: (C, C, C, S + 1) by shifted class, truth, best other class, shifts before it changes hands.
function confusionAt(counts, classes, steps, shifted, step) {
  const matrix = Array.from({ length: classes }, () => new Array(classes).fill(0));
  for (let truth = 0; truth < classes; truth++)
    for (let other = 0; other < classes; other++) {
      const start = ((shifted * classes + truth) * classes + other) * (steps + 1);
      for (let k = 0; k <= steps; k++) matrix[truth][k <= step ? shifted : other] += counts[start + k];
    }
  return matrix;
}

// Rows and columns of the classes of a group added up. groups: lists of classes.
function merged(matrix, groups) {
  const sum = (rows, columns) => rows.reduce((total, i) => total + columns.reduce((part, j) => part + matrix[i][j], 0), 0);
  return groups.map((rows) => groups.map((columns) => sum(rows, columns)));
}

// IoU, precision and recall of each class (null where 0 / 0), their mean IoU, and the accuracy.
function scores(matrix) {
  const ratio = (part, whole) => (whole ? part / whole : null);
  const all = matrix.flat().reduce((sum, value) => sum + value, 0);
  const each = matrix.map((row, i) => {
    const [hits, truth] = [row[i], row.reduce((sum, value) => sum + value, 0)];
    const said = matrix.reduce((sum, line) => sum + line[i], 0);
    return { iou: ratio(hits, truth + said - hits), precision: ratio(hits, said), recall: ratio(hits, truth) };
  });
  const shown = each.filter(({ iou }) => iou !== null);
  return {
    each,
    meanIoU: ratio(shown.reduce((sum, { iou }) => sum + iou, 0), shown.length),
    accuracy: ratio(matrix.reduce((sum, row, i) => sum + row[i], 0), all),
  };
}

const join = (groups, i, j) =>
  groups.filter((_, k) => k !== i && k !== j).concat([[...groups[i], ...groups[j]].sort((a, b) => a - b)]).sort((a, b) => a[0] - b[0]);

// The two groups whose merging leaves the highest mean IoU, or null if only two are left.
function bestPair(matrix, groups) {
  let best = null;
  if (groups.length < 3) return best;
  for (let i = 0; i < groups.length; i++)
    for (let j = i + 1; j < groups.length; j++) {
      const { meanIoU } = scores(merged(matrix, join(groups, i, j)));
      if (!best || meanIoU > best.meanIoU) best = { pair: [i, j], meanIoU };
    }
  return best;
}

// Labels of one street with one logit raised; distances: sixteenths below the largest logit.
function answers(distances, classes, shifted, shift) {
  const pixels = distances.length / classes;
  const labels = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i++) {
    let least = Infinity;
    for (let c = 0; c < classes; c++) {
      const far = distances[c * pixels + i] - (c === shifted ? 16 * shift : 0);
      if (far < least) [least, labels[i]] = [far, c];
    }
  }
  return labels;
}

const percent = (share) => (share >= 0.0995 ? (100 * share).toFixed(0) : (100 * share).toFixed(1));
const times = (factor) => (factor >= 10 ? factor.toFixed(0) : factor >= 1 ? factor.toFixed(1) : factor.toFixed(2));
const minus = (value) => value.toFixed(2).replace("-", "−");
const swatch = (color) => element("span", { class: "st-swatch", style: `background:${color}` });
const bar = (value) => element("span", { class: "st-bar", style: `--st-share:${100 * value}%` });

// The matrix as a table of percentages of each row, diagonal and errors in two colors.
function matrixTable() {
  const [head, body] = [element("thead"), element("tbody")];
  const caption = element("caption", {}, "Rows: true class. Columns: the answer. Percent of the row.");
  const node = element("table", { class: "st-confusion" }, caption, head, body);
  const show = (matrix, names, colors) => {
    const heads = names.map((name, j) => element("th", { scope: "col" }, element("span", {}, swatch(colors[j]), " " + name)));
    head.replaceChildren(element("tr", {}, element("th", { scope: "col" }, "truth"), ...heads));
    body.replaceChildren(...matrix.map((row, i) => {
      const total = row.reduce((sum, value) => sum + value, 0);
      const cells = row.map((value, j) => {
        const share = total ? value / total : 0;
        const depth = share ? Math.round(44 * share ** 0.4) : 0;
        const ink = i === j ? "--st-accent" : "--st-second";
        const style = `background:color-mix(in srgb, var(${ink}) ${depth}%, var(--st-paper))`;
        return element("td", { style }, share >= 0.0005 ? percent(share) : "");
      });
      return element("tr", {}, element("th", { scope: "row" }, swatch(colors[i]), " " + names[i]), ...cells);
    }));
  };
  return { node, show };
}

function scoreRows() {
  const columns = ["IoU", "Precision", "Recall"];
  const body = element("tbody");
  const head = element("tr", {}, ...["Class", ...columns].map((name) => element("th", { scope: "col" }, name)));
  const node = element("table", { class: "st-figures st-even" }, element("thead", {}, head), body);
  const cell = (value) => (value === null ? element("td", {}, "none") : element("td", {}, value.toFixed(3), bar(value)));
  const show = (each, names, colors) => body.replaceChildren(...each.map(({ iou, precision, recall }, i) =>
    element("tr", {}, element("th", { scope: "row" }, swatch(colors[i]), " " + names[i]), cell(iou), cell(precision), cell(recall))));
  return { node, show };
}

function canvasPanel(title, name) {
  const canvas = element("canvas", { class: "st-crisp", role: "img", "aria-label": name });
  return { canvas, node: panel(title, canvas) };
}

function render({ model, el }) {
  const [height, width, shifts] = ["height", "width", "shifts"].map((name) => model.get(name));
  const [names, colors, truth] = [model.get("classes"), bytes(model, "colors"), bytes(model, "labels").slice()];
  const distances = bytes(model, "distances");
  const counts = new Uint32Array(bytes(model, "counts").slice().buffer);
  const [classes, steps, rest] = [names.length, shifts.length, shifts.indexOf(0)];
  const apart = names.map((_, label) => [label]);
  const root = card(el, "A confusion matrix to merge and to shift");
  let [groups, chosen, shifted, step, lines] = [apart, null, model.get("opening"), rest, null];

  const nameOf = (group) => group.map((label) => names[label]).join(" + ");
  const chips = element("div", { class: "st-row st-tight", role: "group", "aria-label": "Classes: choose two to merge them" });
  const table = matrixTable();
  const rows = scoreRows();
  const tiles = element("dl", { class: "st-tiles st-three" });
  const chartPlace = element("div", { class: "st-shiftchart" });
  const { node: says, say } = sentence();
  const photo = element("img", { class: "st-crisp", alt: "One of the streets that were counted", src: model.get("picture") });
  const truthMap = canvasPanel("Truth", "True labels of the street");
  const answerMap = canvasPanel("Answer", "Labels that the network gives the street");

  const push = (i) => {
    const [before, pressed] = [groups, groups[i][0]];
    if (chosen === null) chosen = i;
    else if (chosen !== i) [groups, chosen] = [join(groups, chosen, i), null];
    else {
      if (groups[i].length > 1) groups = groups.flatMap((group, k) => (k === i ? group.map((label) => [label]) : [group])).sort((a, b) => a[0] - b[0]);
      chosen = null;
    }
    update(groups === before ? "" : "Classes");
    chips.children[groups.findIndex((group) => group.includes(pressed))].focus();
  };
  const useGroups = (next) => { [groups, chosen] = [next, null]; update("Classes"); };
  const ready = model.get("merges").map(({ name, merge }) =>
    button(name, () => useGroups([...new Set(merge)].map((value) => apart.flat().filter((label) => merge[label] === value)))));
  const helps = button("merge the pair that gains most", () => {
    const found = bestPair(confusionAt(counts, classes, steps, shifted, step), groups);
    if (found) useGroups(join(groups, ...found.pair));
  });
  const which = choice({
    legend: "Raise the logit of", value: shifted,
    options: names.map((label, value) => ({ label, value, color: classColor(colors, value) })),
    change: (value) => { [shifted, step] = [value, rest]; control.set(rest); update("Curves"); },
  });
  const reading = (k) => (k === rest ? "0: as it was trained" : `${shifts[k] > 0 ? "+" : ""}${minus(shifts[k])}: as if ${times(Math.exp(shifts[k]))} times as frequent`);
  const control = slider({
    label: "Shift of its logit", min: 0, max: steps - 1, step: 1, value: rest, format: reading,
    change: (value) => { step = value; update(""); },
  });

  const curves = () => {
    const place = groups.findIndex((group) => group.includes(shifted));
    const every = shifts.map((_, k) => scores(merged(confusionAt(counts, classes, steps, shifted, k), groups)).each[place]);
    const line = (key, other) => ({ xs: shifts, ys: every.map((one) => one[key] ?? 0), other });
    lines?.stop();
    lines = chart({
      name: `IoU, precision and recall of ${nameOf(groups[place])} against the shift`, xTitle: "shift of the logit",
      yTitle: `${nameOf(groups[place])}: IoU (line), precision and recall (dashed)`, low: 0, high: 1, format: (value) => value.toFixed(1),
      lines: [line("iou", false), line("precision", true), line("recall", true)],
      notes: [
        { x: shifts[steps - 1], y: (every[steps - 1].recall ?? 0) - 0.16, text: "recall", anchor: "end" },
        { x: shifts[steps - 1], y: (every[steps - 1].precision ?? 0) + 0.05, text: "precision", anchor: "end" },
      ],
    });
    chartPlace.replaceChildren(lines.node);
  };

  const update = (what) => {
    const matrix = confusionAt(counts, classes, steps, shifted, step);
    const small = merged(matrix, groups);
    const result = scores(small);
    const [labels, tints] = [groups.map(nameOf), groups.map((group) => classColor(colors, group[0]))];
    const paint = colors.slice();
    groups.forEach((group) => group.forEach((label) => paint.set(colors.subarray(3 * group[0], 3 * group[0] + 3), 3 * label)));
    chips.replaceChildren(...groups.map((_, i) =>
      element("button", { type: "button", class: "st-button st-chip", "aria-pressed": String(chosen === i), onclick: () => push(i) }, swatch(tints[i]), " " + labels[i])));
    helps.disabled = groups.length < 3;
    table.show(small, labels, tints);
    rows.show(result.each, labels, tints);
    const values = { Classes: String(groups.length), "Mean IoU": result.meanIoU.toFixed(3), "Pixel accuracy": result.accuracy.toFixed(3) };
    tiles.replaceChildren(...Object.entries(values).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
    paintLabels(truthMap.canvas, truth, height, width, paint);
    paintLabels(answerMap.canvas, answers(distances, classes, shifted, shifts[step]), height, width, paint);
    if (what) curves();
    lines.mark(shifts[step]);
    const usual = scores(confusionAt(counts, classes, steps, shifted, rest));
    if (chosen !== null) {
      const undo = groups[chosen].length > 1 ? "Press it again to take it apart." : "Press it again to let it go.";
      say(`*${labels[chosen]}*: choose the class to merge it with. ${undo}`, true);
    } else if (step !== rest) {
      const { iou, precision, recall } = result.each[groups.findIndex((group) => group.includes(shifted))];
      const show = (value) => (value === null ? "none" : value.toFixed(2));
      say(`*${names[shifted]}* raised by ${minus(shifts[step])}: precision ${show(precision)}, recall ${show(recall)}, IoU ${show(iou)}. No weight has been changed.`, true);
    } else if (groups.length < classes)
      say(`The same answers, ${groups.length} classes: mean IoU *${result.meanIoU.toFixed(3)}* instead of ${usual.meanIoU.toFixed(3)}.`, true);
    else say("Choose two classes to merge them, or raise the logit of one.", true);
  };

  root.append(
    chips,
    element("div", { class: "st-row st-tight", role: "group", "aria-label": "Ready-made merges" }, button("all apart", () => useGroups(apart)), ...ready, helps),
    element("div", { class: "st-panels st-confused" }, element("div", { class: "st-panel" }, table.node, tiles, says),
      element("div", { class: "st-panels st-streets", style: "--st-columns:1" }, panel("Picture", photo), truthMap.node, answerMap.node)),
    element("div", { class: "st-row" }, which.node),
    element("div", { class: "st-row" }, control.node),
    chartPlace,
    rows.node,
  );
  update("Curves");
  return () => lines.stop();
}

export { confusionAt, merged, scores, bestPair, answers };
export default { render };
