"""What a bracket leaves to the next checkpoint of a series, as one array."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from landscape.lipschitz.certificate import Certificate, decoded, encoded


@dataclass(frozen=True, kw_only=True, eq=False)
class Handed:
    """Where the searches of the next checkpoint start.

    Args:
        certificates: Of the chains, by name.
        vectors: What attains the norms of linear layers (N,); None: nothing is known.
    """

    certificates: Mapping[str, Certificate] = field(default_factory=dict[str, Certificate])
    vectors: np.ndarray | None = None

    @property
    def packed(self) -> np.ndarray:
        """Return both as bytes."""
        buffer = io.BytesIO()
        certificates = np.frombuffer(encoded(self.certificates), np.uint8)
        vectors = self.vectors if self.vectors is not None else np.zeros(0, np.float32)
        np.savez(buffer, certificates=certificates, vectors=vectors)
        return np.frombuffer(buffer.getvalue(), np.uint8)

    @classmethod
    def unpacked(cls, packed: np.ndarray | None) -> Self:
        """Return what was packed; nothing, where it is None."""
        if packed is None:
            return cls()
        with np.load(io.BytesIO(packed.tobytes()), allow_pickle=False) as stored:
            certificates = decoded(stored["certificates"].tobytes(), "the checkpoint before")
            return cls(certificates=certificates, vectors=stored["vectors"])
