"""The certificates of a network's feed-forward parts: searched for, or proved from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from landscape.errors import InputError, OutputError
from landscape.estimate import Status, worst
from landscape.lipschitz.certificate import Certificate, read, write
from landscape.lipschitz.certified import certify
from landscape.lipschitz.chain import Chain


class Certificates:
    """Certifies chains one by one, and keeps what proves them.

    Args:
        seconds: For the search of each.
        file: Certificates to prove instead of searching; empty: search.
        starts: Those of a similar network, by chain, from which searches start.

    Raises:
        InputError: The file cannot be read.
    """

    def __init__(
        self,
        *,
        seconds: float,
        file: str = "",
        starts: Mapping[str, Certificate] | None = None,
    ) -> None:
        self._seconds = seconds
        self._starts = starts or {}
        self._file = Path(file) if file else None
        self._given = read(self._file) if self._file is not None else {}
        self.found: dict[str, Certificate] = {}
        self.methods: dict[str, str] = {}
        self._statuses: dict[str, Status] = {}

    @property
    def verified(self) -> bool:
        """Return whether nothing was searched for."""
        return self._file is not None

    @property
    def status(self) -> Status:
        """Return how the searches ended."""
        return worst(*self._statuses.values())

    def certify(self, name: str, chain: Chain) -> float:
        """Return an upper bound of a chain's Lipschitz constant."""
        if self._file is not None:
            return self._proved(name, chain)
        found = certify(chain, seconds=self._seconds, start=self._starts.get(name))
        self.methods[name] = found.method
        self._statuses[name] = found.status
        if found.certificate is not None:
            self.found[name] = found.certificate
        return found.upper

    def _proved(self, name: str, chain: Chain) -> float:
        given = self._given.get(name)
        if given is None:
            self.methods[name] = "product"
            return chain.product()
        self.found[name] = given
        self.methods[name] = given.method
        return given.verify(chain).upper

    def require_all_used(self) -> None:
        """Refuse a file that certifies more chains than the network has.

        Raises:
            InputError: It does.
        """
        unused = [name for name in self._given if name not in self.methods]
        if unused:
            raise InputError(
                f"the network has no {unused[0]}",
                where=str(self._file),
                why=f"it has {', '.join(self.methods) or 'no feed-forward part'}",
                hint="give the network that the certificates were made for",
            )

    def write(self, path: Path) -> None:
        """Write what was found.

        Raises:
            OutputError: The place cannot be written.
        """
        try:
            write(path, self.found)
        except OSError as error:
            raise OutputError(
                "the certificates cannot be written",
                where=str(path),
                why=error.strerror or str(error),
                hint="choose a folder that exists and can be written",
            ) from error
