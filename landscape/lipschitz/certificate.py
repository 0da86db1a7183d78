"""Certificates of upper bounds: written, read, and proved again from the network's weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from landscape.encode import write_atomically
from landscape.errors import InputError
from landscape.lipschitz.chain import Chain
from landscape.lipschitz.proof import Proof, prove
from landscape.subject.files.sniff import did_you_mean, why_missing

FORMAT = "landscape/lipschitz-certificate/1"
POWERS = 1074  # of two, that float64 reaches down to


@dataclass(frozen=True, kw_only=True, eq=False)
class Certificate:
    """What proves an upper bound of a chain's Lipschitz constant.

    Args:
        upper: The bound.
        method: That found it.
        chain: Digest of weights and slopes.
        names: Of the layers.
        exponents: Of the powers of two that the layers are divided by before the multipliers apply.
        multipliers: λ_l for each activation, (n_l,).
        pivot: Least squared pivot of the shifted factor, as found when it was made.
        shift: Of the diagonal; what is left of it after rounding is the margin.
    """

    upper: float
    method: str
    chain: str
    names: tuple[str, ...]
    exponents: tuple[int, ...]
    multipliers: tuple[np.ndarray, ...]
    pivot: float
    shift: float

    @classmethod
    def of(
        cls,
        chain: Chain,
        multipliers: Sequence[np.ndarray],
        exponents: Sequence[int],
        proof: Proof,
        method: str,
    ) -> Self:
        """Return the certificate of a proof."""
        return cls(
            upper=proof.upper,
            method=method,
            chain=chain.digest,
            names=chain.names,
            exponents=tuple(exponents),
            multipliers=tuple(multipliers),
            pivot=proof.pivot,
            shift=proof.shift,
        )

    @property
    def claims(self) -> dict[str, Any]:
        """Return everything but the multipliers, in JSON types; floats in full."""
        return {
            "upper": self.upper.hex(),
            "method": self.method,
            "chain": self.chain,
            "names": list(self.names),
            "exponents": list(self.exponents),
            "pivot": self.pivot.hex(),
            "shift": self.shift.hex(),
        }

    @property
    def digest(self) -> str:
        """Return a hash of claims and multipliers: it tells a damaged file."""
        digest = hashlib.sha256(json.dumps(self.claims, sort_keys=True).encode())
        for one in self.multipliers:
            digest.update(one.astype("<f8").tobytes())
        return digest.hexdigest()

    def verify(self, chain: Chain) -> Proof:
        """Prove the bound again, from a chain rebuilt from the network's weights.

        Raises:
            InputError: It is of other weights or slopes, or does not prove what it claims.

        Cost: that of `prove`.
        """
        if chain.digest != self.chain:
            raise _refused(
                "the certificate is of other weights or activations",
                why=f"its chain is {self.chain[:16]}, that of the network {chain.digest[:16]}",
                hint="give the checkpoint that it was made for, or make a new certificate",
            )
        shapes = [one.shape for one in self.multipliers]
        fits = shapes == [(width,) for width in chain.widths[1:-1]]
        usable = len(self.exponents) == len(chain.weights) and all(
            abs(one) <= POWERS for one in self.exponents
        )
        proof = None
        if fits and usable:
            proof = prove(chain, self.multipliers, self.upper, exponents=self.exponents)
        if proof is None:
            raise _refused(
                f"the certificate does not prove the bound {self.upper:.6g}",
                why="the matrix inequality with its multipliers does not hold",
                hint="do not trust the bound; make a new certificate",
            )
        return proof


def encoded(certificates: Mapping[str, Certificate]) -> bytes:
    """Return certificates, one for each chain of a network, as safetensors."""
    tensors = {
        f"{name}/{layer}": one
        for name, certificate in certificates.items()
        for layer, one in enumerate(certificate.multipliers)
    }
    claims = {name: one.claims | {"digest": one.digest} for name, one in certificates.items()}
    return save(tensors, {FORMAT: json.dumps(claims, sort_keys=True)})


def decoded(data: bytes, where: str) -> dict[str, Certificate]:
    """Return the certificates of what `encoded` gave.

    Args:
        data: As encoded.
        where: It is from, for the message.

    Raises:
        InputError: It is nothing such, or was changed afterwards.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
        if FORMAT not in metadata:
            raise ValueError(f"{FORMAT} is not among its metadata")
        claimed, tensors = json.loads(metadata[FORMAT]), load(data)
        found = {name: _certificate(name, one, tensors) for name, one in claimed.items()}
        digests = {name: str(one["digest"]) for name, one in claimed.items()}
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unread(where, str(error)) from error
    for name, certificate in found.items():
        if certificate.digest != digests[name]:
            raise _refused(
                f"the certificate of {name} was changed after it was written",
                where=where,
                why="its digest is not that of its content",
                hint="make a new certificate",
            )
    return found


def write(path: Path, certificates: Mapping[str, Certificate]) -> None:
    """Write certificates, one for each chain of a network; whole or not at all."""
    write_atomically(path, encoded(certificates))


def read(path: Path) -> dict[str, Certificate]:
    """Return the certificates of a file.

    Raises:
        InputError: It is no such file, or was changed after it was written.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(
            "no such file", where=str(path), why=why_missing(path), hint=did_you_mean(path)
        ) from error
    except OSError as error:
        raise _unread(str(path), error.strerror or str(error)) from error
    return decoded(data, str(path))


def verify(path: Path, chains: Mapping[str, Chain]) -> dict[str, Proof]:
    """Prove every bound of a file again, from chains rebuilt from the network's weights.

    Args:
        path: Of the certificates.
        chains: By the names under which they were written.

    Raises:
        InputError: The file was changed, is of another network, or does not prove what it claims.

    Cost: that of `prove` for each chain.
    """
    certificates = read(path)
    missing = [name for name in certificates if name not in chains]
    if missing:
        raise _refused(
            f"the network has no chain {missing[0]}",
            where=str(path),
            why=f"it has {', '.join(chains) or 'none'}",
            hint="give the network that the certificate was made for",
        )
    return {name: one.verify(chains[name]) for name, one in certificates.items()}


def _certificate(
    name: str, claims: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> Certificate:
    layers = range(len(claims["names"]) - 1)
    multipliers = tuple(np.asarray(tensors[f"{name}/{n}"], dtype=np.float64) for n in layers)
    return Certificate(
        upper=float.fromhex(claims["upper"]),
        method=str(claims["method"]),
        chain=str(claims["chain"]),
        names=tuple(claims["names"]),
        exponents=tuple(int(one) for one in claims["exponents"]),
        multipliers=multipliers,
        pivot=float.fromhex(claims["pivot"]),
        shift=float.fromhex(claims["shift"]),
    )


def _unread(where: str, why: str) -> InputError:
    return InputError(
        f"{Path(where).name} holds no certificates",
        where=where,
        why=why,
        hint="give a file that `landscape lipschitz` wrote",
    )


def _refused(what: str, *, why: str, hint: str, where: str = "certificate") -> InputError:
    return InputError(what, where=where, why=why, hint=hint)
