"""Read PyTorch pickles without unpickling: an interpreter for the few instructions that weights need.

It builds dictionaries, lists, tuples, strings, numbers and descriptions of tensors. No class is looked up and
no function is called. Keys must be strings or integers, so that nothing large is hashed, and the number of
instructions is limited.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

MAX_INSTRUCTIONS = 3_000_000
"""ViT-H with optimiser state takes 200,000."""
MAX_KEY = 2**53


class PickleError(Exception):
    """A pickle that is damaged or contains something that weights do not need."""


class GlobalRefusedError(PickleError):
    """A pickle that asks to run a Python object; the message is its name."""


@dataclass(frozen=True)
class Storage:
    """Data of a torch dtype in the file, under `key`."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True)
class TensorClaim:
    """A tensor as described by the file, not yet checked."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class Strange:
    """Something harmless that is neither a plain value nor a dense tensor."""

    what: str


@dataclass(frozen=True)
class _Named:
    """A Python name that a file may mention."""

    name: str


class Namespace(dict[Any, Any]):
    """The arguments of a training script."""


_PLAIN_STORAGES = {
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Double": "float64",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}
DTYPES = {
    **_PLAIN_STORAGES,
    **{name: name.lower() for name in ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")},
}
"""Dtypes of torch storage classes, by the start of the class name."""

_TORCH_TYPES = {
    f"torch.{name}"
    for name in [*DTYPES.values(), "half", "float", "double", "uint16", "uint32", "uint64", "long", "int"]
}
_DICTS = {"collections.OrderedDict", "collections.Counter", "collections.defaultdict"}
_PATHS = {
    f"{module}.{name}" for module in ("pathlib", "pathlib._local")
    for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath")
}  # fmt: skip
_BUILTINS = ("builtins", "__builtin__")
_SETS = {f"{module}.{name}" for module in _BUILTINS for name in ("set", "frozenset")}
_FORMS = (
    "qtensor",
    "sparse_tensor",
    "sparse_csr_tensor",
    "nested_tensor",
    "meta_tensor_no_storage",
    "wrapper_subclass",
)
_STRANGE = {
    *(f"{module}.{name}" for module in _BUILTINS for name in ("complex", "bytearray")),
    *(f"torch._utils._rebuild_{form}" for form in (*_FORMS, "device_tensor_from_numpy")),
    *(
        "torch.Tensor",
        "torch._tensor.Tensor",
        "torch.nn.parameter.Parameter",
        "torch._tensor._rebuild_from_type_v2",
    ),
    *("torch.per_tensor_affine", "torch.per_channel_affine", "torch.serialization._get_layout"),
}
_AS_IS = {
    "torch.Size",
    "torch.device",
    "_codecs.encode",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
}
_TENSORS = {f"torch._utils._rebuild_tensor{version}" for version in ("", "_v2", "_v3")}
_MENTIONED = {*_TORCH_TYPES, *_DICTS, *_PATHS, *_SETS, *_STRANGE, *_AS_IS, *_TENSORS, "argparse.Namespace"}


def read_pickle(stream: IO[bytes]) -> Any:
    """Read one pickle and leave the stream just after it. Raises PickleError."""
    machine, count = _Machine(), 0
    try:
        for instruction, argument, _ in pickletools.genops(stream):
            count += 1
            if count > MAX_INSTRUCTIONS:
                raise PickleError("it contains more than any weights file")
            if instruction.name == "STOP":
                return machine.stack.pop()
            machine.step(instruction.name, argument)
    except PickleError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as problem:
        raise PickleError("it is truncated or damaged") from problem
    raise PickleError("it is truncated")


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise PickleError(f"it uses the instruction {name}, which weights do not need")

    def marked(self) -> list[Any]:
        """Pop everything above the last mark."""
        at = self.marks.pop()
        found = self.stack[at:]
        del self.stack[at:]
        return found

    def last(self, count: int) -> tuple[Any, ...]:
        """Pop the last values as a tuple."""
        if len(self.stack) < count:
            raise IndexError
        found = tuple(self.stack[-count:])
        del self.stack[-count:]
        return found

    def get(self, number: int) -> None:
        self.stack.append(self.memo[number])

    def put(self, number: int | None) -> None:
        self.memo[len(self.memo) if number is None else number] = self.stack[-1]

    def set_items(self, pairs: list[Any]) -> None:
        held = self.stack[-1]
        if isinstance(held, Strange):
            return
        if not isinstance(held, dict) or len(pairs) % 2:
            raise TypeError
        held.update(_paired(list(zip(pairs[::2], pairs[1::2], strict=True))))

    def add(self, values: list[Any]) -> None:
        held = self.stack[-1]
        if not isinstance(held, list):
            raise TypeError
        held.extend(values)

    def mention(self, name: str) -> None:
        if name not in _MENTIONED and not _storage_type(name):
            raise GlobalRefusedError(name)
        self.stack.append(_Named(name))

    def make(self) -> None:
        """Handle a call by describing the result of the few known names."""
        named, arguments = self.last(2)
        if not isinstance(named, _Named) or not isinstance(arguments, tuple):
            raise TypeError
        self.stack.append(_made(named.name, arguments))

    def fill(self) -> None:
        """Handle setting the attributes of an object."""
        (state,) = self.last(1)
        if isinstance(self.stack[-1], Namespace) and isinstance(state, dict):
            self.stack[-1].update(state)

    def refer(self) -> None:
        """Read a storage: ("storage", type, key, location, count), in old files with a view (key, first,
        count) or None."""
        (parts,) = self.last(1)
        if (
            not isinstance(parts, tuple)
            or len(parts) not in (5, 6)
            or parts[0] != "storage"
            or not isinstance(parts[1], _Named)
        ):
            raise TypeError
        if len(parts) == 6 and parts[5] is not None:
            raise PickleError("it shares storage in an obsolete way")
        self.stack.append(Storage(_storage_type(parts[1].name), str(parts[2])[:200], _whole(parts[4])))


def _storage_type(name: str) -> str:
    if name in ("torch.storage.UntypedStorage", "torch.UntypedStorage"):
        return "uint8"
    start, middle, kind = name.rpartition(".")
    known = start in ("torch", "torch.cuda") and middle and kind.endswith("Storage")
    return DTYPES.get(kind.removesuffix("Storage"), "") if known else ""


def _paired(pairs: list[Any]) -> dict[Any, Any]:
    for key, _ in pairs:
        whole = isinstance(key, int) and abs(key) < MAX_KEY
        if not (isinstance(key, str | bytes) or whole or key is None):
            raise PickleError("it uses keys that are neither strings nor integers")
    return dict(pairs)


def _made(name: str, arguments: tuple[Any, ...]) -> Any:
    if name in _TENSORS:
        storage, offset, shape, stride = arguments[:4]
        if not isinstance(storage, Storage):
            return Strange("tensor")
        if name.endswith("_v3"):
            kind = str(getattr(arguments[6], "name", "")).removeprefix("torch.")
            return TensorClaim(
                Storage(kind, storage.key, storage.count), _whole(offset), _sizes(shape), _sizes(stride)
            )
        return TensorClaim(storage, _whole(offset), _sizes(shape), _sizes(stride))
    if name in _DICTS:
        found = next((each for each in arguments if isinstance(each, list | dict)), [])
        return dict(found) if isinstance(found, dict) else _paired([tuple(pair) for pair in found])
    if name == "argparse.Namespace":
        return Namespace()
    if name in _PATHS:
        return "/".join(str(part) for part in arguments if isinstance(part, str)).replace("//", "/")[:4096]
    if name in _SETS:
        return list(arguments[0]) if arguments and isinstance(arguments[0], list | tuple) else []
    if name in _AS_IS:
        return arguments[0] if arguments else None
    return Strange(name)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**48:
        raise PickleError("it declares invalid sizes")
    return value


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list | tuple) or len(values) > 16:
        raise PickleError("it declares an invalid shape")
    return tuple(_whole(value) for value in values)


_VALUES = {
    *(
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
    ),
    *("BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": list,
}  # fmt: skip
_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.marked(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.marked())),
    "TUPLE1": lambda m, _: m.stack.append(m.last(1)),
    "TUPLE2": lambda m, _: m.stack.append(m.last(2)),
    "TUPLE3": lambda m, _: m.stack.append(m.last(3)),
    "LIST": lambda m, _: m.stack.append(m.marked()),
    "DICT": lambda m, _: (pairs := m.marked(), m.stack.append({}), m.set_items(pairs)),
    "APPEND": lambda m, _: m.add(list(m.last(1))),
    "APPENDS": lambda m, _: m.add(m.marked()),
    "ADDITEMS": lambda m, _: m.add(m.marked()),
    "SETITEM": lambda m, _: m.set_items(list(m.last(2))),
    "SETITEMS": lambda m, _: m.set_items(m.marked()),
    "GLOBAL": lambda m, name: m.mention(".".join(name.split(" ", 1))),
    "STACK_GLOBAL": lambda m, _: m.mention(".".join(map(str, m.last(2)))),
    "REDUCE": lambda m, _: m.make(),
    "NEWOBJ": lambda m, _: m.make(),
    "BUILD": lambda m, _: m.fill(),
    "BINPERSID": lambda m, _: m.refer(),
}
