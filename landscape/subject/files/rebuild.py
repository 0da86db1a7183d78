"""What the calls and identifiers by which torch pickles a tensor stand for."""

from __future__ import annotations

from typing import Any

from landscape.subject.files.stubs import StorageStub, Stub, TensorStub

MAX_DIMENSIONS = 64
_MAX_EXTENT = 2**63
_STORAGE_DTYPES = {
    "BFloat16": "bfloat16",
    "Bool": "bool",
    "Byte": "uint8",
    "Char": "int8",
    "ComplexDouble": "complex128",
    "ComplexFloat": "complex64",
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "Int": "int32",
    "Long": "int64",
    "QInt32": "qint32",
    "QInt8": "qint8",
    "QUInt8": "quint8",
    "Short": "int16",
    "Untyped": "uint8",
}


def storage_stub(identifier: Any) -> Any:
    """Return what a persistent identifier of `torch.save` stands for.

    Raises:
        ValueError: The identifier is not of the form that torch writes.
    """
    kind, *rest = identifier
    if kind == "module":  # legacy files keep the source of each class beside it
        return rest[0]
    storage_class, key, _, count, *_ = rest
    dtype = _storage_dtype(storage_class)
    if kind != "storage" or not isinstance(count, int) or not 0 <= count < _MAX_EXTENT:
        raise ValueError("a storage whose size is not a count")
    return StorageStub(key=str(key), dtype=dtype, bytes=count * item_bytes(dtype))


def _storage_dtype(storage_class: Any) -> str:
    name = storage_class.name.rpartition(".")[2].removesuffix("Storage")
    if name not in _STORAGE_DTYPES:
        raise ValueError(f"unknown storage class {storage_class.name[:80]}")
    return _STORAGE_DTYPES[name]


def item_bytes(dtype: str) -> int:
    """Return the bytes of one entry of a dtype, by its name."""
    if dtype in ("bool", "qint8", "quint8") or dtype.startswith("float8"):
        return 1
    if dtype == "qint32":
        return 4
    bits = "".join(c for c in dtype.partition("_")[0] if c.isdigit())[-3:]
    return max(1, int(bits or 8) // 8)


def call_stub(name: str, arguments: tuple[Any, ...]) -> Any:
    """Return what a call that torch writes would have built, or a stub that remembers it."""
    match name.rpartition(".")[2], arguments:
        case "_rebuild_tensor" | "_rebuild_tensor_v2", (StorageStub() as storage, *place):
            return _tensor(storage, storage.dtype, *place[:3])
        case "_rebuild_tensor_v3", (
            StorageStub() as storage,
            offset,
            shape,
            stride,
            _,
            _,
            dtype,
            *_,
        ):
            return _tensor(storage, dtype.name.rpartition(".")[2], offset, shape, stride)
        case "_rebuild_parameter" | "_rebuild_parameter_with_state" | "Parameter", (
            TensorStub() as tensor,
            *_,
        ):
            return tensor
        case "_rebuild_from_type_v2", (
            Stub(called=False, name=inner),
            _,
            tuple(inner_arguments),
            _,
        ):
            return call_stub(inner, inner_arguments)
        case "Size", (tuple(shape),):
            return shape
    return Stub(name=name, called=True, arguments=arguments)


def _tensor(storage: StorageStub, dtype: str, offset: Any, shape: Any, stride: Any) -> TensorStub:
    extents = (offset, *shape, *stride)
    counts = all(isinstance(e, int) and 0 <= e < _MAX_EXTENT for e in extents)
    if not counts or len(shape) != len(stride) or len(shape) > MAX_DIMENSIONS:
        raise ValueError("a tensor whose shape is not a tuple of counts")
    return TensorStub(
        dtype=dtype,
        shape=tuple(shape),
        storage_key=storage.key,
        storage_bytes=storage.bytes,
        offset=offset,
        stride=tuple(stride),
    )
