"""Following what is left of a network from its inputs on, and telling where that cannot be done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from landscape.errors import ModelError
from landscape.pruning.positive import AS_IS, INSTEAD, PositiveFlow

_PASSED = "neg abs exp erf square sqrt rsqrt reciprocal pow log1p sin cos clamp clip clamp_min"
_LAYERS = (
    "linear bilinear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d addmm "
    "mul rmul div truediv true_divide matmul rmatmul mm bmm mv einsum"
)
_SUMS = "add radd sub rsub"
_JOINS = "cat concat concatenate stack hstack vstack"
_POOLS = (
    "sum mean cumsum avg_pool1d avg_pool2d avg_pool3d "
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d"
)
_MOVES = (
    "get getitem view view_as reshape flatten unflatten permute transpose t movedim moveaxis "
    "swapaxes squeeze unsqueeze expand expand_as broadcast_to repeat repeat_interleave tile chunk "
    "split tensor_split unbind narrow select index_select gather roll flip contiguous clone to "
    "type type_as float double half pad constant_pad_nd pixel_shuffle pixel_unshuffle "
    "channel_shuffle interpolate upsample fold unfold tril triu"
)
PASSED = frozenset(_PASSED.split())
SUMS = frozenset(_SUMS.split())
SIDE_BY_SIDE = frozenset(f"{_SUMS} {_JOINS}".split())
QUOTIENTS = frozenset(("div", "truediv", "true_divide"))
FOLLOWED = frozenset(f"{_LAYERS} {_SUMS} {_JOINS} {_POOLS} {_MOVES}".split())


class Followed(PositiveFlow):
    """The positive flow, as long as weights on a path are those with a flow above zero.

    That is so for layers, sums, joins, poolings and moves, a difference counting as a sum; for a
    product of two things that depend on the inputs, as a gate or attention, as long as neither is
    zero anywhere: a gate that is cut off still lets the other pass. What comes from anything else
    is remembered with the reason. Constants that are added feed nothing.

    Args:
        inputs: Of the network.
    """

    def __init__(self, inputs: Iterable[Tensor]) -> None:
        super().__init__()
        # By id, with the tensor itself, so that no two share an id.
        self._reached = {id(one): (one, "") for one in inputs}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch, or what stands for it, and remember what it makes of what."""
        kwargs = dict(kwargs or {})
        name = str(getattr(func, "__name__", func))
        in_place, name = name.endswith("_") and not name.endswith("__"), name.strip("_")
        if instead := INSTEAD.get(name):
            with self:
                result = instead(*args, **kwargs)
            if name.startswith("embedding"):  # reads the inputs, whatever token it stands for
                self._remember(result, "")
            return result
        own = {id(t): t for t in _tensors((args, kwargs)) if id(t) in self._reached}
        if (name in PASSED or name in AS_IS) and len(own) < 2:
            return args[0] if args else kwargs["input"]
        if name in SUMS and own:
            kwargs.pop("alpha", None)
            terms = [self._weighed(one) for one in (*args, *kwargs.values())]
            result = terms[0].add_(terms[1]) if in_place else terms[0] + terms[1]
        else:
            result = func(*args, **kwargs)
        if own and not name.startswith("new_") and not name.endswith("_like"):
            made = [args[0]] if name == "setitem" else list(_tensors(result))
            self._remember(made, self._reason(name, args, own, made))
        return result

    def refuse(self, outputs: Iterable[Tensor]) -> None:
        """Refuse outputs whose paths cannot be told.

        Raises:
            ModelError: Some operation on the way is not one that the flow follows.
        """
        for one in outputs:
            _, reason = self._reached.get(id(one), (one, "not every operation on the way is seen"))
            if reason:
                raise ModelError(
                    reason,
                    where="paths",
                    why="where the flow is not right for an operation, counts would be wrong",
                    hint="densities and dead units are told all the same",
                )

    def _weighed(self, term: Any) -> Any:
        """Return a term of a sum; a constant counts as zero."""
        if not isinstance(term, Tensor):
            return 0
        return term if id(term) in self._reached or term.requires_grad else torch.zeros_like(term)

    def _reason(self, name: str, args: Any, own: Mapping[int, Tensor], made: list[Tensor]) -> str:
        """Return why what a function made cannot be followed; empty: it can."""
        earlier = next((reason for key in own if (reason := self._reached[key][1])), "")
        real = [one for one in made if one.is_floating_point()]
        cut = any(t.requires_grad for t in own.values()) and not all(t.requires_grad for t in real)
        if earlier:
            return earlier
        if name not in FOLLOWED:
            return f"no rule for {name}"
        if name in QUOTIENTS and id(args[-1]) in own:
            return f"{name} by what depends on the inputs"
        if cut:
            return f"{name} runs without a gradient"
        if any(bool((t < 0).any()) for t in real):
            return f"{name} turns the sign"
        if len(own) > 1 and name not in SIDE_BY_SIDE and any(map(_holey, own.values())):
            return f"{name} multiplies two branches, one of them cut off in part"
        return ""

    def _remember(self, made: Any, reason: str) -> None:
        self._reached |= {id(one): (one, reason) for one in _tensors(made)}


def _holey(tensor: Tensor) -> bool:
    return not bool((tensor > 0).all())


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
