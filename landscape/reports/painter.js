// a mesh on a canvas, without perspective: frame, cells from far to near, places upon it

class Painter {
  // inks: colours by name; size: of letters; tall: of the heights; told: the scale
  constructor(pen, { inks, size, view, told, shown }) {
    Object.assign(this, { pen, inks, size, view, told, shown });
    const [a, e] = [view.azimuth, view.elevation].map((degrees) => (degrees * Math.PI) / 180);
    Object.assign(this, { ca: Math.cos(a), sa: Math.sin(a), ce: Math.cos(e), se: Math.sin(e) });
  }

  paint(mesh, width, height) {
    this.width = width;
    const { ca, sa, ce, se } = this, { tall } = this.told;
    const room = 2 * (Math.SQRT2 * se + (tall / 2) * ce + 0.25); // at any azimuth, names included
    const scale = Math.min(width / 3.8, height / room) * this.view.zoom;
    this.at = (x, y, z) => [
      width / 2 + scale * (ca * y - sa * x),
      height / 2 - scale * (ce * tall * (z - 0.5) - se * (ca * x + sa * y)),
    ];
    this.frame(mesh);
    this.cells(mesh);
    this.trajectory(mesh);
    this.points(mesh);
    if (mesh.label) this.write(this.fitted(mesh.label, 0.95), [4, 4], "left", "top", this.inks.ink);
  }

  // words at a place, moved as far as it takes to be seen whole; with a rim over the surface
  write(words, [x, y], align, base = "middle", colour = this.inks.muted, rim = "") {
    const wide = this.pen.measureText(words).width, share = { left: 0, center: 0.5, right: 1 }[align];
    const left = clamp(x - share * wide, 2, Math.max(this.width - wide - 2, 2));
    Object.assign(this.pen, { textAlign: "left", textBaseline: base, fillStyle: colour });
    if (rim) {
      Object.assign(this.pen, { strokeStyle: rim, lineWidth: 3.5 });
      this.pen.strokeText(words, left, y);
    }
    this.pen.fillText(words, left, y);
  }

  // words cut in the middle to a share of the width
  fitted(words, share) {
    const fits = (text) => this.pen.measureText(text).width <= share * this.width;
    let kept = words.length, shown = words;
    while (!fits(shown) && kept > 4) {
      kept -= 1;
      shown = `${words.slice(0, Math.ceil(kept / 2))}…${words.slice(words.length - Math.floor(kept / 2))}`;
    }
    return shown;
  }

  line(places) {
    this.pen.beginPath();
    let fresh = true;
    for (const place of places) {
      if (place && fresh) this.pen.moveTo(...place);
      else if (place) this.pen.lineTo(...place);
      fresh = !place;
    }
    this.pen.stroke();
  }

  // the ground, heights at its left corner, names at its near edges
  frame(mesh) {
    const { at, pen, size } = this, corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]];
    Object.assign(pen, { strokeStyle: this.inks.muted, lineWidth: 0.8 });
    this.line([...corners, corners[0]].map(([x, y]) => at(x, y, 0)));
    const left = corners.reduce((best, one) => (at(...one, 0)[0] < at(...best, 0)[0] ? one : best));
    this.line([at(...left, 0), at(...left, 1)]);
    let last = Infinity;
    for (const [height, value] of this.ticks()) {
      const [x, y] = at(...left, height);
      if (last - y < 1.4 * size) continue;
      last = y;
      this.line([[x - 4, y], [x, y]]);
      this.write(number(value, 2, mesh.quantity), [x - 7, y], "right");
    }
    const [x, y] = at(...left, 1);
    this.write(mesh.quantity, [x - 7, y - 1.5 * size], "right");
    const middle = at(0, 0, 0)[0], near = { x: this.ca > 0 ? 1 : -1, y: this.sa > 0 ? 1 : -1 };
    const edges = [
      [mesh.names[0], mesh.x, (along, out) => at(along, near.y * out, 0)],
      [mesh.names[1], mesh.y, (along, out) => at(near.x * out, along, 0)],
    ];
    for (const [name, places, edge] of edges) {
      const away = edge(0, 1)[0] - middle, align = Math.abs(away) < 12 ? "center" : away < 0 ? "right" : "left";
      this.write(this.fitted(name, 0.42), edge(0, 1.24), align, "top");
      this.write(number(places[0], 3), edge(-0.92, 1.08), align, "top");
      this.write(number(places.at(-1), 3), edge(0.92, 1.08), align, "top");
    }
  }

  // [height, value] at even steps of the scale that is shown
  ticks() {
    const { scale: [low, high], logarithmic } = this.told, steps = 4;
    return Array.from({ length: steps + 1 }, (_, k) => {
      const share = k / steps, even = !logarithmic || this.view.flat > 0.5;
      const value = even ? low + share * (high - low) : low * (high / low) ** share;
      return [this.shown(logarithmic ? Math.log(value / low) / Math.log(high / low) : share), value];
    });
  }

  // far to near along both axes: then no cell is hidden by one before it
  cells(mesh) {
    const { pen } = this, { columns, rows } = mesh;
    const places = Array.from(mesh.heights, (height, index) =>
      this.at(mesh.across[index % columns], mesh.up[Math.floor(index / columns)], height));
    pen.lineWidth = 0.6;
    for (let k = 0; k < rows - 1; k++) {
      const row = this.sa >= 0 ? k : rows - 2 - k;
      for (let m = 0; m < columns - 1; m++) {
        const cell = mesh.cells[row * (columns - 1) + (this.ca >= 0 ? m : columns - 2 - m)];
        if (!cell.base) continue;
        pen.beginPath();
        for (const corner of cell.corners) pen.lineTo(...places[corner]);
        pen.closePath();
        Object.assign(pen, { fillStyle: cell.fill, strokeStyle: cell.edge });
        pen.fill();
        pen.stroke();
      }
    }
  }

  seen(place) {
    return Number.isNaN(place.height) ? null : this.at(place.across, place.up, place.height);
  }

  trajectory(mesh) {
    for (const [strokeStyle, lineWidth] of [[this.inks.card, 4], [this.inks.path, 2]]) {
      Object.assign(this.pen, { strokeStyle, lineWidth });
      this.line(mesh.path.map((place) => this.seen(place)));
    }
  }

  // the last first; a name that would cover another is left out
  points(mesh) {
    const { pen, inks, size } = this, taken = [];
    for (const point of [...mesh.points].reverse()) {
      const place = this.seen(point);
      if (!place) continue;
      Object.assign(pen, { fillStyle: inks.path, strokeStyle: inks.card, lineWidth: 1.5 });
      pen.beginPath();
      pen.arc(...place, 4.5, 0, 2 * Math.PI);
      pen.fill();
      pen.stroke();
      const [x, y] = [place[0], place[1] - size / 2 - 2], wide = pen.measureText(point.name).width;
      if (taken.some((one) => Math.abs(one.y - y) < size && Math.abs(one.x - x) < (one.wide + wide) / 2)) continue;
      taken.push({ x, y, wide });
      this.write(point.name, [x, y], "center", "bottom", inks.ink, inks.card);
    }
  }
}
