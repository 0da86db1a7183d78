// figures over a plane: the value of a cell, by pointer, touch or arrow keys

class Cells {
  constructor(holder, told) {
    Object.assign(this, told);
    this.clipped = new Set(told.clipped);
    this.doubtful = new Set(told.doubtful);
    const finite = [...this.values.keys()].filter((index) => this.values[index] !== null);
    this.cell = finite.reduce((best, one) => (this.values[one] < this.values[best] ? one : best), finite[0] ?? 0);
    this.build(holder);
    this.listen();
  }

  // the part of the figure that answers, a mark on the cell, and what is told of it
  build(holder) {
    this.area = document.createElement("div");
    this.area.className = "cells";
    this.area.tabIndex = 0;
    this.area.setAttribute("role", "application");
    this.area.setAttribute("aria-label",
      `${this.quantity} at ${this.values.length} points: arrow keys go from cell to cell`);
    const [left, top, width, height] = this.box.map((share) => `${100 * share}%`);
    Object.assign(this.area.style, { left, top, width, height });
    this.mark = document.createElement("span");
    this.words = document.createElement("output");
    this.area.append(this.mark, this.words);
    holder.append(this.area);
  }

  get column() { return this.cell % this.x.length; }
  get row() { return Math.floor(this.cell / this.x.length); }

  told() {
    const { quantity, x, y } = this, value = this.values[this.cell];
    const place = `${number(x[this.column], 4)}, ${number(y[this.row], 4)}`;
    const shown = value === null ? "not finite" : number(value, 4, quantity);
    const more = this.clipped.has(this.cell) ? ", clipped in the figure"
      : this.doubtful.has(this.cell) ? ", not reliable" : "";
    return `${place}: ${quantity} ${shown}${more}`;
  }

  // shares of the area: from the left and from the top
  across(place) { return (place - this.view[0]) / (this.view[1] - this.view[0]); }
  down(place) { return (this.view[3] - place) / (this.view[3] - this.view[2]); }

  show() {
    const ends = (places, index) => [-1, 1].map((side) => (places[index] + (places[index + side] ?? places[index])) / 2);
    const [from, to] = ends(this.x, this.column).map((place) => this.across(place));
    const [low, high] = ends(this.y, this.row).map((place) => this.down(place));
    const share = (part) => `${100 * part}%`;
    Object.assign(this.mark.style, { left: share(from), width: share(to - from), top: share(high), height: share(low - high) });
    this.words.textContent = this.told();
    const leftward = from > 0.5, below = high < 0.2;
    Object.assign(this.words.style, {
      left: leftward ? "auto" : share(from), right: leftward ? share(1 - to) : "auto",
      top: below ? `calc(${share(low)} + 6px)` : "auto", bottom: below ? "auto" : `calc(${share(1 - high)} + 6px)`,
    });
    this.area.classList.add("told");
  }

  point(event) {
    const box = this.area.getBoundingClientRect(), [left, right, bottom, top] = this.view;
    const nearest = (places, place) => places.reduce(
      (best, one, index) => (Math.abs(one - place) < Math.abs(places[best] - place) ? index : best), 0);
    const column = nearest(this.x, left + ((event.clientX - box.left) / box.width) * (right - left));
    const row = nearest(this.y, top - ((event.clientY - box.top) / box.height) * (top - bottom));
    this.cell = row * this.x.length + column;
    this.show();
  }

  listen() {
    const { area } = this;
    const hide = () => area.classList.remove("told");
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    area.addEventListener("pointermove", (event) => this.point(event));
    area.addEventListener("pointerdown", (event) => this.point(event));
    area.addEventListener("pointerleave", () => { if (document.activeElement !== area) hide(); });
    area.addEventListener("focus", () => this.show());
    area.addEventListener("blur", hide);
    area.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(steps, event.key)) return;
      event.preventDefault();
      const [right, up] = steps[event.key];
      const column = clamp(this.column + right, 0, this.x.length - 1);
      const row = clamp(this.row + up, 0, this.y.length - 1);
      this.cell = row * this.x.length + column;
      this.show();
    });
  }
}

for (const holder of document.querySelectorAll('.live[data-live="cells"]')) {
  for (const panel of JSON.parse(holder.querySelector("script").textContent).panels) new Cells(holder, panel);
}
