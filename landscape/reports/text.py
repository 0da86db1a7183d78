"""Numbers and strings as a reader should meet them, in HTML and in Markdown."""

from __future__ import annotations

import math
import re
from typing import Any

from landscape.estimate import Estimate

LONGEST = 120  # characters of a name that came from a file

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SIGNS = {"upper_bound": "≤ ", "lower_bound": "≥ "}
_KINDS = {
    "exact": "exact",
    "estimate": "estimate",
    "upper_bound": "upper bound",
    "lower_bound": "lower bound",
}

# controls (C0, C1), what reorders or hides text, line separators, lone surrogates
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+"
)


def clean(text: str) -> str:
    """Return text without characters that control, reorder or hide; runs of them become a space."""
    return _HIDDEN.sub(" ", text)


def shorten(text: str, longest: int = LONGEST) -> str:
    """Return text of at most so many characters, cut in the middle."""
    if len(text) <= longest:
        return text
    head = (longest - 1) // 2
    return f"{text[:head]}…{text[head + 1 - longest :]}"


def number(value: float | None, digits: int = 4) -> str:
    """Return a number to so many digits: `3,466`, `0.02120`, `3.000×10⁻⁷`; `–` for none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if not math.isfinite(value):
        return "not finite" if math.isnan(value) else ("−∞" if value < 0 else "∞")
    if value == 0:
        return "0"
    text = f"{value:.{digits - 1}e}"
    exponent = int(text.partition("e")[2])
    if (places := _places(exponent, digits)) is not None:
        return f"{value:,.{places}f}".replace("-", "−")
    return power(text.partition("e")[0].replace("-", "−"), exponent)


def _places(exponent: int, digits: int) -> int | None:
    """Return the decimal places of a number of that exponent; None: it is told as a power."""
    return max(digits - 1 - exponent, 0) if -4 < exponent < max(digits, 5) else None


def _told(value: float, digits: int) -> float:
    """Return what `number` writes of a number that is not negative."""
    text = f"{value:.{digits - 1}e}"
    places = _places(int(text.partition("e")[2]), digits)
    return float(text if places is None else f"{value:.{places}f}")


def power(mantissa: str, exponent: int) -> str:
    """Return mantissa × 10ⁿ."""
    return f"{mantissa}×10{str(exponent).translate(_SUPERSCRIPTS)}"


def value_of(estimate: Estimate) -> str:
    """Return the value, to the digit that its doubt allows, with ≤ or ≥ for a bound."""
    return _SIGNS.get(estimate.kind, "") + number(estimate.value, _digits(estimate))


def doubt_of(estimate: Estimate) -> str:
    """Return `± 0.02`, or `[14, 25]` where the interval is lopsided; empty for what is exact.

    With as many digits as it takes to hold zero or to leave it out as the interval does.
    """
    low, high = estimate.interval
    half = estimate.half_width
    if estimate.kind != "estimate" or not math.isfinite(half) or half == 0:
        return ""
    digits = _digits(estimate)
    if abs(estimate.value - (low + high) / 2) <= 0.15 * half:
        for places in (1, 2, 3):
            if estimate.tells_sign(_told(half, places), _told(abs(estimate.value), digits)):
                return f"± {number(half, places)}"
    return f"[{number(low, digits)}, {number(high, digits)}]"


def doubt_in_words(estimate: Estimate) -> str:
    """Return kind, interval, samples, residual, method and status: what stands behind a number."""
    low, high = estimate.interval
    parts = [_KINDS[estimate.kind]]
    if estimate.kind != "exact" and math.isfinite(low):
        upper = number(high, 6) if math.isfinite(high) else "∞"
        share = f"{100 * estimate.level:g} % interval " if estimate.level < 1 else "in "
        parts.append(f"{share}[{number(low, 6)}, {upper}]")
    if estimate.samples > 1:
        parts.append(f"{estimate.samples:,} samples")
    if estimate.residual is not None:
        parts.append(f"residual {number(estimate.residual, 2)}")
    parts += [part for part in (estimate.method, estimate.reason) if part]
    return "; ".join([*parts, estimate.status.words])


def plain_cell(value: Any) -> str:
    """Return any cell of a table as plain text."""
    if isinstance(value, Estimate):
        text = f"{value_of(value)} {doubt_of(value)}".strip()
        return text if value.status.settled else f"{text} ({value.status.words})"
    if value is None or isinstance(value, int | float):
        return number(value)
    if isinstance(value, list | tuple):
        return ", ".join(plain_cell(item) for item in value) or "–"
    return shorten(clean(str(value)))


def duration(seconds: float) -> str:
    """Return a time as a person says it: `< 0.1 s`, `7.2 s`, `2 min 5 s`."""
    if seconds < 0.1:
        return "< 0.1 s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _digits(estimate: Estimate) -> int:
    """Return significant digits, two to six: down to the place of the first digit of the doubt."""
    half = estimate.half_width
    if not math.isfinite(half) or half <= 0 or estimate.value == 0:
        return 4
    places = math.floor(math.log10(abs(estimate.value))) - math.floor(math.log10(half))
    return min(max(places + 1, 2), 6)
