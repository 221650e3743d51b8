// Section 4.3: a recorded training, replayed: two curves, and what the network says at each step.

const PAUSE = 350; // milliseconds between two recorded steps

async function inflate(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Label map of picture `index` at recorded step `frame`; `all` keeps each pixel's history together.
function labelsAt(all, frame, index, frames, cells) {
  const labels = new Uint8Array(cells);
  for (let i = 0; i < cells; i++) labels[i] = all[(index * cells + i) * frames + frame];
  return labels;
}

function render({ model, el }) {
  const [height, width] = [model.get("height"), model.get("width")];
  const [steps, pictures, classes] = ["steps", "pictures", "classes"].map((name) => model.get(name));
  const [colors, targets] = [bytes(model, "colors"), bytes(model, "targets")];
  const loss = { xs: model.get("loss_steps"), ys: model.get("loss") };
  const quality = { xs: model.get("mean_iou_steps"), ys: model.get("mean_iou"), other: true };
  const cells = height * width;
  const root = card(el, "A recorded training, step by step");
  const charts = [
    chart({ name: "Training loss over the steps", xTitle: "step", yTitle: "loss", lines: [loss], until: steps[steps.length - 1], low: 0, high: Math.max(...loss.ys) * 1.05, format: (value) => String(Number(value.toFixed(3))) }),
    chart({ name: "Mean IoU on the validation set over the steps", xTitle: "step", yTitle: "mean IoU", lines: [quality], until: steps[steps.length - 1], low: 0, high: 1, format: (value) => value.toFixed(1) }),
  ];
  const truths = pictures.map((_, index) => {
    const canvas = element("canvas", { class: "st-crisp", role: "img", "aria-label": `True label map of picture ${index + 1}` });
    paintLabels(canvas, targets.subarray(index * cells, (index + 1) * cells), height, width, colors);
    return canvas;
  });
  const predictions = pictures.map(() => element("canvas", { class: "st-crisp", role: "img" }));
  const { node: says, say } = sentence();
  let all = null;
  let timer = null;
  const update = () => {
    const frame = position.get();
    charts.forEach((one) => one.mark(steps[frame]));
    if (!all) return;
    let right = 0;
    let labeled = 0;
    predictions.forEach((canvas, index) => {
      const labels = labelsAt(all, frame, index, steps.length, cells);
      paintLabels(canvas, labels, height, width, colors);
      const truth = targets.subarray(index * cells, (index + 1) * cells);
      let hits = 0;
      let known = 0;
      truth.forEach((label, i) => { if (label !== 255) { known++; hits += label === labels[i]; } });
      canvas.setAttribute("aria-label", `Prediction for picture ${index + 1} after step ${steps[frame]}: ${((100 * hits) / known).toFixed(0)} % of the pixels right`);
      right += hits;
      labeled += known;
    });
    say(`After step *${count(steps[frame])}*: loss *${interpolated(loss, steps[frame]).toFixed(2)}*, mean IoU *${interpolated(quality, steps[frame]).toFixed(2)}*; ${((100 * right) / labeled).toFixed(0)} % of these pictures' pixels are right.`, true);
  };
  const stop = () => {
    clearTimeout(timer);
    timer = null;
    play.textContent = still ? "Next step" : "Play";
  };
  const advance = () => {
    position.set((position.get() + 1) % steps.length);
    update();
    if (still || position.get() === steps.length - 1) stop();
    else timer = setTimeout(advance, PAUSE);
  };
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const play = button(still ? "Next step" : "Play", () => {
    if (timer) return stop();
    if (!still) play.textContent = "Pause";
    advance();
  });
  const position = slider({
    label: "Training step", min: 0, max: steps.length - 1, step: 1, value: 0,
    format: (frame) => `${count(steps[frame])} of ${count(steps[steps.length - 1])}`,
    change: () => { stop(); update(); },
  });
  const row = (title, nodes) =>
    element("div", { class: "st-panel", style: "margin-bottom:0.5rem" }, element("span", { class: "st-title" }, title),
      element("div", { class: "st-panels", style: `--st-columns:${pictures.length};grid-template-columns:repeat(${pictures.length},minmax(0,1fr))` }, ...nodes));
  root.append(
    element("div", { class: "st-row" }, play, position.node),
    element("div", { class: "st-panels st-pairs", style: "margin-bottom:0.8rem" }, ...charts.map((one) => one.node)),
    row("Prediction at this step", predictions),
    row("Truth", truths),
    row("Picture", pictures.map((source, index) => element("img", { src: source, alt: `Picture ${index + 1}` }))),
    says,
    legend(classes, colors),
  );
  update();
  inflate(bytes(model, "predictions")).then((values) => { all = values; update(); });
  return () => { stop(); charts.forEach((one) => one.stop()); };
}

export default { render };
