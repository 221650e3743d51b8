// Section 3.4.1: from code to code, along the straight line and along the great circle.

const BEAT = 90; // milliseconds between two steps while playing
const WAYS = [["the straight line", onLine], ["the great circle", onCircle]];

// The code at `position` of a round walk: 2.5 is half-way from the third stop to the fourth.
function codeAt(stops, position, way) {
  const from = Math.floor(position) % stops.length;
  const share = position - Math.floor(position);
  return share ? way(stops[from], stops[(from + 1) % stops.length], share) : stops[from];
}

// Lengths of the codes all along the walk.
function lengthsOf(stops, way, steps = 20) {
  const xs = Array.from({ length: stops.length * steps + 1 }, (_, i) => i / steps);
  return { xs, ys: xs.map((position) => lengthOf(codeAt(stops, position, way))) };
}

function render({ model, el }) {
  const size = model.get("code_size");
  const [typical, spread] = [model.get("typical"), model.get("spread")];
  const given = floats(model, "codes");
  const first = Array.from({ length: given.length / size }, (_, k) => given.slice(k * size, (k + 1) * size));
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const root = card(el, "A walk from code to code, and the pictures a generator makes on the way");
  const decoder = startDecoder(model, root);
  const { node: says, say } = sentence();
  const normal = makeNormal(7);
  const large = WAYS.map(([name]) => pictureCanvas(`The picture on ${name}`));
  const numbers = tiles(["Length on the line", "Length on the circle", "A drawn code's length"]);
  const graph = element("div");
  let [stops, position, pace, timer, lines] = [first, 0, 20, null, null];

  const round = () => stops.length * pace;
  const at = () => Math.round(position * pace); // in steps
  const place = () => {
    const [from, share] = [Math.floor(position) % stops.length, position - Math.floor(position)];
    return share ? `${from + 1} to ${((from + 1) % stops.length) + 1}, ${Math.round(100 * share)} %` : `at ${from + 1}`;
  };
  const tell = () => {
    const [line, circle] = WAYS.map(([, way]) => lengthOf(codeAt(stops, position, way)));
    const short = (typical - line) / spread;
    if (!(position % 1)) return say(`*Stop ${(Math.floor(position) % stops.length) + 1}*: both ways pass through this code, which was not made by mixing.`, true);
    const verdict = short > 2 ? `*${short.toFixed(1)} standard deviations shorter* than codes that are drawn: the generator has hardly met such a code` : "as long as many codes that are drawn";
    say(`On the straight line the code is ${line.toFixed(1)} long, ${verdict}; on the great circle it is ${circle.toFixed(1)} long.`, short <= 2);
  };
  const show = () => {
    const codes = WAYS.map(([, way]) => codeAt(stops, position, way));
    codes.forEach((code, k) => decoder.draw(large[k], code));
    numbers.show([...codes.map((code) => lengthOf(code).toFixed(2)), `${typical.toFixed(1)} ± ${spread.toFixed(1)}`]);
    lines.mark(position + 1);
    small.forEach(({ node }, k) => node.setAttribute("aria-pressed", String(Math.floor(position) % stops.length === k && !(position % 1))));
    if (!timer) tell();
  };
  const goTo = (steps) => {
    position = (((steps % round()) + round()) % round()) / pace;
    slide.set(position);
    show();
  };
  const halt = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  const step = (by) => { halt(); goTo(at() + by); };
  const play = button("Play", () => {
    if (timer) { halt(); return tell(); }
    play.textContent = "Pause";
    timer = setInterval(() => goTo(at() + 1), BEAT);
    say("Walking from code to code and back to the first.", true);
  });
  play.hidden = calm; // who asked for less motion steps by hand

  const small = first.map((_, k) => {
    const canvas = pictureCanvas(`Stop ${k + 1}`);
    const node = element("button", { type: "button", class: "st-pick", "aria-label": `Go to stop ${k + 1}` }, canvas, element("span", {}, String(k + 1)));
    node.addEventListener("click", () => { halt(); goTo(k * pace); });
    return { canvas, node };
  });
  const setStops = (next) => {
    stops = next;
    small.forEach(({ canvas }, k) => decoder.draw(canvas, stops[k]));
    const [line, circle] = WAYS.map(([, way]) => lengthsOf(stops, way));
    const [low, high] = [Math.min(...line.ys, typical - spread), Math.max(...circle.ys, ...line.ys, typical + spread)];
    lines?.stop();
    lines = chart({
      name: "The code's length along the walk, on the great circle and on the straight line",
      xTitle: "stop; after the last, the first again", yTitle: "length of the code; dashed: straight line", height: 150,
      low: Math.max(0, low - 0.1 * (high - low)), high, format: (value) => String(Number(value.toFixed(1))),
      lines: [circle, { ...line, other: true }].map((one) => ({ ...one, xs: one.xs.map((x) => x + 1) })),
    });
    graph.replaceChildren(lines.node);
  };
  const slide = slider({
    label: "Place on the walk", min: 0, max: first.length, step: 0.01, value: 0, format: place,
    change: (value) => { halt(); position = value >= stops.length ? 0 : value; slide.set(value); show(); },
  });
  const pacing = slider({
    label: "Steps from stop to stop", min: 5, max: 60, step: 5, value: pace, format: String,
    change: (value) => { pace = value; },
  });
  const others = button("Other codes", () => {
    setStops(stops.map((code) => Float32Array.from(code, normal)));
    show();
  });
  root.append(
    element("div", { class: "st-row st-tight" }, play, button("Step back", () => step(-1)), button("Step on", () => step(1)), others),
    element("div", { class: "st-row" }, slide.node, pacing.node),
    element("div", { class: "st-pictures-two" }, ...large.map((canvas, k) => panel(`On ${WAYS[k][0]}`, canvas))),
    element("p", { class: "st-sub" }, "The stops: press one to go there"),
    element("div", { class: "st-strip", style: `--st-count:${small.length}` }, ...small.map(({ node }) => node)),
    numbers.node,
    says,
    graph,
  );
  setStops(first);
  goTo(at() + Math.round(pace / 2));
  return () => { halt(); lines.stop(); decoder.stop(); };
}

export { codeAt, lengthsOf, onCircle, onLine };
export default { render };
