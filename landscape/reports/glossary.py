"""The terms of a report: formula, meaning and source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A term, and the sections in which it appears."""

    name: str
    formula: str
    meaning: str
    source: str
    sections: tuple[str, ...]


_SPECTRUM = ("spectrum",)

GLOSSARY = (
    Term(
        "Hessian",
        "H = ∇² L(θ),  L = Σᵢ ℓᵢ / Σᵢ 1",
        "The curvature of the mean loss over the given data, without weight decay. Only its "
        "products with vectors are computed.",
        "Pearlmutter 1994, Neural Computation 6(1)",
        _SPECTRUM,
    ),
    Term(
        "Gauss-Newton matrix",
        "G = Σᵢ Jᵢᵀ (∇²ℓᵢ) Jᵢ / Σᵢ 1",
        "The Hessian without the curvature of the network itself; never negative for the usual "
        "losses.",
        "Schraudolph 2002; Martens 2014, arXiv 1412.1193",
        _SPECTRUM,
    ),
    Term(
        "Eigenvalue λ",
        "H v = λ v,  ‖v‖ = 1",
        "The curvature along v. The learning rate of plain gradient descent is stable up to "
        "2/λ_max.",
        "Cohen et al. 2021, arXiv 2103.00065",
        _SPECTRUM,
    ),
    Term(
        "Residual",
        "r = ‖H v − λ v‖,  ‖v‖ = 1",
        "An eigenvalue of H lies within r of λ. Computed anew at the end, not taken from the "
        "iteration.",
        "Parlett 1998, The Symmetric Eigenvalue Problem, §4.5",
        _SPECTRUM,
    ),
    Term(
        "Complete",
        "",
        "A further search, begun orthogonal to every pair that was found, found nothing beyond "
        "them: repeated eigenvalues are listed as often as they occur.",
        "Wu & Simon 2000 (thick restart), with locking",
        _SPECTRUM,
    ),
    Term(
        "Trace",
        "tr H = E[zᵀ H z],  zᵢ = ±1",
        "The sum of all eigenvalues, estimated from random signs z; the interval is Student's t.",
        "Hutchinson 1990; Girard 1989",
        _SPECTRUM,
    ),
    Term(
        "Squared Frobenius norm",
        "‖H‖²_F = Σ λᵢ² = E‖H z‖²",
        "From the same products as the trace.",
        "Hutchinson 1990",
        _SPECTRUM,
    ),
    Term(
        "Density and band",
        "φ(t) = (1/n) Σᵢ N(t; λᵢ, σ²)",
        "How many eigenvalues lie where, smoothed by a Gaussian kernel of width σ, by stochastic "
        "Lanczos quadrature. The band is pointwise: at any one t it covers with 95 %.",
        "Ubaru, Chen & Saad 2017; Ghorbani et al. 2019, arXiv 1901.10159; Satterthwaite 1946",
        _SPECTRUM,
    ),
    Term(
        "Effective rank",
        "(Σ|λᵢ|)² / Σ λᵢ²",
        "How many equal eigenvalues would spread as much.",
        "participation ratio; by stochastic Lanczos quadrature",
        _SPECTRUM,
    ),
    Term(
        "Condition",
        "λ_max / median |λᵢ|",
        "How much faster the sharpest direction moves than the typical one. A lower bound where "
        "the median cannot be told from zero.",
        "",
        _SPECTRUM,
    ),
    Term(
        "Outliers",
        "largest λᵢ / λᵢ₊₁",
        "Top eigenvalues above the largest gap, where the gap is clear.",
        "Sagun et al. 2016, arXiv 1611.07476",
        _SPECTRUM,
    ),
    Term(
        "Symmetry defect",
        "|uᵀ H v − vᵀ H u|",
        "Zero in exact arithmetic; what is left is the noise floor of the products.",
        "",
        _SPECTRUM,
    ),
    Term(
        "Gradient norm",
        "‖∇L(θ)‖₂",
        "Of the mean loss over the given data; zero at a critical point.",
        "",
        ("gradients", "spectrum"),
    ),
    Term(
        "Last step",
        "‖Δθ‖₂",
        "The last step of the optimizer, from the state that stands beside the weights.",
        "Kingma & Ba 2015, arXiv 1412.6980",
        ("gradients",),
    ),
    Term(
        "Frobenius norm",
        "‖W‖_F = (Σ wᵢⱼ²)^½",
        "The Euclidean length of a tensor.",
        "",
        ("weights",),
    ),
    Term(
        "Spectral norm",
        "‖W‖₂ = max ‖W x‖ / ‖x‖",
        "The largest singular value of a tensor as a matrix (first axis, the rest).",
        "",
        ("weights",),
    ),
    Term(
        "Stable rank",
        "‖W‖²_F / ‖W‖²₂",
        "A rank that small singular values do not disturb; at most the rank.",
        "Rudelson & Vershynin 2007, arXiv math/0503442",
        ("weights",),
    ),
)


def terms_of(sections: Iterable[str]) -> tuple[Term, ...]:
    """Return the terms that appear in some sections."""
    shown = set(sections)
    return tuple(term for term in GLOSSARY if shown & set(term.sections))
