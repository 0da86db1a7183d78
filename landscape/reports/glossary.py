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
_NTK = ("ntk",)
_TICKETS = ("tickets-score", "tickets-find", "tickets-eval")

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
        "Top eigenvalues above the largest gap, where its ratio is at least 1.5. Often as many as "
        "classes C, or C − 1; other counts, or none, by scale of the inputs and stage of training.",
        "Sagun et al. 2016, arXiv 1611.07476; Papyan 2019, arXiv 1901.08244",
        _SPECTRUM,
    ),
    Term(
        "Solver and sampling",
        "q_b = vᵀ H_b v over groups b of the samples,  dλ = vᵀ dH v",
        "The two parts of an interval: what the iteration leaves open on the given data, and how "
        "far the number would move on other samples. The second is Student's t over groups; it "
        "does not remove that λ_max of few samples is on average too large.",
        "Cochran 1977, §6.4; Kato 1966, §II.2",
        _SPECTRUM,
    ),
    Term(
        "Stability margin",
        "λ₁ / (f/η),  f = 2, (2+2β), (2+2β)/(1+2β), (2+2β₁)/(1−β₁)",
        "The sharpness over the one from which on steps grow: of gradient descent, heavy ball, "
        "Nesterov, and Adam (38 for β₁ = 0.9, on P⁻¹H). Training often settles near 1.",
        "Cohen et al. 2021, arXiv 2103.00065; Cohen et al. 2022, arXiv 2207.14484",
        _SPECTRUM,
    ),
    Term(
        "Preconditioned spectrum",
        "P^(−½) H P^(−½),  Adam: P = (√v̂ + ε)(1 − β₁ᵗ)",
        "The curvature in the coordinates in which the optimizer takes plain steps; its "
        "eigenvalues are those of P⁻¹H.",
        "Cohen et al. 2022, arXiv 2207.14484",
        _SPECTRUM,
    ),
    Term(
        "Kind of point",
        "Δ = ‖g‖² / (2 max|λ|)",
        "Not stationary while Δ, what a gradient step gains to second order, exceeds a thousandth "
        "of the loss; else minimum-like, saddle or maximum-like by the signs of the curvature, "
        "where less than a hundredth of the largest counts as none.",
        "Dauphin et al. 2014, arXiv 1406.2572",
        _SPECTRUM,
    ),
    Term(
        "Share of ‖g‖²",
        "‖Vⱼᵀ g‖² / ‖g‖²",
        "How much of the gradient lies in the first j eigenvectors; the interval bounds how far "
        "these may have turned.",
        "Gur-Ari, Roberts & Dyer 2018, arXiv 1812.04754; Davis & Kahan 1970",
        _SPECTRUM,
    ),
    Term(
        "Coordinates",
        "1 / Σ vᵢ⁴",
        "Over how many coordinates an eigenvector is spread (inverse participation ratio).",
        "",
        _SPECTRUM,
    ),
    Term(
        "Mass of v₁",
        "Σ vᵢ² over a layer",
        "How much of the sharpest direction lies in a layer.",
        "",
        _SPECTRUM,
    ),
    Term(
        "Overlap",
        "‖V Wᵀ‖²_F / k",
        "Of the top eigenvectors of two neighbouring checkpoints: 1 when they span the same.",
        "Gur-Ari, Roberts & Dyer 2018, arXiv 1812.04754",
        _SPECTRUM,
    ),
    Term(
        "Stable rank of the curvature",
        "Σ λᵢ² / λ₁²",
        "How many eigenvalues as large as the largest would have the same squared norm.",
        "Rudelson & Vershynin 2007, arXiv math/0503442",
        _SPECTRUM,
    ),
    Term(
        "Effective dimension",
        "Σ |λᵢ| / (|λᵢ| + γ)",
        "Directions with more curvature than γ: the weight decay, or a hundredth of the largest.",
        "MacKay 1992; Maddox et al. 2020, arXiv 2003.02139",
        _SPECTRUM,
    ),
    Term(
        "Negative share",
        "Σ|λ₋| / Σ|λ|",
        "How much of the curvature bends downwards.",
        "Ghorbani et al. 2019, arXiv 1901.10159",
        _SPECTRUM,
    ),
    Term(
        "Heterogeneity JS₀",
        "mean over pairs of √(H((p+q)/2) − (H(p)+H(q))/2)",
        "Jensen-Shannon distance, base 2, between the layers' eigenvalue densities on the axis "
        "z = sign(λ) log₁₀(1 + |λ|/10⁻⁴): 0 alike, 1 disjoint. Values published elsewhere are on "
        "another scale.",
        "Zhang et al. 2024, arXiv 2402.16788; Lin 1991",
        _SPECTRUM,
    ),
    Term(
        "Residual of Gauss-Newton",
        "H = G + R",
        "What the curvature of the network itself adds; its negative eigenvalues bound those of H.",
        "Schraudolph 2002; Papyan 2019, arXiv 1901.08244",
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
        "Barrier",
        "sup_t [f(t) − (1 − t) f(0) − t f(1)]",
        "How far a path between two networks rises above the line between its ends.",
        "Entezari et al. 2022, arXiv 2110.06296",
        ("connect",),
    ),
    Term(
        "Fitted curve",
        "min E_t L(φ(t)), φ(t) = (1 − t)² a + 2t (1 − t) w + t² b",
        "A Bézier curve whose bend w is trained; its ends stay.",
        "Garipov et al. 2018, arXiv 1802.10026",
        ("connect",),
    ),
    Term(
        "Aligned line",
        "(1 − t) θ_A + t π(θ_B)",
        "The line to the second network with its units permuted towards those of the first, which "
        "leaves its function as it is.",
        "Ainsworth, Hayase & Srinivasa 2023, arXiv 2209.04836",
        ("connect",),
    ),
    Term(
        "Simultaneous band",
        "mean ± q s(t) for all t at once",
        "q is the quantile of the largest studentised deviation over t, by a multiplier bootstrap "
        "of differences that are paired sample by sample.",
        "Chernozhukov, Chetverikov & Kato 2013, arXiv 1212.6906",
        ("connect",),
    ),
    Term(
        "Surface",
        "L(θ + α d₁ + β d₂)",
        "The loss along one or two directions out of n: it shows what they show and no more. "
        "Height and colour are even in the logarithm of a loss.",
        "Goodfellow, Vinyals & Saxe 2015, arXiv 1412.6544",
        ("surface",),
    ),
    Term(
        "Filter normalisation",
        "dᵢ ← dᵢ ‖wᵢ‖ / ‖dᵢ‖ for every output unit i",
        "Directions as long as the weights that they move, so that networks which compute the same "
        "function at different scales have the same picture.",
        "Li et al. 2018, arXiv 1712.09913",
        ("surface",),
    ),
    Term(
        "Curvature along a direction",
        "uᵀ H u = lim (L(θ + hu) − 2 L(θ) + L(θ − hu)) / h²",
        "The second difference of a slice against a product with the Hessian: two ways to one "
        "number.",
        "",
        ("surface",),
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
        "Noise scale",
        "B = tr Σ / ‖g‖²,  with curvature tr(HΣ) / gᵀHg",
        "The batch size at which the noise of the gradient weighs as much as the gradient. Both"
        " parts are without bias; the interval is Fieller's.",
        "McCandlish et al. 2018, arXiv 1812.06162",
        ("gradients",),
    ),
    Term(
        "Signals",
        "q = E‖h‖² / n,  E‖δ‖² / n with δ = N ∂L/∂h",
        "Mean squares of a layer's output and of the gradient in it, over samples and units.",
        "Poole et al. 2016, arXiv 1606.05340",
        ("gradients",),
    ),
    Term(
        "Mean-field gain χ₁ and depth scale ξ",
        "χ₁ = σ_w² E φ′(z)²,  ξ = 1 / |ln χ₁|",
        "The factor by which squared perturbations grow in a layer, from its weights and the "
        "slopes that were seen; and the layers after which they have changed by a factor e.",
        "Schoenholz et al. 2017, arXiv 1611.01232",
        ("gradients",),
    ),
    Term(
        "Dead, saturated",
        "|φ′(z)| < 1/20 of the steepest",
        "Saturated: the share of activations at which the function is flat. Dead: the share of "
        "units for which it is, at every sample that was seen.",
        "",
        ("gradients",),
    ),
    Term(
        "Gradient diversity",
        "N Σ‖gᵢ‖² / ‖Σ gᵢ‖²",
        "How many samples can be averaged before they repeat one another; 1 when all agree.",
        "Yin et al. 2018, arXiv 1706.05699",
        ("gradients",),
    ),
    Term(
        "Smoothness β, L₀ and L₁",
        "β = ‖g′ − g‖ / ‖θ′ − θ‖,  β ≤ L₀ + L₁ ‖g‖",
        "How fast the gradient changes along a step of descent; and the lowest line in ‖g‖ that"
        " no checkpoint lies above.",
        "Santurkar et al. 2018, arXiv 1805.11604; Zhang et al. 2020, arXiv 1905.11881",
        ("gradients",),
    ),
    Term(
        "Jacobian singular values",
        "s of J = ∂h/∂x, one J for each sample",
        "How much a perturbed input is stretched on its way to a layer; all 1 is an isometry.",
        "Saxe et al. 2014, arXiv 1312.6120; Pennington et al. 2017, arXiv 1711.04735",
        ("gradients",),
    ),
    Term(
        "Nuclear rank",
        "‖G‖_*² / ‖G‖_F²",
        "Of a matrix of gradients. Where it exceeds the stable rank tr A / λ_max of the inputs,"
        " a step with equal singular values lowers the loss more than one along the gradient.",
        "Davis & Drusvyatskiy 2025, arXiv 2512.04299",
        ("gradients",),
    ),
    Term(
        "Density",
        "ρ = kept / Σ weights that may be pruned",
        "Biases, normalisation and what is named to stay whole do not count; tied tensors count "
        "once.",
        "Blalock et al. 2020, arXiv 2003.03033",
        _TICKETS,
    ),
    Term(
        "On a path",
        "|w| ∂R/∂|w| > 0 in the network whose weights are the mask",
        "A kept weight that some path from input to output passes. The share of such weights is "
        "the effective density.",
        "Tanaka et al. 2020, arXiv 2006.05467; Vysogorets & Kempe 2021, arXiv 2107.02306",
        _TICKETS,
    ),
    Term(
        "Jaccard overlap",
        "|A ∩ B| / |A ∪ B|,  by chance from E|A ∩ B| = Σ aₗbₗ/nₗ",
        "Weights that both masks keep, of those that either keeps; z is how many hypergeometric "
        "standard deviations the common ones are from what chance makes.",
        "Jaccard 1912; the hypergeometric law",
        ("tickets-compare",),
    ),
    Term(
        "Beside the first",
        "Σᵢ (ℓᵢ − ℓᵢ of the first) / N",
        "Loss and error are compared sample by sample, and told better or worse when the interval "
        "leaves out zero; of other numbers the ends of the intervals are subtracted. It speaks of "
        "other samples; another seed of the same recipe may differ by more.",
        "Agresti & Min 2005 (errors, paired)",
        ("solutions",),
    ),
    Term(
        "Disagreement",
        "share of labels with argmax f_a ≠ argmax f_b",
        "Networks with the same error may err on other samples.",
        "Fort, Hu & Lakshminarayanan 2019, arXiv 1912.02757",
        ("solutions",),
    ),
    Term(
        "CKA",
        "HSIC(K, L) / (HSIC(K, K) HSIC(L, L))^½,  K = X Xᵀ",
        "How alike the outputs of two networks are over the samples, whatever rotates, scales or "
        "shifts them: 1 for the same up to that. The unbiased estimate, of the outputs themselves.",
        "Kornblith et al. 2019, arXiv 1905.00414; Song et al. 2012, JMLR 13",
        ("solutions",),
    ),
    Term(
        "Margin",
        "f_y − max over j ≠ y of f_j",
        "How far the output of the right class is above the largest other; negative where a sample "
        "is classified wrongly. The median over the given data.",
        "",
        ("solutions",),
    ),
    Term(
        "Lipschitz constant",
        "sup ‖f(x) − f(y)‖ / ‖x − y‖",
        "How much the outputs can change with the inputs, over all inputs, a ball or the data. "
        "At most: proved over the graph of the network. At least: attained by a pair of inputs "
        "that was found. The constant lies between.",
        "Szegedy et al. 2014, arXiv 1312.6199; Fazlyab et al. 2019, arXiv 1906.04893",
        ("lipschitz",),
    ),
    Term(
        "Largest stable learning rate",
        "2 / λ₁ of the Gauss-Newton matrix",
        "Of gradient descent on the linearised network.",
        "Lee et al. 2019, arXiv 1902.06720",
        ("ntk",),
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
        "Share of the diagonal",
        "Σ Hᵢᵢ² / ‖H‖²_F",
        "How much of the curvature a diagonal preconditioner such as Adam's can see.",
        "Bekas, Kokiopoulou & Saad 2007 (the estimator)",
        ("spectrum",),
    ),
    Term(
        "Stable rank",
        "‖W‖²_F / ‖W‖²₂",
        "A rank that small singular values do not disturb; at most the rank.",
        "Rudelson & Vershynin 2007, arXiv math/0503442",
        ("weights",),
    ),
    Term(
        "Tangent kernel",
        "K = J Jᵀ,  J = ∂f/∂θ;  trace kernel Σ_c K_cc",
        "How much a small step that changes the output of one sample changes that of another. Not "
        "divided by anything.",
        "Jacot, Gabriel & Hongler 2018, arXiv 1806.07572",
        _NTK,
    ),
    Term(
        "Alignment, centred",
        "⟨HKH, HYYᵀH⟩ / (‖HKH‖ ‖HYYᵀH‖),  H = I − 11ᵀ/N",
        "How far the kernel points at the targets: 1 where it is theirs, near 0 where it knows "
        "nothing of them. Not centred, every kernel whose entries share a sign scores high.",
        "Cortes, Mohri & Rostamizadeh 2012; Kornblith et al. 2019, arXiv 1905.00414",
        _NTK,
    ),
    Term(
        "Floor of rounding",
        "ε λ_max √n",
        "Eigenvalues of the kernel below it are rounding and written as <; the condition number is "
        "then a lower bound.",
        "",
        _NTK,
    ),
    Term(
        "Nyström approximation",
        "K̂ = (KQ)(QᵀKQ)⁺(KQ)ᵀ ⪯ K,  tr K − tr K̂ = ‖K − K̂‖_*",
        "What a few products prove of a kernel that is not formed: eigenvalues from below and "
        "above, and exactly how much of the trace is missed.",
        "Tropp et al. 2017, arXiv 1706.05736",
        _NTK,
    ),
    Term(
        "Effective dimension of the kernel",
        "Σ λ / (λ + ridge)",
        "How many modes of the kernel a regression with that ridge uses.",
        "Zhang 2005, Neural Computation 17(9)",
        _NTK,
    ),
    Term(
        "Linearised training",
        "df/dt = −K ∇ℓ(f)",
        "What small steps of gradient descent on the mean loss would make of the network if its "
        "tangent kernel stayed as it is, on training and on held-out samples.",
        "Lee et al. 2019, arXiv 1902.06720",
        _NTK,
    ),
    Term(
        "Leave-one-out, GCV",
        "rᵢ = (A⁻¹Y)ᵢ / (A⁻¹)ᵢᵢ,  A = K + ridge",
        "The error of the kernel's regression on a sample that it has not seen, exactly and "
        "without a refit; generalised cross-validation (KARE) is its average form.",
        "Allen 1974; Golub, Heath & Wahba 1979; Jacot et al. 2020, arXiv 2006.09796",
        _NTK,
    ),
    Term(
        "Leverage",
        "(K A⁻¹)ᵢᵢ",
        "How much the regression's answer on a sample rests on that sample's own label.",
        "Hoaglin & Welsch 1978",
        _NTK,
    ),
    Term(
        "Kernel distance",
        "1 − ⟨K, K'⟩ / (‖K‖ ‖K'‖)",
        "How far training turned the kernel: 0 where the network trains like its linearisation.",
        "Fort et al. 2020, arXiv 2010.15110",
        _NTK,
    ),
)


def terms_of(sections: Iterable[str]) -> tuple[Term, ...]:
    """Return the terms that appear in some sections."""
    shown = set(sections)
    return tuple(term for term in GLOSSARY if shown & set(term.sections))
