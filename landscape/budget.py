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

from landscape.errors import ResourceError, SettingError

TRIED = 10  # equal steps, after which it is told how long the others take
LONG = 10  # seconds, from which on they are told in whole
SLOW = 1.5  # times what is left: the first steps are slower than the others
SECONDS = {"h": 3600, "m": 60, "s": 1}
PRODUCTS = "hvp"
_PART = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join((*SECONDS, PRODUCTS))})")


class BudgetError(ResourceError):
    """A budget does not last until there is something to tell."""

    def __init__(self, what: str) -> None:
        why = "what was finished by then is no answer yet"
        super().__init__(what, where="--budget", why=why, hint="give a larger --budget")


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
    whole: Budget | None = None  # of which this is a share
    part: float = 1.0  # one in so many: how large a share

    def charge(self, number: int) -> None:
        self.products += number
        if self.outer is not None:
            self.outer.charge(number)

    def spent(self) -> bool:
        return self.reached() is not None

    def reached(self) -> str | None:
        """Return the bound that is spent, in words; the innermost where there are several."""
        whole = self.whole or self.budget
        if self._seconds_left() == 0:
            return self.named(Budget(seconds=whole.seconds))
        if self._products_left() == 0:
            return self.named(Budget(products=whole.products))
        return self.outer.reached() if self.outer is not None else None

    def named(self, bound: Budget) -> str:
        return f"{'a share of ' if self.whole is not None else ''}the budget of {bound}"

    def timed(self) -> tuple[float, str] | None:
        """Return the seconds that are left, and of which bound; None where time is not bounded."""
        outer = self.outer.timed() if self.outer is not None else None
        if (left := self._seconds_left()) is None:
            return outer
        own = left, self.named(Budget(seconds=(self.whole or self.budget).seconds))
        return own if outer is None or left <= outer[0] else outer

    def left(self) -> int | None:
        bounds = [self._products_left(), self.outer.left() if self.outer is not None else None]
        return min((bound for bound in bounds if bound is not None), default=None)

    def share(self, parts: float) -> _Account:
        """Return an account of one in so many parts of what is left."""
        seconds, products = self._seconds_left(), self._products_left()
        part = Budget(
            seconds=None if seconds is None else max(seconds / parts, 1e-9),
            products=None if products is None else max(int(products / parts), 1),
        )
        return _Account(part, time.monotonic(), self, whole=self.whole or self.budget, part=parts)

    def _products_left(self) -> int | None:
        bound = self.budget.products
        return None if bound is None else max(bound - self.products, 0)

    def _seconds_left(self) -> float | None:
        bound = self.budget.seconds
        return None if bound is None else max(bound - (time.monotonic() - self.started), 0.0)


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


@contextmanager
def shared(parts: float) -> Iterator[None]:
    """Put what is inside a block under one in so many parts of what is left of the budget in force.

    What the block leaves over is there for what comes after it.
    """
    account = _account.get()
    if account is None or account.spent():
        yield
        return
    token = _account.set(account.share(parts))
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


def reached() -> str | None:
    """Return which bound is spent, in words such as "the budget of 500hvp"; None: none is."""
    account = _account.get()
    return account.reached() if account is not None else None


def affords(products: int) -> bool:
    """Return whether a block of products keeps within the budget."""
    left = left_products()
    return not spent() and (left is None or left >= products)


def timed() -> bool:
    """Return whether a bound on time is in force, so that numbers may vary from run to run."""
    return left_seconds() is not None


def left_seconds() -> float | None:
    """Return how many seconds are left; None when time is not bounded."""
    found = _time()
    return found[0] if found is not None else None


def require(what: str, seconds: float = 0.0) -> None:
    """Refuse to begin with what the budget does not last for.

    Args:
        what: Is begun; with seconds, it takes about so many.
        seconds: Of wall-clock time.

    Raises:
        BudgetError: The budget is spent, or fewer seconds are left.
    """
    if (limit := reached()) is not None:
        raise BudgetError(f"{limit} was spent before {what}")
    if (left := _time()) is not None and left[0] < seconds:
        raise _too_dear(what, seconds, *left)


class Pace:
    """Tells from the first of some equal steps whether the budget lasts for all.

    Args:
        what: They are the steps of.
        steps: How many.
    """

    def __init__(self, what: str, steps: int) -> None:
        self._what, self._steps, self._began = what, steps, time.monotonic()

    def check(self, done: int) -> None:
        """Refuse to go on where the steps to come do not fit.

        Raises:
            BudgetError: They do not.
        """
        if (found := _time()) is None or done >= self._steps:
            return
        taken, (left, limit) = time.monotonic() - self._began, found
        needed = taken / done * (self._steps - done)
        if left == 0 or (done >= TRIED and needed > SLOW * left):
            raise _too_dear(self._what, taken + needed, taken + left, limit)


def left_products() -> int | None:
    """Return how many operator products are left; None when their number is not bounded."""
    account = _account.get()
    return account.left() if account is not None else None


def told() -> str | None:
    """Return the budget in force as it is written, whole where it is shared; None without one."""
    account = _account.get()
    return str(account.whole or account.budget) if account is not None else None


def place() -> tuple[int | None, tuple[float, ...]] | None:
    """Return what tells this part of a budget from others: products left, shares; None without."""
    if (account := _account.get()) is None:
        return None
    shares, outer = list[float](), account
    while outer is not None:
        shares.append(outer.part)
        outer = outer.outer
    return account.left(), tuple(shares)


def _time() -> tuple[float, str] | None:
    account = _account.get()
    return account.timed() if account is not None else None


def _too_dear(what: str, seconds: float, left: float, limit: str) -> BudgetError:
    return BudgetError(
        f"{what} takes about {_in_seconds(seconds)}: more than {_in_seconds(left)} left of {limit}"
    )


def _in_seconds(duration: float) -> str:
    return f"{duration:,.0f} s" if duration >= LONG else f"{duration:.2g} s"


def _refused(given: str) -> SettingError:
    return SettingError(
        f"{given} is not a budget",
        where="--budget",
        why="a budget is a time (h, m, s), a number of operator products (hvp), or both",
        hint="write --budget 2m, --budget 500hvp or --budget 2m,500hvp",
    )
