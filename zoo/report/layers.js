"use strict";
// Layers of decoders: what zoo/report/layers.py writes, and computes in NumPy.

const activations = {
  linear: (v) => v,
  relu: (v) => Math.max(v, 0),
  tanh: Math.tanh,
  sigmoid: (v) => 1 / (1 + Math.exp(-v)),
  softplus: (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))),
  elu: (v) => (v > 0 ? v : Math.expm1(v)),
  silu: (v) => v / (1 + Math.exp(-v)),
};

function floats(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Float32Array(bytes.buffer);
}

const kinds = {
  dense(layer, x) {
    const y = Float32Array.from(layer.bias);
    for (let i = 0; i < x.length; i++) {
      if (x[i] === 0) continue;
      for (let j = 0, at = i * layer.units; j < layer.units; j++) y[j] += x[i] * layer.kernel[at + j];
    }
    return y;
  },
  // Every input pixel adds its kernel [k, k, filters, channels] at twice its place; the margin is cut.
  transposed(layer, x) {
    const [height, width, channels] = layer.from;
    const { kernel_size: k, filters } = layer;
    const margin = (k - 2) >> 1;
    const y = new Float32Array(4 * height * width * filters);
    for (let i = 0; i < y.length; i++) y[i] = layer.bias[i % filters];
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++) {
        const from = (row * width + column) * channels;
        for (let a = 0; a < k; a++) {
          const top = 2 * row + a - margin;
          if (top < 0 || top >= 2 * height) continue;
          for (let b = 0; b < k; b++) {
            const left = 2 * column + b - margin;
            if (left < 0 || left >= 2 * width) continue;
            const to = (top * 2 * width + left) * filters;
            for (let f = 0, at = (a * k + b) * filters * channels; f < filters; f++, at += channels) {
              let sum = 0;
              for (let c = 0; c < channels; c++) sum += layer.kernel[at + c] * x[from + c];
              y[to + f] += sum;
            }
          }
        }
      }
    return y;
  },
  crop(layer, x) {
    const [, width, maps] = layer.from;
    const y = new Float32Array(layer.height * layer.width * maps);
    for (let row = 0; row < layer.height; row++)
      y.set(x.subarray(row * width * maps, (row * width + layer.width) * maps), row * layer.width * maps);
    return y;
  },
  same: (layer, x) => x,
  // A kernel [k, k, channels, filters] at each place; what lies outside is 0.
  convolution(layer, x) {
    const [height, width, channels] = layer.from;
    const { kernel_size: k, filters, kernel } = layer;
    const half = k >> 1;
    const y = new Float32Array(height * width * filters);
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++) {
        const to = (row * width + column) * filters;
        for (let f = 0; f < filters; f++) y[to + f] = layer.bias[f];
        for (let a = 0; a < k; a++) {
          const top = row + a - half;
          if (top < 0 || top >= height) continue;
          for (let b = 0; b < k; b++) {
            const left = column + b - half;
            if (left < 0 || left >= width) continue;
            const from = (top * width + left) * channels;
            for (let c = 0, at = (a * k + b) * channels * filters; c < channels; c++, at += filters) {
              const value = x[from + c];
              if (value === 0) continue;
              for (let f = 0; f < filters; f++) y[to + f] += value * kernel[at + f];
            }
          }
        }
      }
    return y;
  },
  residual(layer, x) {
    const changed = run(layer.layers, x);
    const kept = run(layer.projection, x);
    return changed.map((value, i) => value + kept[i]);
  },
  nearest(layer, x) {
    const [height, width, channels] = layer.from;
    const { block } = layer;
    const y = new Float32Array(x.length * block * block);
    for (let row = 0; row < height * block; row++)
      for (let column = 0; column < width * block; column++) {
        const from = (Math.floor(row / block) * width + Math.floor(column / block)) * channels;
        y.set(x.subarray(from, from + channels), (row * width * block + column) * channels);
      }
    return y;
  },
  depth_to_space(layer, x) {
    const [height, width, channels] = layer.from;
    const { block } = layer;
    const maps = channels / (block * block);
    const y = new Float32Array(x.length);
    for (let row = 0; row < height * block; row++)
      for (let column = 0; column < width * block; column++) {
        const place = Math.floor(row / block) * width + Math.floor(column / block);
        const from = place * channels + ((row % block) * block + (column % block)) * maps;
        y.set(x.subarray(from, from + maps), (row * width * block + column) * maps);
      }
    return y;
  },
};

function run(layers, x) {
  for (const layer of layers) {
    x = kinds[layer.kind](layer, x);
    if (layer.activation !== "linear") x = x.map(activations[layer.activation]);
  }
  return x;
}

// Mean of a logistic variable that is clipped to [0, 1].
function clippedLogistic(loc, scale) {
  const value = scale * (activations.softplus(loc / scale) - activations.softplus((loc - 1) / scale));
  return Math.min(Math.max(value, 0), 1);
}

const bounded = (raw) => 8 * Math.tanh(raw / 8);

// As zoo/report/means.py says: means [H W C] of parameters.
function pixels(mean, params) {
  if (mean.kind === "mixture") return ofMixture(params, mean.components, mean.channels);
  const step = mean.params_per_pixel;
  const y = new Float32Array(params.length / step);
  for (let i = 0; i < y.length; i++) {
    const value = params[i * step];
    if (mean.kind === "logistic") {
      const scale = mean.scale === null ? Math.exp(bounded(params[i * step + 1])) : mean.scale;
      y[i] = clippedLogistic(value, scale);
    } else y[i] = activations[mean.kind](value);
  }
  return y;
}

function ofMixture(params, K, C) {
  const maps = 1 + 2 * C + (C * (C - 1)) / 2;
  const y = new Float32Array((params.length / (maps * K)) * C);
  for (let p = 0; p < y.length / C; p++) {
    const at = (map, k) => params[(p * maps + map) * K + k];
    let most = -Infinity;
    for (let k = 0; k < K; k++) most = Math.max(most, at(0, k));
    let total = 0;
    for (let k = 0; k < K; k++) total += Math.exp(at(0, k) - most);
    for (let k = 0; k < K; k++) {
      const weight = Math.exp(at(0, k) - most) / total;
      const means = [];
      const moved = [];
      for (let c = 0, pair = 1 + 2 * C; c < C; pair += c, c++) {
        let loc = 0.5 + 0.5 * at(1 + c, k);
        const noises = [];
        for (let i = 0; i < c; i++) {
          let noise = 0;
          for (let j = i; j < c; j++) noise += Math.tanh(at(pair + j, k)) * moved[j][i];
          noises.push(noise);
        }
        noises.push(Math.exp(bounded(at(1 + C + c, k))) / 8);
        for (let j = 0; j < c; j++) loc += Math.tanh(at(pair + j, k)) * (means[j] - 0.5);
        const scale = Math.hypot(...noises);
        means.push(clippedLogistic(loc, scale));
        const slope = activations.sigmoid(loc / scale) - activations.sigmoid((loc - 1) / scale);
        moved.push(noises.map((noise) => slope * noise));
        y[p * C + c] += weight * means[c];
      }
    }
  }
  return y;
}

// Weights as numbers, of layers as they were written.
function read(layers) {
  for (const layer of layers) {
    for (const name of ["kernel", "bias"]) if (layer[name]) layer[name] = floats(layer[name]);
    read(layer.layers || []);
    read(layer.projection || []);
  }
}

// [H W C] numbers in [0, 1] as a canvas shows them.
function paint(canvas, image, [height, width, channels]) {
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    // The array rounds to the nearest level.
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = 255 * image[i * channels + (channels === 3 ? c : 0)];
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}
