"""What an examination found: checks, ways of computing products, and plans; frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Self

from landscape.answer import Cost
from landscape.doctor.verdict import counted
from landscape.encode import Schema, decode_fields, encode, schema_of, schema_of_fields
from landscape.errors import InputError


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Args:
        name: Of the check.
        status: How it ended.
        found: What was found.
        why: The cause of a warning, a failure or a skip.
        next: The next step to take.
        code: Of the error, for a failure.
        exit: The exit code that a command would end with, for a failure.
    """

    name: str
    status: State
    found: str
    why: str = ""
    next: str = ""
    code: str = ""
    exit: int = 0


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of computing products, timed.

    Args:
        name: As `--product` takes it.
        missing: Why it cannot be used; empty when it can.
        seconds: Of a product with one vector, over all data.
        block: Vectors in the block that was timed.
        block_seconds: Of a product for each vector of such a block.
        agreement: Relative difference from the first way that exists.
        repeat: Relative difference of the same product computed twice; zero: bit for bit.
        samples: That were timed; fewer than there are: the times are extrapolated.
    """

    name: str
    missing: str = ""
    seconds: float | None = None
    block: int = 0
    block_seconds: float | None = None
    agreement: float | None = None
    repeat: float | None = None
    samples: int = 0


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What fits where products are computed. All but `free` and `vector` are estimates.

    Args:
        free: Bytes that are free on the device.
        vector: Bytes of a vector of the size of θ.
        basis: Bytes that a Krylov basis may take.
        basis_vectors: Vectors that fit into these.
        block: Vectors at a time.
        micro_batch: Samples at a time.
        micro_batches: In a pass over the data.
        product: Bytes of a block of products with a micro-batch.
        halved: The same with micro-batches half as large, as when memory runs out.
    """

    free: int
    vector: int
    basis: int
    basis_vectors: int
    block: int
    micro_batch: int
    micro_batches: int
    product: int
    halved: int


@dataclass(frozen=True, kw_only=True)
class TimePlan:
    """What `spectrum` will cost at a preset: an estimate, with bounds by rule of thumb.

    Args:
        preset: quick, standard or full.
        pairs: Products for the eigenpairs, about.
        density: Products for the density.
        trace: Products for the traces, about.
        seconds: Altogether, about.
        at_least: Seconds when eigenpairs and traces converge early.
        at_most: Seconds when they converge late.
    """

    preset: str
    pairs: int
    density: int
    trace: int
    seconds: float
    at_least: float
    at_most: float


@dataclass(frozen=True, kw_only=True)
class SectionPlan:
    """What a section of a report will cost, about.

    Args:
        section: Its name.
        expected: In words; why it is skipped or fails, where it does.
        seconds: None: not known before, or not asked.
        bytes: At the peak, beside network and data; None: not known before.
    """

    section: str
    expected: str
    seconds: float | None = None
    bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Everything that an examination found."""

    schema_name: ClassVar[str] = "landscape/doctor/1"

    checks: tuple[Check, ...]
    ways: tuple[Way, ...] = ()
    memory: MemoryPlan | None = None
    time: tuple[TimePlan, ...] = ()
    report: tuple[SectionPlan, ...] = ()
    preset: str = "standard"  # of the report that is planned
    seed: int = 0
    cost: Cost = field(default_factory=Cost)
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def status(self) -> State:
        """Return the gravest state of a check; one that was skipped says nothing."""
        found = {check.status for check in self.checks}
        return next((state for state in (State.FAIL, State.WARN) if state in found), State.OK)

    @property
    def exit_code(self) -> int:
        """Return that of the first failure; 0 without one."""
        return next((check.exit for check in self.checks if check.status is State.FAIL), 0)

    @property
    def message(self) -> str:
        """Return the outcome in one sentence."""
        count = {state: sum(c.status is state for c in self.checks) for state in State}
        ended = [(number, _ENDED[state]) for state, number in count.items() if number]
        told = [f"{counted(number, 'check')} {how}" for number, how in ended[:1]]
        told += [f"{number} {how}" for number, how in ended[1:]]
        failed = next((check for check in self.checks if check.status is State.FAIL), None)
        why = f"; first failure: {failed.name}: {failed.found}" if failed is not None else ""
        return ", ".join(told) + why

    def to_json(self) -> dict[str, Any]:
        """Return the whole JSON document."""
        return {
            "schema": self.schema_name,
            "status": self.status.value,
            "message": self.message,
            "settings": {"preset": self.preset},
            "seed": self.seed,
            "cost": encode(self.cost),
            "answer": {name: encode(getattr(self, name)) for name in _ANSWER},
            "provenance": encode(self.provenance),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the examination whose document is given.

        Raises:
            InputError: It is none, or one of another version.
        """
        if document.get("schema") != cls.schema_name:
            raise InputError(
                f"a document of schema {document.get('schema')!r} is no examination",
                where="schema",
                why=f"this version reads {cls.schema_name}",
                hint="write it again with `landscape doctor --json`",
            )
        whole = {**document["answer"], **document["settings"]}
        whole |= {"cost": document["cost"], "seed": document["seed"]}
        return decode_fields(cls, {**whole, "provenance": document["provenance"]})

    @classmethod
    def schema(cls) -> Schema:
        """Return the JSON Schema of the document."""
        properties: Schema = {
            "schema": {"const": cls.schema_name},
            "status": {"enum": [state.value for state in (State.OK, State.WARN, State.FAIL)]},
            "message": {"type": "string"},
            "settings": {"type": "object"},
            "seed": {"type": "integer"},
            "cost": schema_of(Cost),
            "answer": schema_of_fields(cls, list(_ANSWER)),
            "provenance": {"type": "object"},
        }
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


_ANSWER = ("checks", "ways", "memory", "time", "report")
_ENDED = {
    State.OK: "passed",
    State.WARN: "with a warning",
    State.FAIL: "failed",
    State.SKIPPED: "skipped",
}
