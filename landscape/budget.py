"""How much may be spent: wall-clock time and operator products, asked for by loops as they go."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

from landscape.errors import SettingError

SECONDS = {"h": 3600, "m": 60, "s": 1}
PRODUCTS = "hvp"
_PART = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join((*SECONDS, PRODUCTS))})")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A bound on what a computation may cost; whatever is spent first ends it.

    Loops ask between blocks, so that a block that has begun is finished: the bound is passed by at
    most that. What ends by products is the same in every run; what ends by time is not.

    Args:
        seconds: Of wall-clock time; None: no bound.
        products: Operator products; None: no bound.
    """

    seconds: float | None = None
    products: int | None = None

    def __post_init__(self) -> None:
        given = [bound for bound in (self.seconds, self.products) if bound is not None]
        if not given or not all(0 < bound < math.inf for bound in given):
            raise _refused(f"a budget of {self.seconds} seconds and {self.products} products")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the budget that is written `2m`, `90s`, `1h`, `500hvp`, or `2m,500hvp`.

        Raises:
            SettingError: It is not of that form, names a kind twice, or is zero.
        """
        bounds: dict[str, float] = {}
        for part in text.split(","):
            found = _PART.fullmatch(part.strip().lower())
            if found is None:
                raise _refused(f"{part.strip()!r} in {text!r}" if "," in text else repr(text))
            number, unit = float(found[1]), found[2]
            kind = "products" if unit == PRODUCTS else "seconds"
            whole = number.is_integer() or kind == "seconds"
            if kind in bounds or number == 0 or not whole:
                raise _refused(repr(text))
            bounds[kind] = number * SECONDS.get(unit, 1)
        products = bounds.get("products")
        return cls(
            seconds=bounds.get("seconds"), products=int(products) if products is not None else None
        )

    def __str__(self) -> str:
        parts = []
        if self.seconds is not None:
            unit = next((u for u, size in SECONDS.items() if self.seconds % size == 0), "s")
            parts.append(f"{self.seconds / SECONDS[unit]:.12g}{unit}")
        if self.products is not None:
            parts.append(f"{self.products}{PRODUCTS}")
        return ",".join(parts)


@dataclass
class _Account:
    """What was spent of a budget, and of the one around it."""

    budget: Budget
    started: float
    outer: _Account | None
    products: int = 0

    def charge(self, number: int) -> None:
        self.products += number
        if self.outer is not None:
            self.outer.charge(number)

    def spent(self) -> bool:
        seconds = self.budget.seconds
        late = seconds is not None and time.monotonic() - self.started >= seconds
        return late or self.left() == 0 or (self.outer is not None and self.outer.spent())

    def left(self) -> int | None:
        bounds = [self.outer.left()] if self.outer is not None else []
        if self.budget.products is not None:
            bounds.append(max(self.budget.products - self.products, 0))
        return min((bound for bound in bounds if bound is not None), default=None)


_account: ContextVar[_Account | None] = ContextVar("landscape_budget", default=None)


@contextmanager
def spending(budget: Budget | None) -> Iterator[None]:
    """Put everything inside a block under a budget, and under the one around it; None: no other."""
    if budget is None:
        yield
        return
    token = _account.set(_Account(budget, time.monotonic(), _account.get()))
    try:
        yield
    finally:
        _account.reset(token)


def charge(products: int) -> None:
    """Say that some operator products were computed."""
    if (account := _account.get()) is not None:
        account.charge(products)


def spent() -> bool:
    """Return whether the budget is spent; never without one. Cheap enough for every block."""
    account = _account.get()
    return account is not None and account.spent()


def timed() -> bool:
    """Return whether a bound on time is in force, so that numbers may vary from run to run."""
    account = _account.get()
    while account is not None:
        if account.budget.seconds is not None:
            return True
        account = account.outer
    return False


def left_products() -> int | None:
    """Return how many operator products are left; None when their number is not bounded."""
    account = _account.get()
    return account.left() if account is not None else None


def told() -> str | None:
    """Return the budget in force as it is written; None without one."""
    account = _account.get()
    return str(account.budget) if account is not None else None


def _refused(given: str) -> SettingError:
    return SettingError(
        f"{given} is not a budget",
        where="--budget",
        why="a budget is a time (h, m, s), a number of operator products (hvp), or both",
        hint="write --budget 2m, --budget 500hvp or --budget 2m,500hvp",
    )
