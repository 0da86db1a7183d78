"""Errors within the study of symmetries, told as what the network does not allow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from landscape.errors import DataError, LandscapeError, ModelError, out_of_memory
from landscape.subject.network import first_line


@contextmanager
def told(what: str, model: nn.Module) -> Iterator[None]:
    """Raise what goes wrong in a block as a `ModelError`; no alignment is made of it.

    Errors of landscape's own stay as they are, but for a `DataError`: the samples are known to
    fit the network, so that it is its way of being called that does not suit.

    Args:
        what: What could not be done.
        model: The network.
    """
    try:
        yield
    except DataError as error:
        raise ModelError(
            what, where=error.where, why=f"{error.what}; {error.why}", hint=_HINT
        ) from error
    except LandscapeError:
        raise
    except Exception as error:
        if out_of_memory(error) is not None:
            raise
        raise ModelError(
            what,
            where=type(model).__name__,
            why=f"{type(error).__name__}: {first_line(error)}",
            hint=_HINT,
        ) from error


_HINT = "name the groups in an override file"
