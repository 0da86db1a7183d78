"""Networks from spec strings."""

from __future__ import annotations

import difflib
import inspect

from torch import nn

from landscape.errors import ModelError, SpecError
from landscape.subject.spec.factory import build, call_factory, require
from landscape.subject.spec.grammar import Spec, parse_spec
from landscape.subject.spec.schemes import MODEL_SCHEMES, reserved
from landscape.subject.spec.source import source_of

__all__ = ["MODEL_SCHEMES", "brings_weights", "load_model"]

_WEIGHTS = {"weights", "weights_backbone"}
_LEGACY_WEIGHTS = {"pretrained", "pretrained_backbone"}


def load_model(text: str, *, allow_download: bool = False) -> nn.Module:
    """Return the network that a spec string names; its weights are whatever it was made with.

    Args:
        text: `pkg.mod:factory`, `path/file.py:factory` or `torchvision:resnet18`, with options.
        allow_download: Whether torchvision may fetch the weights that `weights=DEFAULT` names.

    Raises:
        SpecError: The string does not follow the grammar.
        ModelError: There is no such factory, it fails, or it returns something else.
    """
    spec = parse_spec(text, schemes=MODEL_SCHEMES, what="model")
    if spec.scheme in ("python", "file"):
        return _checked(build(spec, error=ModelError), spec)
    if spec.scheme == "torchvision":
        return _checked(_torchvision(spec, allow_download=allow_download), spec)
    scheme = MODEL_SCHEMES[spec.scheme]
    raise reserved(spec.scheme, scheme, rest=spec.rest, text=spec.text, error=ModelError)


def brings_weights(text: str) -> bool:
    """Return whether a spec string names weights, so that no checkpoint is needed."""
    spec = parse_spec(text, schemes=MODEL_SCHEMES, what="model")
    return spec.scheme == "torchvision" and bool(spec.options.get("weights"))


def _torchvision(spec: Spec, *, allow_download: bool) -> object:
    if not spec.rest:
        raise SpecError(
            "torchvision: names no architecture",
            where=f"'{spec.text}'",
            why="between the colon and the first comma stands what is built",
            hint=f"write for example {MODEL_SCHEMES['torchvision'].example}",
        )
    models = require("torchvision.models", install="pip install torchvision", error=ModelError)
    names: list[str] = models.list_models()
    if spec.rest not in names:
        near = difflib.get_close_matches(spec.rest, names)
        raise ModelError(
            f"torchvision has no architecture '{spec.rest}'",
            where=f"'{spec.text}'",
            why=f"the nearest names are {', '.join(near)}"
            if near
            else f"it has {len(names)} others",
            hint="torchvision.models.list_models() lists them all",
        )
    builder = models.get_model_builder(spec.rest)
    _check_weights(spec, allow_download=allow_download)
    _check_named(spec, [*models.get_model_weights(spec.rest).__members__])
    absent = _WEIGHTS & {*inspect.signature(builder).parameters}
    given = {key: value for key, value in spec.options.items() if value or key not in absent}
    try:
        return call_factory(
            builder, dict.fromkeys(absent) | given, text=spec.text, error=ModelError
        )
    except ModelError as failure:
        if isinstance(failure.__cause__, OSError):
            raise ModelError(
                f"the weights of {spec.rest} could not be fetched",
                where=f"'{spec.text}'",
                why=str(failure.__cause__),
                hint="check the network, or give a checkpoint and the architecture alone",
            ) from failure
        raise


def _check_weights(spec: Spec, *, allow_download: bool) -> None:
    """Refuse options that fetch weights where nothing may be fetched."""
    kinds = _LEGACY_WEIGHTS if allow_download else _WEIGHTS | _LEGACY_WEIGHTS
    if fetching := sorted(key for key in kinds if spec.options.get(key)):
        raise ModelError(
            f"torchvision: takes no {', '.join(fetching)}",
            where=f"'{spec.text}'",
            why="the weights come from the checkpoint; nothing is downloaded unasked",
            hint="save the weights into a checkpoint once and give the architecture alone, or "
            "write weights=DEFAULT with --allow-download",
        )


def _check_named(spec: Spec, known: list[str]) -> None:
    """Refuse weights that torchvision does not have."""
    asked = spec.options.get("weights")
    if isinstance(asked, str) and asked.rpartition(".")[2] not in known:
        raise ModelError(
            f"{spec.rest} has no weights '{asked}'",
            where=f"'{spec.text}'",
            why=f"torchvision has {', '.join(known) or 'none'} for it",
            hint="write weights=DEFAULT",
        )


def _checked(made: object, spec: Spec) -> nn.Module:
    if isinstance(made, nn.Module):
        return made
    is_class = isinstance(made, type)
    raise ModelError(
        f"'{spec.text}' returned {_described(made)}; expected torch.nn.Module",
        where=getattr(source_of(made), "path", "") or f"'{spec.text}'",
        why="the class itself was returned, not an instance of it"
        if is_class
        else "parameters, buffers and mode are those of a module",
        hint="return Network() instead of Network"
        if is_class
        else "name a function without required arguments that returns the network",
    )


def _described(made: object) -> str:
    return f"the class {made.__name__}" if isinstance(made, type) else type(made).__name__
