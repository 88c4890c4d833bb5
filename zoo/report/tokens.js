"use strict";
// A grid of tokens over a picture: `program` is what zoo/report/tokens.py writes. After layers.js.

class Tokens {
  constructor(root, program) {
    this.program = program;
    read(program.layers);
    this.vectors = floats(program.vectors);
    this.codes = Int32Array.from(program.pictures[0]);
    this.chosen = 0;
    this.canvas = root.querySelector("canvas");
    [this.canvas.height, this.canvas.width] = program.image_shape;
    this.note = root.querySelector(".note");
    this.grid = root.querySelector(".grid");
    this.slider = root.querySelector("input");
    this.shown = root.querySelector("output");
    this.slider.max = program.num_codes - 1;
    this.slider.addEventListener("input", () => this.change(this.slider.valueAsNumber));
    this.addCells();
    this.addPictures(root.querySelector("select"));
    root.querySelector(".reset").addEventListener("click", () => this.take(this.picture));
    this.take(0);
  }

  addCells() {
    const [rows, columns] = this.program.grid;
    this.grid.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
    this.cells = Array.from({ length: rows * columns }, (_, place) => {
      const cell = document.createElement("button");
      cell.type = "button";
      cell.addEventListener("click", () => this.choose(place));
      this.grid.append(cell);
      return cell;
    });
  }

  addPictures(list) {
    this.program.pictures.forEach((_, number) => list.append(new Option(`picture ${number + 1}`, number)));
    list.addEventListener("change", () => this.take(Number(list.value)));
  }

  take(picture) {
    this.picture = picture;
    this.codes = Int32Array.from(this.program.pictures[picture]);
    this.choose(this.chosen);
    this.draw();
  }

  choose(place) {
    this.cells[this.chosen].setAttribute("aria-pressed", "false");
    this.chosen = place;
    this.cells[place].setAttribute("aria-pressed", "true");
    this.slider.value = this.codes[place];
    this.shown.textContent = this.codes[place];
  }

  // Another code at the place that is chosen.
  change(code) {
    this.codes[this.chosen] = code;
    this.shown.textContent = code;
    this.draw();
  }

  // Means of p(x|codes) as [H W C] numbers in [0, 1].
  decode(codes = this.codes) {
    const { layers, mean, code_dim: size } = this.program;
    const x = new Float32Array(codes.length * size);
    codes.forEach((code, place) => x.set(this.vectors.subarray(code * size, (code + 1) * size), place * size));
    return pixels(mean, run(layers, x));
  }

  draw() {
    const start = performance.now();
    paint(this.canvas, this.decode(), this.program.image_shape);
    const spent = performance.now() - start;
    this.codes.forEach((code, place) => {
      const cell = this.cells[place];
      cell.textContent = code;
      cell.classList.toggle("changed", code !== this.program.pictures[this.picture][place]);
      cell.setAttribute("aria-label", `place ${place + 1}, code ${code}`);
    });
    this.note.textContent = `decoded here in ${spent.toFixed(1)} ms`;
  }
}

window.tokens = [...document.querySelectorAll(".tokens")].map(
  (root) => new Tokens(root, JSON.parse(root.querySelector("script").textContent)),
);
