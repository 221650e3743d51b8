// Runs the programs of segtut.program in the page: a U-Net on pixels, a decoder on a code.

// All of the engine is inside one function, so that its own text can be sent to a worker.
function makeEngine() {
  // float16 to float32: sign, five bits of exponent, ten of fraction.
  function fromHalf(halves) {
    return Float32Array.from(halves, (half) => {
      const [sign, exponent, fraction] = [half >> 15 ? -1 : 1, (half >> 10) & 31, half & 1023];
      const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024);
      return sign * size;
    });
  }

  // A map of numbers, each channel inside a rim of zeros one value wide: what padding sees.
  function makeMap(channels, height, width) {
    const stride = width + 2;
    return { channels, height, width, stride, plane: (height + 2) * stride, data: new Float64Array(channels * (height + 2) * stride) };
  }

  // Where row y of a channel begins, inside the rim.
  const row = (map, channel, y) => channel * map.plane + (y + 1) * map.stride + 1;

  // out[y] += 3x3 kernels times the rows around y, for two output channels at a time: the three
  // columns of the picture under the kernel move along in local variables.
  function addRows(source, target, weights, y, first, second) {
    const { stride, plane, data, channels } = source;
    const [out, width] = [target.data, target.width];
    const [start, other] = [row(target, first, y), row(target, second, y)];
    for (let channel = 0; channel < channels; channel++) {
      const a = (first * channels + channel) * 9;
      const b = (second * channels + channel) * 9;
      const a0 = weights[a], a1 = weights[a + 1], a2 = weights[a + 2];
      const a3 = weights[a + 3], a4 = weights[a + 4], a5 = weights[a + 5];
      const a6 = weights[a + 6], a7 = weights[a + 7], a8 = weights[a + 8];
      const b0 = weights[b], b1 = weights[b + 1], b2 = weights[b + 2];
      const b3 = weights[b + 3], b4 = weights[b + 4], b5 = weights[b + 5];
      const b6 = weights[b + 6], b7 = weights[b + 7], b8 = weights[b + 8];
      const above = channel * plane + y * stride, here = above + stride, below = here + stride;
      let p0 = data[above], p1 = data[above + 1];
      let p3 = data[here], p4 = data[here + 1];
      let p6 = data[below], p7 = data[below + 1];
      for (let x = 0; x < width; x++) {
        const p2 = data[above + x + 2], p5 = data[here + x + 2], p8 = data[below + x + 2];
        out[start + x] += (a0 * p0 + a1 * p1 + a2 * p2) + (a3 * p3 + a4 * p4 + a5 * p5) + (a6 * p6 + a7 * p7 + a8 * p8);
        out[other + x] += (b0 * p0 + b1 * p1 + b2 * p2) + (b3 * p3 + b4 * p4 + b5 * p5) + (b6 * p6 + b7 * p7 + b8 * p8);
        p0 = p1; p1 = p2; p3 = p4; p4 = p5; p6 = p7; p7 = p8;
      }
    }
  }

  function addPoints(source, target, weights, y, channel, stride) {
    const [data, out, width] = [source.data, target.data, target.width];
    const start = row(target, channel, y);
    for (let from = 0; from < source.channels; from++) {
      const weight = weights[channel * source.channels + from];
      const begin = row(source, from, stride * y);
      for (let x = 0; x < width; x++) out[start + x] += weight * data[begin + stride * x];
    }
  }

  // One output channel, tap by tap: for strides, 4x4 kernels, and the odd channel without a partner.
  function addChannel(source, target, weights, y, channel, stride, kernel) {
    const [data, out, width] = [source.data, target.data, target.width];
    const start = row(target, channel, y);
    for (let from = 0; from < source.channels; from++)
      for (let tap = 0; tap < kernel * kernel; tap++) {
        const weight = weights[(channel * source.channels + from) * kernel * kernel + tap];
        const begin = row(source, from, stride * y + Math.floor(tap / kernel) - 1) + (tap % kernel) - 1;
        for (let x = 0; x < width; x++) out[start + x] += weight * data[begin + stride * x];
      }
  }

  // Weights and biases of a layer, `each` weights between a channel that enters and one that leaves.
  function layer({ channels, at }, each, weights) {
    const [entering, leaving] = channels;
    const end = at + leaving * entering * each;
    return [weights.subarray(at, end), weights.subarray(end, end + leaving)];
  }

  function convolution(source, target, operation, weights) {
    const { kernel, stride, relu } = operation;
    const leaving = operation.channels[1];
    const [kernels, biases] = layer(operation, kernel * kernel, weights);
    const out = target.data;
    const paired = kernel === 3 && stride === 1 ? leaving - (leaving % 2) : 0;
    for (let y = 0; y < target.height; y++) {
      for (let channel = 0; channel < leaving; channel++) {
        const start = row(target, channel, y);
        out.fill(biases[channel], start, start + target.width);
      }
      for (let channel = 0; channel < paired; channel += 2) addRows(source, target, kernels, y, channel, channel + 1);
      for (let channel = paired; channel < leaving; channel++)
        if (kernel === 1) addPoints(source, target, kernels, y, channel, stride);
        else addChannel(source, target, kernels, y, channel, stride, kernel);
      if (!relu) continue;
      for (let channel = 0; channel < leaving; channel++) {
        const start = row(target, channel, y);
        for (let x = start; x < start + target.width; x++) if (out[x] < 0) out[x] = 0;
      }
    }
  }

  // Each pixel becomes a square of 2x2, every one of the four with weights of its own.
  function transposed(source, target, operation, weights) {
    const [kernels, biases] = layer(operation, 4, weights);
    const { channels } = source;
    fill(target, (channel, y, x) => {
      const tap = 2 * (y & 1) + (x & 1);
      let sum = biases[channel];
      for (let from = 0; from < channels; from++)
        sum += kernels[4 * (channel * channels + from) + tap] * read(source, from, y >> 1, x >> 1);
      return operation.relu && sum < 0 ? 0 : sum;
    });
  }

  // All numbers of a map against all weights; what leaves is one pixel of many channels.
  function linear(source, target, operation, weights) {
    const [entering, leaving] = operation.channels;
    const [kernels, biases] = layer(operation, 1, weights);
    const values = flat(source);
    for (let channel = 0; channel < leaving; channel++) {
      let sum = biases[channel];
      for (let from = 0; from < entering; from++) sum += kernels[channel * entering + from] * values[from];
      target.data[row(target, channel, 0)] = operation.relu && sum < 0 ? 0 : sum;
    }
  }

  // Batch normalization with other statistics than those folded into the layer before: `share` of
  // them are the map's own. On the data of the stored ones a channel has this mean and deviation.
  function standardize(source, target, { mean, std, floor, share, relu }) {
    const { height, width } = source;
    const places = height * width;
    const all = (channel, value) => {
      let sum = 0;
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) sum += value(read(source, channel, y, x));
      return sum / places;
    };
    const factors = mean.map((stored, channel) => {
      const middle = all(channel, (value) => value);
      const own = all(channel, (value) => (value - middle) ** 2);
      const spread = (1 - share) * (std[channel] ** 2 - floor[channel]) + share * own + floor[channel];
      return { middle: (1 - share) * stored + share * middle, factor: spread ? std[channel] / Math.sqrt(spread) : 0 };
    });
    fill(target, (channel, y, x) => {
      const { middle, factor } = factors[channel];
      const value = (read(source, channel, y, x) - middle) * factor + mean[channel];
      return relu && value < 0 ? 0 : value;
    });
  }

  // target(channel, y, x) = value(channel, y, x), for every place of the target.
  function fill(target, value) {
    for (let channel = 0; channel < target.channels; channel++)
      for (let y = 0; y < target.height; y++) {
        const start = row(target, channel, y);
        for (let x = 0; x < target.width; x++) target.data[start + x] = value(channel, y, x);
      }
  }

  const read = (map, channel, y, x) => map.data[row(map, channel, y) + x];

  // The numbers of a map without its rims, (C, H, W).
  function flat(map) {
    const { channels, height, width } = map;
    const values = new Float32Array(channels * height * width);
    for (let channel = 0; channel < channels; channel++)
      for (let y = 0; y < height; y++) {
        const start = row(map, channel, y);
        values.set(map.data.subarray(start, start + width), (channel * height + y) * width);
      }
    return values;
  }

  const sameShape = ([source]) => [source.channels, source.height, source.width];
  const doubled = ([source]) => [source.channels, 2 * source.height, 2 * source.width];
  const ACTIVATIONS = {
    relu: (value) => (value < 0 ? 0 : value),
    leaky_relu: (value, slope) => (value < 0 ? slope * value : value),
    sigmoid: (value) => 1 / (1 + Math.exp(-value)),
    tanh: Math.tanh,
  };

  // What each operation gives: the shape of its map, and the numbers in it.
  const OPERATIONS = {
    normalize: {
      shape: sameShape,
      run: ([image], target, { mean, std }) => fill(target, (c, y, x) => (read(image, c, y, x) - mean[c]) / std[c]),
    },
    convolution: {
      shape: ([source], { channels, kernel, stride }) => {
        const places = (size) => Math.floor((size + (kernel === 1 ? 0 : 2) - kernel) / stride) + 1;
        return [channels[1], places(source.height), places(source.width)];
      },
      run: ([source], target, operation, weights) => convolution(source, target, operation, weights),
    },
    transposed: {
      shape: ([source], { channels }) => [channels[1], 2 * source.height, 2 * source.width],
      run: ([source], target, operation, weights) => transposed(source, target, operation, weights),
    },
    linear: {
      shape: (_, { channels }) => [channels[1], 1, 1],
      run: ([source], target, operation, weights) => linear(source, target, operation, weights),
    },
    activate: {
      shape: sameShape,
      run: ([source], target, { kind, slope }) => {
        const activation = ACTIVATIONS[kind];
        fill(target, (c, y, x) => activation(read(source, c, y, x), slope));
      },
    },
    standardize: {
      shape: sameShape,
      run: ([source], target, operation) => standardize(source, target, operation),
    },
    reshape: {
      shape: ([source], { shape }) => shape ?? [source.channels * source.height * source.width, 1, 1],
      run: ([source], target) => {
        const values = flat(source);
        fill(target, (c, y, x) => values[(c * target.height + y) * target.width + x]);
      },
    },
    shuffle: {
      shape: ([source]) => [source.channels / 4, 2 * source.height, 2 * source.width],
      run: ([source], target) => fill(target, (c, y, x) => read(source, 4 * c + 2 * (y & 1) + (x & 1), y >> 1, x >> 1)),
    },
    pool: {
      shape: ([source]) => [source.channels, Math.ceil(source.height / 2), Math.ceil(source.width / 2)],
      run: ([source], target) => {
        // Rounded up: the last square of an odd side has one row or column, counted twice here.
        const [bottom, right] = [source.height - 1, source.width - 1];
        fill(target, (c, y, x) => {
          const [lower, further] = [Math.min(2 * y + 1, bottom), Math.min(2 * x + 1, right)];
          return Math.max(
            read(source, c, 2 * y, 2 * x), read(source, c, 2 * y, further),
            read(source, c, lower, 2 * x), read(source, c, lower, further),
          );
        });
      },
    },
    nearest: {
      shape: doubled,
      run: ([source], target) => fill(target, (c, y, x) => read(source, c, y >> 1, x >> 1)),
    },
    bilinear: {
      shape: doubled,
      // A fine pixel's center lies a quarter of a coarse pixel from the one it is in.
      run: ([source], target) => fill(target, (c, y, x) => {
        const [row, column] = [y >> 1, x >> 1];
        const above = Math.min(source.height - 1, Math.max(0, row + (y % 2 ? 1 : -1)));
        const beside = Math.min(source.width - 1, Math.max(0, column + (x % 2 ? 1 : -1)));
        return (
          0.75 * (0.75 * read(source, c, row, column) + 0.25 * read(source, c, row, beside)) +
          0.25 * (0.75 * read(source, c, above, column) + 0.25 * read(source, c, above, beside))
        );
      }),
    },
    crop: {
      shape: ([source, like]) => [source.channels, Math.min(source.height, like.height), Math.min(source.width, like.width)],
      run: ([source], target) => fill(target, (c, y, x) => read(source, c, y, x)),
    },
    concat: {
      shape: (sources) => [sources.reduce((sum, map) => sum + map.channels, 0), sources[0].height, sources[0].width],
      run: (sources, target) => {
        let at = 0;
        for (const source of sources) {
          target.data.set(source.data, at);
          at += source.data.length;
        }
      },
    },
  };

  // A function from values (C, H, W), such as pixels 0-1, or a code as (K, 1, 1), to the numbers of
  // the last map; its `shape` is theirs. The maps are kept for the next run.
  function load(operations, weights) {
    let maps = [];
    const network = (values, height, width) => {
      const channels = values.length / (height * width);
      const [first] = maps;
      if (first?.channels !== channels || first.height !== height || first.width !== width)
        maps = [makeMap(channels, height, width)];
      fill(maps[0], (c, y, x) => values[(c * height + y) * width + x]);
      for (const operation of operations) {
        const sources = operation.in.map((number) => maps[number]);
        const { shape, run } = OPERATIONS[operation.op];
        maps[operation.out] ??= makeMap(...shape(sources, operation));
        run(sources, maps[operation.out], operation, weights);
      }
      const last = maps[operations.at(-1).out];
      network.shape = [last.channels, last.height, last.width];
      return flat(last);
    };
    return network;
  }

  return { fromHalf, load };
}

// In a worker: the first message brings the network, each later one what it is to be run on.
function serve() {
  let network = null;
  onmessage = ({ data }) => {
    if (data.operations) network = makeEngine().load(data.operations, data.weights);
    else {
      const started = performance.now();
      const logits = network(data.values, data.height, data.width);
      postMessage({ logits, shape: network.shape, milliseconds: performance.now() - started }, [logits.buffer]);
    }
  };
}

// A network that runs beside the page, in a worker, or in the page where workers are refused.
// `run(values, height, width)` promises { logits, shape, milliseconds }; one call at a time.
function startNetwork(operations, halves) {
  const weights = makeEngine().fromHalf(halves);
  let here = null;
  const runHere = ({ values, height, width }) => {
    here ??= makeEngine().load(operations, weights);
    const started = performance.now();
    const logits = here(values, height, width);
    return { logits, shape: here.shape, milliseconds: performance.now() - started };
  };
  let worker = startWorker();
  worker?.postMessage({ operations, weights });
  const run = (values, height, width) =>
    new Promise((resolve) => {
      const input = { values, height, width };
      if (!worker) return resolve(runHere(input));
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => {
        event.preventDefault();
        worker.terminate();
        worker = null;
        resolve(runHere(input));
      };
      worker.postMessage(input);
    });
  return { run, stop: () => worker?.terminate(), beside: () => worker !== null };
}

// null where the browser or the page's policy has no workers.
function startWorker() {
  const url = URL.createObjectURL(new Blob([`${makeEngine}\n(${serve})();`], { type: "text/javascript" }));
  try {
    return new Worker(url);
  } catch {
    return null;
  } finally {
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }
}

// Numbers from 0 to 1 that are the same each time: mulberry32.
function makeRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// Standard normal numbers that are the same each time (Box and Muller).
function makeNormal(seed) {
  const random = makeRandom(seed);
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

// A map (1 or 3, H, W) of values 0-1, one canvas pixel each; one channel is shown gray.
function paintMap(canvas, values, [channels, height, width]) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const places = height * width;
  for (let i = 0; i < places; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = 255 * values[channels === 3 ? c * places + i : i];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
