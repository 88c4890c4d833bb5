"use strict";
// Sliders over a decoder: `program` is what zoo/report/explorer.py writes. After layers.js.

class Explorer {
  constructor(root, program) {
    this.program = program;
    read(program.layers);
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
    const { layers, num_classes, mean } = this.program;
    let x = Float32Array.from(z);
    if (num_classes) {
      const given = new Float32Array(x.length + num_classes);
      given.set(x);
      given[x.length + label] = 1;
      x = given;
    }
    return pixels(mean, run(layers, x));
  }

  draw() {
    const start = performance.now();
    const image = this.decode();
    const spent = performance.now() - start;
    paint(this.canvas, image, this.program.image_shape);
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

window.explorers = [...document.querySelectorAll(".explorer:not(.tokens)")].map(
  (root) => new Explorer(root, JSON.parse(root.querySelector("script").textContent)),
);
