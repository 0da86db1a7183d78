// numbers as a reader meets them, by the name of their quantity

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const number = (value, digits, quantity) => {
  if (quantity === "error") return `${+(100 * value).toPrecision(digits)} %`.replace("-", "−");
  if (value === 0) return "0";
  const size = Math.abs(value);
  const plain = size >= 1e-3 && size < 1e5;
  const text = plain ? String(+value.toPrecision(digits)) : value.toExponential(digits - 1);
  return text.replace(/\.?0*e\+?/, "e").replace(/-/g, "−");
};
