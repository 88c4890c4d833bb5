"use strict";
// Runs a decoder in the page: `program` is what zoo/report/explorer.py writes.

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
};

class Explorer {
  constructor(root, program) {
    this.program = program;
    for (const layer of program.layers)
      for (const name of ["kernel", "bias"]) if (layer[name]) layer[name] = floats(layer[name]);
    this.z = new Float32Array(program.latent_dim);
    this.label = 0;
    this.canvas = root.querySelector("canvas");
    [this.canvas.height, this.canvas.width] = program.image_shape;
    this.note = root.querySelector(".note");
    this.addSliders(root);
    this.draw();
  }

  // Means of p(x|z) as [H W C] numbers in [0, 1].
  decode(z = this.z, label = this.label) {
    const { layers, num_classes, params_per_pixel, mean } = this.program;
    let x = Float32Array.from(z);
    if (num_classes) {
      const given = new Float32Array(x.length + num_classes);
      given.set(x);
      given[x.length + label] = 1;
      x = given;
    }
    for (const layer of layers) x = kinds[layer.kind](layer, x).map(activations[layer.activation]);
    return x.filter((_, i) => i % params_per_pixel === 0).map(activations[mean]);
  }

  draw() {
    const start = performance.now();
    const image = this.decode();
    const spent = performance.now() - start;
    const [height, width, channels] = this.program.image_shape;
    const context = this.canvas.getContext("2d");
    const pixels = context.createImageData(width, height);
    for (let i = 0; i < height * width; i++) {
      // The array rounds to the nearest level.
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = 255 * image[i * channels + (channels === 3 ? c : 0)];
      pixels.data[4 * i + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    this.note.textContent = `decoded here in ${spent.toFixed(1)} ms`;
  }

  addSliders(root) {
    const list = root.querySelector(".sliders");
    this.sliders = this.program.order.slice(0, 12).map((dim) => {
      const label = document.createElement("label");
      label.innerHTML = `<span>z<sub>${dim + 1}</sub></span><input type="range" min="-3" max="3" step="0.05" value="0"><output>0.00</output>`;
      const [slider, shown] = [label.querySelector("input"), label.querySelector("output")];
      slider.dataset.dim = dim;
      slider.setAttribute("aria-label", `latent ${dim + 1}`);
      slider.addEventListener("input", () => {
        this.z[dim] = slider.valueAsNumber;
        shown.textContent = slider.valueAsNumber.toFixed(2);
        this.draw();
      });
      list.append(label);
      return slider;
    });
    const classes = root.querySelector("select");
    for (let k = 0; k < this.program.num_classes; k++) classes.append(new Option(`class ${k}`, k));
    classes.hidden = !this.program.num_classes;
    classes.addEventListener("change", () => {
      this.label = Number(classes.value);
      this.draw();
    });
    root.querySelector(".random").addEventListener("click", () => this.set(() => normal()));
    root.querySelector(".reset").addEventListener("click", () => this.set(() => 0));
  }

  set(value) {
    for (let dim = 0; dim < this.z.length; dim++) this.z[dim] = value();
    for (const slider of this.sliders) {
      slider.value = this.z[slider.dataset.dim];
      slider.parentElement.querySelector("output").textContent = this.z[slider.dataset.dim].toFixed(2);
    }
    this.draw();
  }
}

function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

window.explorers = [...document.querySelectorAll(".explorer")].map(
  (root) => new Explorer(root, JSON.parse(root.querySelector("script").textContent)),
);
