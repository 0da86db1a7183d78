"""The tables of gradients and signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from landscape.answer import Table
from landscape.estimate import Estimate
from landscape.signals.intervals import sampled

if TYPE_CHECKING:
    from landscape.signals.conditioning import Spread
    from landscape.signals.result import GradientsResult

Row = tuple[Any, ...]


def tables_of(result: GradientsResult) -> tuple[Table, ...]:
    """Return norms per tensor, then what else was measured; empty ones are left out."""
    found = (
        _norms(result),
        Table("Gradient", ("quantity", "value"), tuple(_numbers(result))),
        Table("Gradient noise", ("quantity", "value"), tuple(_noise(result)), question="speed"),
        _signals(result),
        _jacobian(result),
        _conditioning(result),
        _clipping(result),
        _steps(result),
    )
    return tuple(one for one in found if one.rows)


def trust_of(result: GradientsResult) -> tuple[tuple[str, str], ...]:
    """Return what the numbers rest on, and what was left out."""
    rows = [("gradient norms", f"exact on {result.cost.samples:,} samples; no sampling error")]
    if result.signals:
        rows.append(("signals", f"{result.signals[0].forward.samples:,} samples, eval mode"))
    if (found := result.per_sample) is not None:
        rows.append(("per-sample gradients", f"{found.samples:,}, {found.way}"))
    return (*rows, *((f"left out: {one.part}", one.reason) for one in result.left_out))


def _norms(result: GradientsResult) -> Table:
    rows = tuple(
        (
            one.name,
            one.parameters,
            one.gradient_norm,
            one.weight_norm,
            one.update_norm,
            _ratio(one.update_norm, one.weight_norm),
        )
        for one in result.layers
    )
    columns = ("tensor", "parameters", "gradient", "weight", "last step", "step / weight")
    return Table("Norms per tensor", columns, rows)


def _numbers(result: GradientsResult) -> list[Row]:
    rows: list[Row] = []
    if result.trend is not None:
        rows.append((f"slope of ln ‖g‖ over {result.matrices} matrices", result.trend))
    if (field := result.mean_field) is not None:
        rows += [("mean-field gain χ₁ per layer", field.gain), ("depth scale ξ", field.depth)]
    if (found := result.per_sample) is not None:
        told = f"order statistics of {found.samples:,} samples"
        rows += [
            (f"‖gᵢ‖, quantile {q}", sampled(value, found.intervals[q], told, samples=found.samples))
            for q, value in found.quantiles.items()
        ]
        rows += [
            ("mean ‖gᵢ‖", found.mean),
            (f"gradient diversity of {found.samples:,} samples", found.diversity),
            ("strong growth E‖gᵢ‖² / ‖g‖²", found.growth),
        ]
    if (smooth := result.smoothness) is not None:
        rows.append(("effective smoothness along −g", smooth.effective))
    if (fit := result.growth) is not None:
        rows += [("L₀", fit.constant), ("L₁", fit.slope), ("slope of β in ‖g‖", fit.trend)]
        rows.append(("L₀ / L₁, beyond which to clip", fit.threshold))
    return rows


def _noise(result: GradientsResult) -> list[Row]:
    noise = result.noise
    if noise is None:
        return []
    rows: list[Row] = [
        ("noise scale tr Σ / ‖g‖²", noise.simple),
        ("noise tr Σ", noise.trace),
        ("‖g‖² without noise", noise.squared_gradient),
    ]
    if noise.curvature is not None:
        rows += [
            ("noise scale with curvature tr HΣ / gᵀHg", noise.curvature),
            ("curvature along the gradient", noise.along),
            ("batch size at which noise and gradient are equal", noise.batch_size),
        ]
    return rows


def _signals(result: GradientsResult) -> Table:
    columns = ("layer", "kind", "units", "E‖h‖²/n", "E‖δ‖²/n", "dead", "saturated", "gain χ")
    rows = tuple(
        (
            one.name,
            one.kind,
            one.units,
            one.forward,
            one.backward,
            one.dead,
            one.saturated,
            one.gain,
        )
        for one in result.signals
    )
    return Table("Signals per layer", columns, rows)


def _jacobian(result: GradientsResult) -> Table:
    found = result.jacobian
    columns = ("layer", "outputs", "mean s²", "max s", "median s", "s_max / s_min", "max |s−1|")
    rows = tuple(
        (
            one.name,
            one.outputs,
            one.mean_square,
            one.largest,
            one.median,
            one.condition,
            one.gap,
        )
        for one in (found.layers if found is not None else ())
    )
    origin = found.origin if found is not None else ""
    return Table(f"Singular values of the Jacobian from the {origin or 'input'}", columns, rows)


def _conditioning(result: GradientsResult) -> Table:
    columns = (
        "layer",
        "width",
        "inputs: λ_max/λ_min",
        "stable rank",
        "share of the mean",
        "signals: λ_max/λ_min",
        "stable rank of δ",
        "nuclear rank of G",
        "spectral step (Muon)",
    )
    words = {None: "undecided", True: "favoured", False: "not favoured"}
    rows = tuple(
        (
            one.name,
            one.width,
            *_spread(one.incoming),
            one.incoming.mean_share,
            *(_spread(one.outgoing) if one.outgoing is not None else (None, None)),
            one.nuclear_rank,
            words[one.spectral_wins] if one.nuclear_rank is not None else None,
        )
        for one in result.conditioning
    )
    return Table("Conditioning of inputs and signals", columns, rows)


def _spread(spread: Spread) -> Row:
    return spread.condition, spread.stable_rank


def _clipping(result: GradientsResult) -> Table:
    found = result.per_sample
    rows = tuple(
        (one.threshold, one.origin, one.fraction, one.cosine, one.ratio)
        for one in (found.clipped if found is not None else ())
    )
    columns = ("threshold C", "chosen as", "share clipped", "cosine with g", "norm / ‖g‖")
    return Table("Clipping per-sample gradients", columns, rows)


def _steps(result: GradientsResult) -> Table:
    found = result.smoothness
    rows = tuple(
        (one.rate, one.distance, one.loss, one.change, one.smoothness)
        for one in (found.steps if found is not None else ())
    )
    columns = ("step size", "distance", "loss", "‖g′−g‖ / ‖g‖", "smoothness β")
    return Table("Steps along −g", columns, rows)


def _ratio(update: Estimate | None, weight: Estimate) -> float | None:
    return update.value / weight.value if update is not None and weight.value > 0 else None
