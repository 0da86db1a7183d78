"""Whether a document keeps to rules: each is passed, failed or undecided."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from landscape.answer import Cost
from landscape.comparison.places import Found, estimate_at, resolve
from landscape.comparison.rules import Rule
from landscape.comparison.software import software
from landscape.encode import Schema, encode, schema_of, schema_of_fields
from landscape.estimate import Estimate, Status

UNDECIDED_WORDS = ("inconclusive", "refused", "not resolved")  # verdicts that leave it open
FAILED_EXIT, UNDECIDED_EXIT = 1, 7


class Outcome(StrEnum):
    """How a rule ended."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One condition at one place.

    Args:
        path: The place as the rule names it.
        place: Where that is in the document.
        rule: The condition.
        outcome: How it ended.
        found: What stands there, for a person.
        reason: Why it did not pass; empty when it did.
        value: What stands there, as the document has it.
    """

    path: str
    place: str
    rule: str
    outcome: Outcome
    found: str
    reason: str
    value: Any


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Every rule held against one document.

    Args:
        document: The schema of the document.
        source: Its file.
        rules: The file of the rules.
        checks: One for each condition and place.
        provenance: Of the document; and in `checked_by`, of the check.
        seed: Of the document.
        cost: Of the check.
    """

    schema_name: ClassVar[str] = "landscape/check/1"

    document: str
    source: str
    rules: str
    checks: tuple[Check, ...]
    provenance: Mapping[str, Any]
    seed: int
    cost: Cost

    @property
    def outcome(self) -> Outcome:
        """Return the gravest outcome: failed, else undecided, else passed."""
        found = {check.outcome for check in self.checks}
        order = (Outcome.FAILED, Outcome.UNDECIDED, Outcome.PASSED)
        return next((one for one in order if one in found), Outcome.PASSED)

    @property
    def exit_code(self) -> int:
        """Return 1 when a rule failed, else 7 when one is undecided, else 0."""
        codes = {Outcome.FAILED: FAILED_EXIT, Outcome.UNDECIDED: UNDECIDED_EXIT}
        return codes.get(self.outcome, 0)

    @property
    def message(self) -> str:
        """Return how many rules ended how."""
        count = Counter(check.outcome for check in self.checks)
        return ", ".join(f"{count[one]} {one.value}" for one in Outcome if count[one]) + "."

    def to_json(self) -> dict[str, Any]:
        """Return the whole JSON document."""
        return {
            "schema": self.schema_name,
            "status": self.outcome.value,
            "message": self.message,
            "settings": {"source": self.source, "rules": self.rules},
            "seed": self.seed,
            "cost": encode(self.cost),
            "answer": {"document": self.document, "checks": encode(self.checks)},
            "provenance": encode(self.provenance),
        }

    @classmethod
    def schema(cls) -> Schema:
        """Return the JSON Schema of the document."""
        properties: Schema = {
            "schema": {"const": cls.schema_name},
            "status": schema_of(Outcome),
            "message": {"type": "string"},
            "settings": {"type": "object"},
            "seed": {"type": "integer"},
            "cost": schema_of(Cost),
            "answer": schema_of_fields(cls, ["document", "checks"]),
            "provenance": {"type": "object"},
        }
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


def gate(
    document: Mapping[str, Any], rules: Sequence[Rule], *, source: str = "", written: str = ""
) -> Gate:
    """Return how a document stands to some rules.

    A number passes `min` and `max` only when its whole interval does, and fails only when its whole
    interval lies outside; between, and where it is not converged or not finite, it is undecided.

    Args:
        document: Of a report, or of one diagnostic.
        rules: What is asked of it.
        source: Its file.
        written: The file of the rules.

    Raises:
        SettingError: A rule is for a place that the document does not have.
    """
    started = time.perf_counter()
    checks = [_check(rule, found) for rule in rules for found in resolve(document, rule.place)]
    return Gate(
        document=str(document.get("schema")),
        source=source,
        rules=written,
        checks=tuple(checks),
        provenance={**(document.get("provenance") or {}), "checked_by": software()},
        seed=int(document.get("seed") or 0),
        cost=Cost(seconds=time.perf_counter() - started),
    )


def _check(rule: Rule, found: Found) -> Check:
    outcome, reason = _judged(rule, found.value)
    estimate = estimate_at(found.value)
    return Check(
        path=rule.path,
        place=found.place,
        rule=rule.told,
        outcome=outcome,
        found=_told(estimate, found.value, rule.key),
        reason=reason,
        value=None if isinstance(found.value, Mapping) and estimate is None else found.value,
    )


def _told(estimate: Estimate | None, value: Any, key: str) -> str:
    if estimate is not None and key != "status":
        low, high = estimate.interval
        doubt = "" if low == high else f" in [{low:.4g}, {high:.4g}]"
        settled = "" if estimate.status.settled else f" ({estimate.status.words})"
        return f"{estimate.value:.6g}{doubt}{settled}"
    if isinstance(value, Mapping):
        return str(value.get(key, f"no {key}"))
    return "nothing" if value is None else f"{value:.6g}" if type(value) is float else str(value)


def _judged(rule: Rule, value: Any) -> tuple[Outcome, str]:
    if rule.key in ("status", "verdict"):
        return _worded(rule, value)
    if isinstance(rule.wanted, str | bool):
        same = type(value) is type(rule.wanted) and value == rule.wanted
        return (Outcome.PASSED, "") if same else (Outcome.FAILED, f"it is {value!r}"[:200])
    estimate = estimate_at(value)
    if estimate is None and isinstance(value, int | float) and not isinstance(value, bool):
        estimate = Estimate.exact(float(value))
    if value is None:
        return Outcome.UNDECIDED, "there is no number: it was not computed, or is not finite"
    if estimate is None:
        return Outcome.FAILED, "it is no number"
    return _bounded(rule.key, float(rule.wanted), estimate)


def _bounded(key: str, wanted: float, estimate: Estimate) -> tuple[Outcome, str]:
    """Hold a number against [wanted, ∞), (−∞, wanted] or both."""
    if not math.isfinite(estimate.value):
        return Outcome.UNDECIDED, estimate.reason or "it is not finite"
    if not estimate.status.settled:
        return Outcome.UNDECIDED, f"it did not converge ({estimate.status.words})"
    low, high = estimate.interval
    above = wanted if key in ("min", "equals") else -math.inf
    below = wanted if key in ("max", "equals") else math.inf
    if above <= low and high <= below:
        return Outcome.PASSED, ""
    if high < above or low > below:
        far = "above" if low > below else "below"
        whole = "the whole interval lies" if low < high else "it lies"
        return Outcome.FAILED, f"{whole} {far} {wanted:g}"
    return Outcome.UNDECIDED, f"{wanted:g} lies within the interval"


def _worded(rule: Rule, value: Any) -> tuple[Outcome, str]:
    found = value.get(rule.key) if isinstance(value, Mapping) else None
    if found is None:
        return Outcome.FAILED, f"it has no {rule.key}"
    if found == rule.wanted:
        return Outcome.PASSED, ""
    unsettled = (Status.BUDGET_SPENT.value, Status.NOT_CONVERGED.value)
    open_words = UNDECIDED_WORDS if rule.key == "verdict" else unsettled
    outcome = Outcome.UNDECIDED if found in open_words else Outcome.FAILED
    return outcome, f"it is {found}"
