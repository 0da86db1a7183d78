"""Rules of softmax and attention.

One head of attention is out_i = Σ_j p_ij v_j with p_i = softmax_j(s q_i · k_j). Its differential is

    Σ_j p_ij dv_j  +  s Cov_{p_i}(v, k) dq_i  +  s Σ_j p_ij (v_j − v̄_i) (q_i · dk_j).

Where all |q_i| ≤ q, and keys and values lie in balls of radii r_K and r_V round any centres
(the covariance does not see centres), and c bounds the column sums Σ_i p_ij,

    ‖d out‖ ≤ √c ‖dV‖ + s r_V r_K ‖dQ‖ + s q r_V √c ‖dK‖,   c ≤ number of queries,

in Frobenius norms, by Cauchy-Schwarz for the covariance and Jensen for the averages. Heads are
independent, so that the same holds of all together. Without bounds of q, r_K, r_V there is none:
dot-product attention is not globally Lipschitz.

Source: Kim, Papamakarios & Mnih 2021, arXiv 2006.04710 (not Lipschitz); Castin, Ablin & Peyré 2024,
arXiv 2312.14820 (order √n on a ball). Differs from the sources: the bound itself.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from landscape.lipschitz.call import Call
from landscape.lipschitz.expression import Leaf
from landscape.lipschitz.value import Layer, NoRuleError, Rows, Value
from landscape.lipschitz.walk import Walk, rule

UNBOUNDED = "dot-product attention is not globally Lipschitz"


@rule("scaled_dot_product_attention")
def attention(walk: Walk, call: Call) -> Value:
    """The bound above, on the ball."""
    if not walk.is_local:
        raise NoRuleError(UNBOUNDED, local=True)
    query, key, value = (call[name] for name in ("query", "key", "value"))
    if not all(isinstance(one, Value) for one in (query, key, value)):
        raise NoRuleError("queries, keys or values do not depend on the input")
    if isinstance(call["attn_mask"], Value) or call["dropout_p"] or call["enable_gqa"]:
        raise NoRuleError("no rule for these arguments")
    scale = call["scale"] if call["scale"] is not None else query.shape[-1] ** -0.5
    columns = math.sqrt(query.shape[-2])
    keys, values = _spread(walk, key), _spread(walk, value)
    longest = walk.row_norm(query)
    gains = (
        abs(scale) * values * keys,
        abs(scale) * longest * values * columns,
        columns,
    )
    parts = (query, key, value)
    factor = math.fsum(g * walk.constant(one) for g, one in zip(gains, parts, strict=True))
    told = Layer(
        call.module or call.name, "attention", None, math.hypot(*gains), note="on the ball"
    )
    walk.layers.append(told)
    return Value(Leaf(walk.atom(call, call.shape, factor, None)))


def _spread(walk: Walk, value: Value) -> float:
    """Return the radius of a ball that holds all rows of each head, on the whole domain."""
    found = []
    for ball in walk.balls(value):
        apart = ball.centre - ball.centre.mean(-2, keepdim=True)
        found.append(float(torch.linalg.vector_norm(apart, dim=-1).max()) + ball.radius)
    return min(found, default=math.inf)


@rule("softmax", "_softmax", "_safe_softmax")
def softmax(walk: Walk, call: Call) -> Value:
    """½: the norm of diag(p) − p pᵀ is at most that of p = (½, ½)."""
    value = call["self"]
    last = call["dim"] % len(value.shape) == len(value.shape) - 1
    found = Value(Leaf(walk.atom(call, call.shape, 0.5, value.expression)), peak=1.0)
    if last:
        zeros = torch.zeros(call.shape, dtype=torch.float64, device=walk.device)
        found.rows = Rows(zeros, 1.0)
    return found


@rule("log_softmax", "_log_softmax")
def log_softmax(walk: Walk, call: Call) -> Value:
    """√c: the norm of I − 1 pᵀ, an oblique projection, is √c ‖p‖."""
    value: Any = call["self"]
    classes = value.shape[call["dim"] % len(value.shape)]
    factor = math.sqrt(classes) if classes > 1 else 0.0
    return Value(Leaf(walk.atom(call, call.shape, factor, value.expression)))
