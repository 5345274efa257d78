"""What a pickle may import: constructors of plain data and of tensors, none of which runs, imports, opens or fetches what it is given.

Left out on purpose, though common: ``torch.storage._load_from_bytes`` (unpickles again, without limits), ``builtins.getattr``, ``range``
(a list of one takes all memory), everything of ``functools`` and ``operator``, and all classes of models and estimators.
Names are as pickles write them, those of Python 2 and of numpy before 2 too.
"""

from __future__ import annotations

_BUILTINS = [
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "object",
    "set",
    "slice",
    "str",
    "tuple",
]
_ARRAYS = {"multiarray": ["_reconstruct", "scalar"], "numeric": ["_frombuffer"]}
_STORAGES = (
    "Bool Byte Char Short Int Long Half Float Double BFloat16 ComplexFloat ComplexDouble QInt8 QUInt8 QInt32 QUInt4x2"
)
_DTYPES = """
    bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 short int long half float double float16 float32 float64 bfloat16
    float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu complex32 complex64 complex128 cfloat cdouble
    qint8 quint8 qint32 quint4x2 quint2x4
"""
_REBUILD = """
    _rebuild_tensor _rebuild_tensor_v2 _rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor
    _rebuild_sparse_csr_tensor _rebuild_meta_tensor_no_storage _rebuild_device_tensor_from_numpy _rebuild_device_tensor_from_cpu_tensor
"""

ALLOWED: dict[str, frozenset[str]] = {
    "builtins": frozenset(_BUILTINS),
    "__builtin__": frozenset([*_BUILTINS, "long", "unicode"]),
    "_codecs": frozenset({"encode"}),
    "collections": frozenset({"OrderedDict", "defaultdict", "Counter", "deque"}),
    "copyreg": frozenset({"_reconstructor"}),
    "copy_reg": frozenset({"_reconstructor"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
    "decimal": frozenset({"Decimal"}),
    "fractions": frozenset({"Fraction"}),
    "uuid": frozenset({"UUID"}),
    "numpy": frozenset({"dtype", "ndarray", "bool_", *(f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64))}),
    **{f"numpy.{core}.{module}": frozenset(names) for core in ("core", "_core") for module, names in _ARRAYS.items()},
    "torch": frozenset(
        [
            *_DTYPES.split(), *(f"{kind}Storage" for kind in _STORAGES.split()), "Size", "Tensor", "device",
            "per_tensor_affine", "per_tensor_symmetric", "per_channel_affine", "per_channel_symmetric",
        ]
    ),
    "torch.storage": frozenset({"TypedStorage", "UntypedStorage", "_TypedStorage", "_UntypedStorage"}),
    "torch._utils": frozenset(_REBUILD.split()),
    "torch._tensor": frozenset({"Tensor", "_rebuild_from_type_v2"}),
    "torch.nn.parameter": frozenset({"Parameter"}),
    "torch.serialization": frozenset({"_get_layout"}),
}  # fmt: skip


def is_allowed(module: str, name: str) -> bool:
    """Whether a pickle may import ``module.name``; a name with dots reaches further than it says, and is on no list."""
    return name in ALLOWED.get(module, frozenset())
