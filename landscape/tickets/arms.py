"""The arms of a trial: a ticket, and what it must beat, each made anew for every seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from landscape.errors import SettingError
from landscape.pruning.controls import opposite, redrawn, scattered, shuffled
from landscape.pruning.mask import Mask, dense_mask

TICKET, DENSE = "ticket", "dense"
CONTROLS = ("reinit", "shuffled", "random", "inverted")
SAID = {
    TICKET: "the mask at its own weights",
    "reinit": "the same mask, the weights of every tensor in random order before it is applied",
    "shuffled": "as many weights of every tensor, in random places",
    "random": "as many weights in all, in random places of any tensor",
    "inverted": "as many weights of every tensor, from those that the mask prunes",
    DENSE: "every weight",
}


@dataclass(frozen=True, kw_only=True)
class Start:
    """What one run of an arm begins with."""

    mask: Mask
    tensors: dict[str, Tensor] = field(repr=False)


def start_of(
    arm: str, ticket: Mask, tensors: Mapping[str, Tensor], trainable: tuple[str, ...], seed: int
) -> Start:
    """Return mask and weights of one run of an arm.

    Args:
        arm: `ticket`, `dense`, or a control.
        ticket: The mask that is judged.
        tensors: Every tensor that the ticket begins with, not yet masked.
        trainable: Parameters that are drawn anew by `reinit`: all that training starts from.
        seed: Of what is random in the control.
    """
    generator = torch.Generator().manual_seed(2_000_003 + seed)
    if arm == TICKET:
        return Start(mask=ticket, tensors=dict(tensors))
    if arm == DENSE:
        whole = dense_mask({name: tensors[name] for name in ticket.kept})
        return Start(mask=whole, tensors=dict(tensors))
    if arm == "reinit":
        return Start(mask=ticket, tensors=redrawn(tensors, trainable, generator))
    made = {"shuffled": shuffled, "random": scattered, "inverted": opposite}[arm]
    return Start(mask=made(ticket, generator), tensors=dict(tensors))


def controls_of(text: str) -> tuple[str, ...]:
    """Return the controls that are named, in their usual order.

    Raises:
        SettingError: One is not known, or none is named.
    """
    named = {part.strip() for part in text.split(",") if part.strip()}
    unknown = sorted(named - set(CONTROLS))
    if unknown or not named:
        raise SettingError(
            f"there is no control {unknown[0]!r}" if unknown else "no control is named",
            where="controls",
            why="a ticket wins by being better than every control",
            hint=f"name some of {', '.join(CONTROLS)}",
        )
    return tuple(one for one in CONTROLS if one in named)
