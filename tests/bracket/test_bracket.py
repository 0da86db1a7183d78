"""Labels, statuses, tables, findings and what is handed on, from numbers that are made up."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from landscape import budget
from landscape.bracket.certificates import Certificates
from landscape.bracket.handed import Handed
from landscape.bracket.judging import answer_of
from landscape.bracket.pictures import bracket_ink, layers_ink
from landscape.bracket.result import LipschitzResult
from landscape.errors import InputError
from landscape.estimate import Status
from landscape.lipschitz.attained import Attained
from landscape.lipschitz.bounds import FoundChain
from landscape.lipschitz.certified import certify
from landscape.lipschitz.network import LayerNorm, NetworkBound
from landscape.lipschitz.value import Refusal
from landscape.lipschitz.witness import Witness
from tests.lipschitz.chains import chain_of
from tests.lipschitz.exact import gaussian

SUBJECT: Any = SimpleNamespace(checkpoint=SimpleNamespace(label="net", step=7))
LAYERS = (
    LayerNorm(name="fc", operation="linear", upper=2.0, lower=2.0 - 1e-12, note=""),
    LayerNorm(name="conv", operation="conv2d", upper=3.0, lower=2.9, note=""),
    LayerNorm(name="attn", operation="attention", upper=9.0, lower=math.nan, note="on the ball"),
    LayerNorm(name="odd", operation="odd", upper=math.inf, lower=math.nan, note=""),
)
ATTENTION = Refusal("scaled_dot_product_attention", "attn", "not globally Lipschitz", local=True)
ROUND = Refusal("round", "odd", "there is no rule for it", local=False)


def bound(**changes: Any) -> NetworkBound:
    known: dict[str, Any] = {
        "domain": "global",
        "radius": math.inf,
        "upper": 10.0,
        "layers": LAYERS,
        "refused": (),
        "unbounded": (),
        "chains": (),
        "floating": True,
        "vectors": np.zeros(0, np.float32),
    }
    return NetworkBound(**known | changes)


def pair(ratio: float, status: Status = Status.CONVERGED) -> Attained:
    one = np.ones(1)
    witness = Witness(
        x=(one,),
        y=(-one,),
        names=("0",),
        distance_inputs=2.0,
        distance_outputs=2 * ratio,
        rounding=0.0,
        sample=0,
    )
    return Attained(value=ratio, witness=witness, at_data=ratio / 2, samples=5, status=status)


def answer(reached: Attained | str = "nothing", **changes: Any) -> LipschitzResult:
    return answer_of(SUBJECT, bound(**changes), Certificates(seconds=1.0), reached)


def test_every_number_has_its_label():
    result = answer(pair(4.0))
    labels = {one.name: one.label for one in result.layers}
    assert labels == {
        "fc": "exact",
        "conv": "certified",
        "attn": "certified, on the ball",
        "odd": "certified",
    }
    upper, lower = result.network.upper, result.network.lower
    assert upper.kind == "upper_bound"
    assert upper.interval == (4.0, 10.0)
    assert upper.method.startswith("certified")
    assert lower.kind == "lower_bound"
    assert lower.interval == (4.0, 10.0)
    assert lower.method.startswith("attained")
    assert result.network.ratio == 2.5
    assert result.at_data is not None
    assert result.at_data.kind == "estimate"
    assert result.layers[3].upper.value == math.inf


def test_a_pair_above_the_bound_is_a_defect_that_is_told():
    with pytest.raises(RuntimeError, match="above the proved bound"):
        answer(pair(10.1))


def test_statuses():
    assert answer(pair(4.0)).status is Status.CONVERGED
    ended = answer(pair(4.0, Status.BUDGET_SPENT))
    assert ended.status is Status.CONVERGED, "a limit of the settings is no budget of the user's"
    assert "as long as the settings allow" in ended.message
    with budget.spending(budget.Budget(products=1)):
        budget.charge(1)
        cut = answer(pair(4.0, Status.BUDGET_SPENT))
    assert cut.status is Status.BUDGET_SPENT
    assert "Both sides hold" in cut.message
    refused = answer(pair(4.0), refused=(ROUND,), upper=math.inf)
    assert refused.status is Status.SKIPPED
    assert "round at odd: there is no rule for it" in refused.message
    assert answer(pair(4.0), upper=math.inf).status is Status.NOT_FINITE


def test_what_is_refused_is_named_in_summary_table_and_finding():
    result = answer(pair(4.0), refused=(ROUND, ATTENTION), upper=math.inf)
    assert "no upper bound: round at odd: there is no rule for it (and 1 more)" in result.summary()
    table = next(one for one in result.tables() if one.title == "No global bound for")
    assert [row[0] for row in table.rows] == [ROUND.told, ATTENTION.told]
    (finding,) = result.findings()
    assert finding.severity == "warning"
    assert "round at odd" in finding.sentence
    assert "(2 operations)" in finding.sentence
    assert any("refused" in told for _, told in result.trust())


def test_on_the_ball_the_bound_stands_and_the_reason_is_told():
    result = answer(pair(4.0), domain="ball", radius=2.5, unbounded=(ATTENTION,))
    assert result.radius == 2.5
    assert result.refused == (ATTENTION.told,)
    assert "on the ball" in result.network.upper.method
    assert "for ‖x‖ ≤ 2.5" in result.summary()
    (finding,) = result.findings()
    assert finding.severity == "notable"
    assert "ball" in finding.advice


def test_a_loose_bracket_is_a_finding_and_a_tight_one_is_none():
    (finding,) = answer(pair(0.01)).findings()
    assert "within a factor of 1e+03" in finding.sentence
    assert "attn" in finding.evidence
    assert answer(pair(4.0)).findings() == ()


def test_without_a_pair_the_reason_stands_where_the_number_would():
    result = answer("between token ids there is no distance")
    assert math.isnan(result.network.lower.value)
    assert "token ids" in str(result.network.lower.reason)
    assert [name for name, _ in result.headline()] == ["at most"]
    assert result.network.ratio is None
    assert result.at_data is None
    assert "nothing attained" in result.summary()


def test_the_product_is_drawn_for_a_single_chain_from_the_input_only():
    chain = chain_of(gaussian((2, 5, 1), 0))
    for base, drawn in ((("input",), True), (("relu at 0",), False)):
        chains = Certificates(seconds=1.0)
        upper = chains.certify("chain 1", chain)
        made = bound(chains=(FoundChain("chain 1", chain, base, upper),))
        ink = bracket_ink(answer_of(SUBJECT, made, chains, pair(1.0)))
        assert math.isfinite(ink.product) is drawn
        if drawn:
            assert ink.product == pytest.approx(chain.product())
    assert layers_ink(answer(pair(4.0))).names == ("fc", "conv", "attn", "odd")


def test_what_is_handed_on_comes_back():
    certificate = certify(chain_of(gaussian((3, 6, 5, 2), 0)), seconds=None).certificate
    assert certificate is not None
    vectors = np.arange(4, dtype=np.float32)
    packed = Handed(certificates={"chain 1": certificate}, vectors=vectors).packed
    again = Handed.unpacked(packed)
    assert np.array_equal(again.vectors, vectors)  # pyright: ignore[reportArgumentType]
    assert again.certificates["chain 1"].digest == certificate.digest
    assert Handed.unpacked(None).certificates == {}
    assert Handed.unpacked(Handed(vectors=vectors).packed).certificates == {}


def test_a_file_of_another_network_is_refused(tmp_path):
    chain = chain_of(gaussian((3, 6, 5, 2), 0))
    chains = Certificates(seconds=5.0)
    upper = chains.certify("chain 1", chain)
    chains.write(tmp_path / "a.cert")
    again = Certificates(seconds=0.0, file=str(tmp_path / "a.cert"))
    with pytest.raises(InputError, match="the network has no chain 1"):
        again.require_all_used()
    assert again.certify("chain 1", chain) == upper
    again.require_all_used()
    assert again.verified
    assert again.certify("chain 2", chain) == chain.product()
