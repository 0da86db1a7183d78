"""A frozen answer on the CPU: numbers with their doubt, what they cost and what they rest on."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from landscape.difference import Direction
from landscape.encode import Schema, decode_fields, encode, schema_of, schema_of_fields
from landscape.estimate import Estimate, Status

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

Severity = Literal["critical", "warning", "notable"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an answer cost: seconds, operator products, bytes at the peak, samples in the data."""

    seconds: float = 0.0
    products: int = 0
    peak_memory_bytes: int = 0
    samples: int = 0

    @classmethod
    def total(cls, costs: Sequence[Cost]) -> Cost:
        """Return the cost of several computations on the same data, one after another."""
        return cls(
            seconds=sum(cost.seconds for cost in costs),
            products=sum(cost.products for cost in costs),
            peak_memory_bytes=max((cost.peak_memory_bytes for cost in costs), default=0),
            samples=max((cost.samples for cost in costs), default=0),
        )


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence that a reader should not miss, with its evidence and what to do about it."""

    severity: Severity
    sentence: str
    evidence: str
    advice: str
    section: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells for terminal, Markdown and HTML; numbers stay numbers, to be sorted.

    A report puts it under `question`, where that is another than the one of its section.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    question: str = ""


@dataclass(frozen=True, kw_only=True)
class Result(ABC):
    """A frozen answer on the CPU: what `Diagnostic.run` returns.

    A subclass adds the fields of its answer. When several checkpoints were studied one by one,
    the fields are those of the last, and `series` holds all of them in order.
    """

    name: ClassVar[str]
    picture_names: ClassVar[tuple[str, ...]] = ()  # of figures beside the main one
    version: ClassVar[int] = 1
    better: ClassVar[Mapping[str, Direction]] = {}  # which way, by place in `answer`; else neither

    status: Status = Status.CONVERGED
    message: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seed: int = 0
    cost: Cost = Cost()
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    series: tuple[Self, ...] = ()

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.__repr__ = Result.__repr__  # not the whole of the fields, as dataclasses write them

    def __repr__(self) -> str:
        from landscape.figures.card import clean

        return f"<{type(self).__name__}: {clean(self.summary())}>"

    @classmethod
    def schema_name(cls) -> str:
        """Return the name that stands in `schema` of the document."""
        return f"landscape/{cls.name}/{cls.version}"

    @classmethod
    def answer_fields(cls) -> list[str]:
        """Return the names of the fields that make up `answer`."""
        envelope = {f.name for f in dataclasses.fields(Result)}
        return [f.name for f in dataclasses.fields(cls) if f.name not in envelope]

    def answer(self) -> dict[str, Any]:
        """Return the JSON form of the answer alone."""
        return {name: encode(getattr(self, name)) for name in self.answer_fields()}

    def to_json(self) -> dict[str, Any]:
        """Return the whole JSON document; in a series each answer has its own status."""
        answer = {"series": [one.member() for one in self.series]} if self.series else self.answer()
        return {
            "schema": self.schema_name(),
            "status": self.status.value,
            "message": self.message,
            "settings": encode(self.settings),
            "seed": self.seed,
            "cost": encode(self.cost),
            "answer": answer,
            "provenance": encode(self.provenance),
        }

    def member(self) -> dict[str, Any]:
        """Return the JSON form of the answer as one of a series."""
        envelope = {name: encode(getattr(self, name)) for name in ("status", "message")}
        return {**self.answer(), **envelope}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the result whose document is given."""
        keys = ("status", "message", "settings", "seed", "cost", "provenance")
        envelope = {key: document[key] for key in keys}
        if "series" not in document["answer"]:
            return decode_fields(cls, {**envelope, **document["answer"]})
        members = document["answer"]["series"]
        series = tuple(decode_fields(cls, {**envelope, **member}) for member in members)
        return replace(decode_fields(cls, {**members[-1], **envelope}), series=series)

    @classmethod
    def schema(cls) -> Schema:
        """Return the JSON Schema of the document."""
        answer = schema_of_fields(cls, cls.answer_fields())
        own: Schema = {"status": schema_of(Status), "message": {"type": "string"}}
        member: Schema = {
            "type": "object",
            "properties": {**answer["properties"], **own},
            "required": [*answer["required"], *own],
        }
        series = {
            "type": "object",
            "properties": {"series": {"type": "array", "items": member}},
            "required": ["series"],
        }
        properties: Schema = {
            "schema": {"const": cls.schema_name()},
            "status": schema_of(Status),
            "message": {"type": "string"},
            "settings": {"type": "object"},
            "seed": {"type": "integer"},
            "cost": schema_of(Cost),
            "answer": {"anyOf": [answer, series]},
            "provenance": {"type": "object"},
        }
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    @abstractmethod
    def summary(self) -> str:
        """Return the answer in one or two lines."""

    @abstractmethod
    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the answer on axes; a label and a colour tell overlaid answers apart."""

    @abstractmethod
    def tables(self) -> tuple[Table, ...]:
        """Return the tables of the answer."""

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return the few numbers that a reader looks for first, named."""
        return ()

    @property
    def label(self) -> str:
        """Return what to call the answer beside others of its kind: its checkpoint."""
        return str(getattr(self, "checkpoint", self.name))

    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss, gravest first."""
        return ()

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on, as rows (name, value)."""
        return ()

    @property
    def stamp(self) -> str:
        """Return what captions begin with: that the numbers are of train mode; else nothing."""
        if self.provenance.get("mode") != "train":
            return ""
        return f"TRAIN MODE, one batch of {self.cost.samples:,} samples: "

    def caption(self) -> str:
        """Return the line under the figure: method and cost."""
        cost = f"{self.cost.products} products, {self.cost.seconds:.1f} s"
        return f"{self.stamp}{cost}, seed {self.seed}"

    def plot(self, path: str | Path) -> None:
        """Write the figure; the suffix of the path (.png, .svg, .pdf) decides the format."""
        from landscape.figures.canvas import overlay, save

        shown, labels = self.shown()
        save(overlay(shown, labels), path)

    def shown(self) -> tuple[list[Self], list[str | None]]:
        """Return what a figure shows, with labels: the ends of a series, or the answer itself."""
        if not self.series:
            return [self], [None]
        ends = [self.series[0], self.series[-1]]
        return ends, [one.label for one in ends]

    def _repr_html_(self) -> str:
        from landscape.figures.canvas import overlay
        from landscape.figures.card import card

        return card(self.summary(), overlay(*self.shown()), self.tables())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from landscape.figures.card import clean

        return {"text/plain": clean(self.summary()), "text/html": self._repr_html_()}
