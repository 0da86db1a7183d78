"""Which names a pickle may mention: those that build tensors and plain data, and no others.

The list is the one of torch's `weights_only` reader (a test holds the two together), kept here
so that a file can be judged without importing torch, plus NumPy scalars, arrays and dtypes and
`argparse.Namespace`, which only hold data. The list of dangerous modules decides nothing: it
words the message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TENSOR_CLASS = re.compile(r"torch\.(cuda\.)?(sparse\.)?[A-Z]\w*(Tensor|Storage)")
_DTYPE = re.compile(r"torch\.(bool|(b?complex|b?float|bits|q?u?int)\d+[a-z0-9_]*)")
_PLAIN = frozenset(
    f"{module}.{name}"
    for module, names in {
        "_codecs": "encode",
        "argparse": "Namespace",
        "builtins": "bytearray complex set",
        "collections": "Counter OrderedDict",
        "numpy": "dtype ndarray",
        "numpy._core.multiarray": "_reconstruct scalar",
        "numpy.core.multiarray": "_reconstruct scalar",
        "torch": (
            "Size Tensor device per_channel_affine per_channel_affine_float_qparams "
            "per_channel_symmetric per_tensor_affine per_tensor_symmetric"
        ),
        "torch._tensor": "_rebuild_from_type_v2",
        "torch._utils": (
            "_rebuild_device_tensor_from_cpu_tensor _rebuild_device_tensor_from_numpy "
            "_rebuild_meta_tensor_no_storage _rebuild_parameter _rebuild_parameter_with_state "
            "_rebuild_qtensor _rebuild_sparse_tensor _rebuild_tensor _rebuild_tensor_v2 "
            "_rebuild_tensor_v3 _rebuild_wrapper_subclass"
        ),
        "torch.nn.parameter": "Parameter",
        "torch.serialization": "_get_layout",
        "torch.storage": "TypedStorage UntypedStorage",
    }.items()
    for name in names.split()
)
_DANGEROUS_MODULES = """
    os posix nt sys subprocess socket shutil runpy importlib imp ctypes pty commands code codeop
    webbrowser multiprocessing asyncio http urllib requests ftplib smtplib telnetlib ssl pickle
    _pickle cloudpickle dill joblib marshal shelve types _io io timeit pdb bdb cProfile profile
    trace doctest pip ensurepip venv setuptools distutils pkgutil zipimport signal threading
    _thread tempfile glob platform operator functools inspect linecache
"""
_HARMLESS_BUILTINS = """
    dict list tuple frozenset int float str bytes bool object range slice type
"""


def is_allowed(name: str) -> bool:
    """Return whether a pickle that mentions this global still only holds data."""
    return (
        name in _PLAIN
        or _DTYPE.fullmatch(name) is not None
        or _TENSOR_CLASS.fullmatch(name) is not None
    )


def is_tensor_class(name: str) -> bool:
    """Return whether a global names a tensor or storage class, which a file may not call."""
    return name == "torch.Tensor" or (
        _TENSOR_CLASS.fullmatch(name) is not None or name.startswith("torch.storage.")
    )


def is_dangerous(name: str) -> bool:
    """Return whether a refused global is of the kind by which a pickle runs a program."""
    module, _, attribute = name.partition(".")
    if module == "builtins":
        return attribute not in _HARMLESS_BUILTINS.split()
    return module in _DANGEROUS_MODULES.split() or name.startswith(("torch.hub.", "torch.load"))


def refused(names: Iterable[str]) -> tuple[str, ...]:
    """Return the globals that are not on the list, the dangerous ones first."""
    return tuple(
        sorted((n for n in names if not is_allowed(n)), key=lambda n: (not is_dangerous(n), n))
    )
