from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from landscape.errors import InputError
from landscape.lipschitz.certificate import FORMAT, Certificate, read, verify, write
from landscape.lipschitz.certified import certify
from landscape.lipschitz.chain import Chain
from tests.lipschitz.chains import GELU, LEAKY, RELU, chain_of
from tests.lipschitz.exact import Relu, gaussian


@pytest.fixture
def chain() -> Chain:
    return chain_of(gaussian((6, 9, 7, 4), 0), GELU)


@pytest.fixture
def certificate(chain: Chain) -> Certificate:
    found = certify(chain, seconds=None).certificate
    assert found is not None
    return found


def test_a_file_is_read_and_proved_again(
    chain: Chain, certificate: Certificate, tmp_path: Path
) -> None:
    other = chain_of(gaussian((3, 4, 2), 1))
    second = certify(other, seconds=None).certificate
    assert second is not None
    path = tmp_path / "bounds.safetensors"
    write(path, {"chain 1": certificate, "chain 2": second})
    found = read(path)
    assert found["chain 1"].claims == certificate.claims
    for ours, theirs in zip(found["chain 1"].multipliers, certificate.multipliers, strict=True):
        assert np.array_equal(ours, theirs)
    proofs = verify(path, {"chain 1": chain, "chain 2": other})
    assert proofs["chain 1"].upper == certificate.upper
    assert proofs["chain 2"].upper == second.upper
    assert [one.name for one in tmp_path.iterdir()] == ["bounds.safetensors"]


def test_other_weights_or_activations_are_refused(chain: Chain, certificate: Certificate) -> None:
    weights = [w.copy() for w in chain.weights]
    weights[1][0, 0] = np.nextafter(weights[1][0, 0], 2)
    for other in (
        Chain(weights=tuple(weights), slopes=chain.slopes),
        Chain(weights=chain.weights, slopes=(RELU, LEAKY)),
    ):
        with pytest.raises(InputError, match="other weights or activations"):
            certificate.verify(other)


def test_the_network_must_have_the_chain(
    chain: Chain, certificate: Certificate, tmp_path: Path
) -> None:
    path = tmp_path / "bounds.safetensors"
    write(path, {"chain 1": certificate})
    with pytest.raises(InputError, match="no chain chain 1"):
        verify(path, {"chain 7": chain})


def claim(certificate: Certificate, **changed: object) -> Certificate:
    return dataclasses.replace(certificate, **changed)  # type: ignore[arg-type]


def test_a_claim_that_the_multipliers_do_not_prove_is_refused(
    chain: Chain, certificate: Certificate, tmp_path: Path
) -> None:
    """Whoever changes a file may change its digest as well: the inequality is what counts."""
    multipliers = certificate.multipliers
    nudged = (multipliers[0] * np.linspace(1, 1.5, 9), multipliers[1])
    lies = [
        claim(certificate, upper=certificate.upper * (1 - 1e-4)),
        claim(certificate, upper=certificate.upper / 2),
        claim(certificate, multipliers=nudged),
        claim(certificate, multipliers=multipliers[::-1]),
        claim(certificate, multipliers=multipliers[:1]),
        claim(certificate, multipliers=tuple(-one for one in multipliers)),
        claim(certificate, multipliers=tuple(np.full_like(one, np.inf) for one in multipliers)),
        claim(certificate, exponents=certificate.exponents[:-1]),
        claim(certificate, exponents=(1100, -1000, *certificate.exponents[2:]), upper=1e-3),
        claim(certificate, exponents=(10**12, *certificate.exponents[1:])),
        claim(certificate, upper=float("nan")),
        claim(certificate, upper=float("inf")),
    ]
    for number, lie in enumerate(lies):
        path = tmp_path / f"{number}.safetensors"
        write(path, {"chain 1": lie})
        with pytest.raises(InputError, match=r"does not prove the bound|holds no certificates"):
            verify(path, {"chain 1": chain})


def test_a_weaker_claim_is_still_a_bound(chain: Chain, certificate: Certificate) -> None:
    assert claim(certificate, upper=2 * certificate.upper).verify(chain).upper > certificate.upper


def test_a_file_that_was_changed_is_told(
    chain: Chain, certificate: Certificate, tmp_path: Path
) -> None:
    path = tmp_path / "bounds.safetensors"
    write(path, {"chain 1": certificate})
    content = path.read_bytes()
    for place in (len(content) - 1, len(content) - 60):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(InputError, match="changed after it was written"):
            verify(path, {"chain 1": chain})


def test_what_is_no_certificate_is_told(tmp_path: Path, certificate: Certificate) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file({"w": np.ones(3)}, weights)
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    cut = tmp_path / "cut.safetensors"
    write(cut, {"chain 1": certificate})
    cut.write_bytes(cut.read_bytes()[:-20])
    bare = tmp_path / "bare.safetensors"
    write(bare, {"chain 1": certificate})
    save_file(load_file(bare), bare, metadata={FORMAT: '{"chain 1": {}}'})
    for path in (weights, text, cut, bare, tmp_path):
        with pytest.raises(InputError, match="holds no certificates"):
            read(path)
    with pytest.raises(InputError, match=r"^no such file\n.*\n  why: its folder holds 4 other"):
        read(tmp_path / "missing.safetensors")


def test_the_same_certificate_is_the_same_bytes(certificate: Certificate, tmp_path: Path) -> None:
    write(tmp_path / "a", {"chain 1": certificate})
    write(tmp_path / "b", {"chain 1": certificate})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_of_any_size_are_certified() -> None:
    net = gaussian((4, 6, 6, 3), 0)
    for size in (1e-120, 1e-8, 1e8, 1e120):
        chain = chain_of(Relu((size * net.weights[0], *net.weights[1:]), net.biases))
        found = certify(chain, seconds=None).certificate
        assert found is not None
        assert found.verify(chain).upper == found.upper
