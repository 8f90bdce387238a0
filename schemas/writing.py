"""Avro, written by functions that are put together once from a schema.

A record's value is its fields in the schema's order, as a named tuple has them: there is nothing to look up by name,
and no branch of a union to find. The bytes are those that fastavro writes (`tests/schemas/test_writing.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import call
from typing import Any, Final

Write = Callable[[Any], bytes]

_BITS: Final = 14
_MORE_FROM: Final = 1 << _BITS
_LAST_14: Final = _MORE_FROM - 1
_SHORT: Final = _MORE_FROM >> 1
_LONG_MAX: Final = 1 << 64


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have their eighth bit set."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_LAST: Final = [_varint(number) for number in range(_MORE_FROM)]
_TWO_AND_MORE: Final = [bytes((number & 0x7F | 0x80, number >> 7 | 0x80)) for number in range(_MORE_FROM)]
"""The last bytes of a number, and two bytes behind which more come: an instant in milliseconds is three of these."""


@lru_cache(maxsize=4096)
def write_long(number: int) -> bytes:
    """A whole number of at most 64 bits, so that small ones are short whatever their sign.

    Remembered: the instants of a fact stand in all its results, and most other numbers are small.
    """
    rest = number << 1 if number >= 0 else ~(number << 1)
    if rest < _MORE_FROM:
        return _LAST[rest]
    if rest >= _LONG_MAX:
        raise OverflowError(f"{number} has more than 64 bits")
    begun = _TWO_AND_MORE[rest & _LAST_14]
    rest >>= _BITS
    if rest < _MORE_FROM:
        return begun + _LAST[rest]
    return begun + _TWO_AND_MORE[rest & _LAST_14] + _varint(rest >> _BITS)


def _write_bytes(value: bytes) -> bytes:
    size = len(value)
    return (_LAST[size << 1] if size < _SHORT else write_long(size)) + value


def _write_text(value: str) -> bytes:
    encoded = value.encode()
    size = len(encoded)
    return (_LAST[size << 1] if size < _SHORT else write_long(size)) + encoded


def _write_truth(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


_PRIMITIVE: Final[dict[str, Write]] = {
    "string": _write_text,
    "bytes": _write_bytes,
    "long": write_long,
    "int": write_long,
    "boolean": _write_truth,
}


def writer(schema: Any) -> Write:
    """The function that writes values of a schema, as `catalogue.plain` gives it."""
    return _writer(schema, dict(_PRIMITIVE))


def _writer(schema: Any, known: dict[str, Write]) -> Write:
    """`known` are the types that have a name so far."""
    if isinstance(schema, str):
        return known[schema]
    if isinstance(schema, list):
        return _optional(schema, known)
    kind = schema["type"]
    if kind == "record":
        return _record([_writer(field["type"], known) for field in schema["fields"]])
    if kind == "array":
        return _array(_writer(schema["items"], known))
    if kind == "enum":
        words = {word: write_long(place) for place, word in enumerate(schema["symbols"])}
        known[schema["name"]] = words.__getitem__
        return known[schema["name"]]
    return _writer(kind, known)


def _record(writers: list[Write]) -> Write:
    count = len(writers)

    def write(fields: Any) -> bytes:
        assert len(fields) == count, fields
        return b"".join(map(call, writers, fields))

    return write


def _array(write_one: Write) -> Write:
    """It remembers what it wrote last: the entries of one fact have the same causes, inputs and refusals."""
    last: Sequence[Any] = ()
    written = b"\x00"

    def write(values: Sequence[Any]) -> bytes:
        nonlocal last, written
        if values is last:
            return written
        told = b"\x00"
        if values:
            told = write_long(len(values)) + b"".join(map(write_one, values)) + told
        if type(values) is tuple:  # a list may be another one by the next time
            last, written = values, told
        return told

    return write


def _optional(branches: list[Any], known: dict[str, Write]) -> Write:
    none, branch = branches
    assert none == "null", branches
    write_one = _writer(branch, known)

    def write(value: Any) -> bytes:
        return b"\x00" if value is None else b"\x02" + write_one(value)

    return write
