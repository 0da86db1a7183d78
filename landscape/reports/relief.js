// surfaces to turn together by mouse, touch or keys

const STEP = 7.5; // degrees, of one key
const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const THERE = { azimuth: 0.1, elevation: 0.1, zoom: 0.004, flat: 0.004 }; // near enough to stop

const element = (tag, fields, ...children) => {
  const made = Object.assign(document.createElement(tag), fields);
  made.append(...children);
  return made;
};

class Relief {
  constructor(holder, told) {
    this.told = told;
    const colour = ramp(told.colours);
    this.meshes = told.surfaces.map((one) => new Mesh(one, colour, told.tall));
    const [azimuth, elevation] = told.rest;
    this.home = { azimuth, elevation, zoom: 1, flat: told.logarithmic ? 0 : 1 };
    this.view = { ...this.home }; // what is shown, on its way to what is wanted
    this.wanted = { ...this.home };
    this.build(holder);
    this.raise();
    this.listen();
  }

  build(holder) {
    const { quantity, names } = this.meshes[0];
    const [low, high] = this.told.scale.map((end) => number(end, 3, quantity));
    this.canvas = element("canvas", { tabIndex: 0 });
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label",
      `${quantity} over ${names.join(" and ")} as a surface, from ${low} to ${high}. ` +
      "Arrow keys turn it, plus and minus zoom, Home brings it back.");
    const button = (text, act, label = text) => {
      const made = element("button", { type: "button", textContent: text });
      made.setAttribute("aria-label", label);
      made.addEventListener("click", act);
      return made;
    };
    this.scales = !this.told.logarithmic ? [] : [["log", 0], ["linear", 1]].map(([name, flat]) =>
      Object.assign(button(name, () => this.go({ flat }), `${name} height`), { flat }));
    const group = element("div", { className: "relief-scale", hidden: !this.scales.length }, ...this.scales);
    const bar = element("div", { className: "relief-bar" }, group,
      button("−", () => this.zoom(1 / 1.25), "farther"),
      button("+", () => this.zoom(1.25), "nearer"),
      button("reset", () => this.go(this.home)),
      element("span", { textContent: this.hint() }));
    holder.append(element("div", { className: "relief" }, bar, this.canvas));
    holder.classList.add("turns");
  }

  hint() {
    const some = (what) => this.meshes.some((mesh) => mesh.cells.some(what));
    const grey = some((cell) => cell.base === GREY) ? " Grey: clipped or not reliable." : "";
    const holes = some((cell) => !cell.base) ? " Holes: not finite." : "";
    return `Drag or use the arrow keys to turn.${grey}${holes}`;
  }

  // heights between even in the logarithm, as they come, and even in themselves
  raise() {
    const [low, high] = this.told.scale, { flat } = this.view;
    const even = (height) => (low * (high / low) ** height - low) / (high - low);
    this.shown = !this.told.logarithmic || flat === 0 ? (height) => height
      : (height) => (1 - flat) * height + flat * even(height);
    for (const mesh of this.meshes) mesh.raise(this.shown);
    for (const one of this.scales) one.setAttribute("aria-pressed", String(one.flat === this.wanted.flat));
  }

  // towards another view; at once under the hand, or where motion is not wanted
  go(change, atOnce = false) {
    Object.assign(this.wanted, change);
    this.wanted.elevation = clamp(this.wanted.elevation, 0, 90);
    this.wanted.zoom = clamp(this.wanted.zoom, 0.6, 4);
    if (atOnce || STILL.matches) this.step(1);
    this.ask();
  }

  turn(right, up, atOnce) {
    this.go({ azimuth: this.wanted.azimuth - right, elevation: this.wanted.elevation + up }, atOnce);
  }

  zoom(times, atOnce) {
    this.go({ zoom: this.wanted.zoom * times }, atOnce);
  }

  // a share of the way; returns whether some of it is left
  step(share) {
    const before = this.view.flat;
    for (const [key, near] of Object.entries(THERE)) {
      const way = this.wanted[key] - this.view[key];
      this.view[key] = Math.abs(way) < near ? this.wanted[key] : this.view[key] + share * way;
    }
    if (this.view.flat !== before) this.raise();
    return Object.keys(THERE).some((key) => this.view[key] !== this.wanted[key]);
  }

  ask() {
    this.asked ||= requestAnimationFrame(() => {
      this.asked = 0;
      const more = this.step(0.28);
      this.draw();
      if (more) this.ask();
    });
  }

  listen() {
    const { canvas } = this;
    const keys = {
      ArrowLeft: () => this.turn(-STEP, 0), ArrowRight: () => this.turn(STEP, 0),
      ArrowUp: () => this.turn(0, STEP), ArrowDown: () => this.turn(0, -STEP),
      "+": () => this.zoom(1.15), "=": () => this.zoom(1.15),
      "-": () => this.zoom(1 / 1.15), "_": () => this.zoom(1 / 1.15),
      Home: () => this.go(this.home),
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      keys[event.key]();
    });
    canvas.addEventListener("wheel", (event) => { // without a key it scrolls the page
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 200), true);
    }, { passive: false });
    this.followHands();
    new ResizeObserver(() => this.ask()).observe(canvas);
    new MutationObserver(() => this.ask()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.ask());
  }

  // one hand turns; two zoom, and turn by what they do together
  followHands() {
    const { canvas } = this, held = new Map();
    const place = (event) => [event.clientX, event.clientY];
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      held.set(event.pointerId, place(event));
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = held.get(event.pointerId), now = place(event);
      if (!before) return;
      const other = [...held].find(([key]) => key !== event.pointerId)?.[1];
      const share = other ? 0.22 : 0.45;
      if (other) {
        const apart = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1;
        this.zoom(apart(now) / apart(before), true);
      }
      this.turn(share * (now[0] - before[0]), share * (now[1] - before[1]), true);
      held.set(event.pointerId, now);
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(kind, (event) => held.delete(event.pointerId));
    }
  }

  draw() {
    const { canvas } = this, count = this.meshes.length, whole = canvas.clientWidth;
    if (!whole) return;
    const across = clamp(Math.floor(whole / 230), 1, Math.min(count, 3));
    const width = whole / across, height = Math.min(0.78 * width, 520);
    const rows = Math.ceil(count / across), sharp = window.devicePixelRatio || 1;
    canvas.style.height = `${rows * height}px`;
    canvas.width = Math.round(whole * sharp); // which clears it
    canvas.height = Math.round(rows * height * sharp);
    const look = getComputedStyle(document.documentElement), pen = canvas.getContext("2d");
    const colour = (name) => look.getPropertyValue(`--${name}`).trim();
    const inks = { ink: colour("ink"), muted: colour("muted"), card: colour("card"), path: colour("figure-d55e00") || "#d55e00" };
    const size = width < 340 ? 10 : 12;
    const painter = new Painter(pen, { inks, size, view: this.view, told: this.told, shown: this.shown });
    this.meshes.forEach((mesh, index) => {
      const left = (index % across) * width, top = Math.floor(index / across) * height;
      pen.setTransform(sharp, 0, 0, sharp, left * sharp, top * sharp);
      pen.save();
      pen.beginPath();
      pen.rect(0, 0, width, height);
      pen.clip();
      Object.assign(pen, { lineJoin: "round", font: `${size}px ${getComputedStyle(canvas).fontFamily}` });
      painter.paint(mesh, width, height);
      pen.restore();
    });
  }
}

for (const holder of document.querySelectorAll('.live[data-live="relief"]')) {
  new Relief(holder, JSON.parse(holder.querySelector("script").textContent));
}
