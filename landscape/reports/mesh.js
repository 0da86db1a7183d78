// a surface over the square [-1, 1]²: corners, cells with colour and light, places upon it

const HOLE = 0xffff; // the code of a height that is not finite
const GREY = [169, 176, 183]; // cells that are clipped or not reliable

const heightsOf = (text) => {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return Float64Array.from({ length: bytes.length / 2 }, (_, index) => {
    const code = bytes[2 * index] + 256 * bytes[2 * index + 1];
    return code === HOLE ? NaN : code / (HOLE - 1);
  });
};

// from a height in [0, 1] to red, green, blue
const ramp = (colours) => {
  const stops = colours.map((one) => [1, 3, 5].map((at) => parseInt(one.slice(at, at + 2), 16)));
  return (height) => {
    const place = clamp(height, 0, 1) * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    return stops[below].map((value, k) => value + (place - below) * (stops[below + 1][k] - value));
  };
};

// a fractional index of a place among rising places; NaN outside of them
const indexOf = (places, place) => {
  const above = places.findIndex((one) => one >= place);
  if (place === null || above < 0 || place < places[0]) return NaN;
  return above === 0 ? 0 : above - 1 + (place - places[above - 1]) / (places[above] - places[above - 1]);
};

class Mesh {
  constructor(told, colour, tall) {
    Object.assign(this, told, { tall, columns: told.x.length, rows: told.y.length });
    this.codes = heightsOf(told.heights);
    const unit = (places) => {
      const low = places[0], wide = places.at(-1) - low;
      return (place) => (wide ? (2 * (place - low)) / wide - 1 : 0);
    };
    const across = unit(told.x), up = unit(told.y);
    this.across = told.x.map(across);
    this.up = told.y.map(up);
    const upon = (x, y) => ({ i: indexOf(told.y, y), j: indexOf(told.x, x), across: across(x), up: up(y) });
    this.points = told.points.map(([name, x, y]) => ({ name, ...upon(x, y) }));
    this.path = told.path.map(([x, y]) => upon(x, y));
    this.cells = this.made(colour, new Set(told.grey));
  }

  made(colour, grey) {
    return Array.from({ length: (this.rows - 1) * (this.columns - 1) }, (_, index) => {
      const first = index + Math.floor(index / (this.columns - 1)), above = first + this.columns;
      const corners = [first, first + 1, above + 1, above];
      const level = corners.reduce((sum, corner) => sum + this.codes[corner], 0) / 4;
      if (Number.isNaN(level)) return { corners, base: null };
      return { corners, base: corners.some((corner) => grey.has(corner)) ? GREY : colour(level) };
    });
  }

  // heights, and the light on every cell, by a function from codes to heights
  raise(shown) {
    this.heights = this.codes.map(shown);
    const slope = (rise, count) => (rise * this.tall * count) / 2;
    for (const cell of this.cells) {
      if (!cell.base) continue;
      const [a, b, c, d] = cell.corners.map((corner) => this.heights[corner]);
      const x = slope((b + c - a - d) / 2, this.columns), y = slope((c + d - a - b) / 2, this.rows);
      const light = clamp((0.86 + 0.45 * x + 0.25 * y) / Math.sqrt(1 + x * x + y * y), 0, 1);
      const lit = (share) => `rgb(${cell.base.map((value) => Math.round(value * share * (0.62 + 0.38 * light)))})`;
      cell.fill = lit(1);
      cell.edge = lit(0.9);
    }
    for (const place of [...this.points, ...this.path]) place.height = this.heightAt(place.i, place.j);
  }

  heightAt(i, j) {
    if (Number.isNaN(i + j)) return NaN;
    const row = clamp(Math.floor(i), 0, Math.max(this.rows - 2, 0));
    const column = clamp(Math.floor(j), 0, Math.max(this.columns - 2, 0));
    const at = (up, right) => this.heights[
      Math.min(row + up, this.rows - 1) * this.columns + Math.min(column + right, this.columns - 1)];
    const s = i - row, t = j - column;
    return (1 - s) * ((1 - t) * at(0, 0) + t * at(0, 1)) + s * ((1 - t) * at(1, 0) + t * at(1, 1));
  }
}
