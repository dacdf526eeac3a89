"""``tf.train.Example`` in TFRecord files, encoded and scanned without TensorFlow.

Feature extraction runs in many small worker processes, each of which would pay seconds and hundreds
of megabytes for importing TensorFlow. An Example is a protocol buffer with a map from names to
lists. Written here with one value per feature and in a fixed order, which a protocol buffer's map
does not have, equal songs give equal bytes. Any TFRecord reader takes the result.
"""

import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

from svdam.core.record_framing import FRAME_AFTER, FRAME_BEFORE, crc32c, stored_form
from svdam.core.validation import InputError

MAX_EXAMPLE_BYTES = 2**31 - 1  # Of a protocol buffer.

Value = bytes | memoryview | str | int | float


class EncodedExample(NamedTuple):
    """An Example as buffers to write one after the other.

    Attributes:
        parts: The buffers.
        offsets: For each feature of bytes or text, where its value starts within the Example.
        length: Length of all parts together.
    """

    parts: list[bytes | memoryview]
    offsets: dict[str, int]
    length: int


class ScannedRecord(NamedTuple):
    """A record found in a file.

    Attributes:
        start: Where its frame starts in the file, in bytes.
        length: Bytes of the whole frame.
        features: Values of the features that were read: bytes, int or float.
        places: For each feature of bytes: (offset of its value in the file, length).
    """

    start: int
    length: int
    features: dict[str, Any]
    places: dict[str, tuple[int, int]]


def encode_example(features: Mapping[str, Value]) -> EncodedExample:
    """Encodes features, in the order given, as a ``tf.train.Example``; large values are not copied.

    Raises:
        InputError: If it would exceed the 2 GiB of a protocol buffer.
    """
    parts: list[bytes | memoryview] = []
    places, length = {}, 0
    for name, value in features.items():
        head, payload = _encode_feature(name, value)
        parts.append(head)
        length += len(head)
        if payload is not None:
            places[name] = length
            parts.append(payload)
            length += len(payload)
    outer = b"\x0a" + _varint(length)
    if length + len(outer) > MAX_EXAMPLE_BYTES:
        raise InputError(f"is too long: {length / 2**30:.1f} GiB of log-mel, expected under 2 GiB")
    offsets = {name: place + len(outer) for name, place in places.items()}
    return EncodedExample([outer, *parts], offsets, len(outer) + length)


def scan_records(
    stream: IO[bytes], file_bytes: int, skip: Sequence[str] = ()
) -> Iterator[ScannedRecord]:
    """Walks over the records of a file, reading all features but those in ``skip``.

    Raises:
        InputError: If the bytes are no whole records of Examples; checksums are not compared.
    """
    start = 0
    while start < file_bytes:
        stream.seek(start)
        head = stream.read(FRAME_BEFORE)
        if len(head) < FRAME_BEFORE or head[8:] != stored_form(crc32c(head[:8])):
            raise InputError(f"is damaged at byte {start}: no TFRecord starts there")
        length = struct.unpack("<Q", head[:8])[0]
        frame = FRAME_BEFORE + length + FRAME_AFTER
        if start + frame > file_bytes:
            raise InputError(f"is truncated: a record at byte {start} goes beyond the end")
        yield _scan_example(stream, start, frame, skip)
        start += frame


def _encode_feature(name: str, value: Value) -> tuple[bytes, bytes | memoryview | None]:
    """The bytes of one map entry: (all but the payload, the payload of bytes and text)."""
    payload = None
    if isinstance(value, (str, bytes, memoryview)):
        payload = value.encode() if isinstance(value, str) else memoryview(value).cast("B")
        one_value = b"\x0a" + _varint(len(payload))
        kind = b"\x0a"
        content = one_value
    elif isinstance(value, int):
        number = _varint(value % 2**64)
        kind, content = b"\x1a", b"\x0a" + _varint(len(number)) + number
    else:
        kind, content = b"\x12", b"\x0a\x04" + struct.pack("<f", value)
    payload_bytes = len(payload) if payload is not None else 0
    feature = kind + _varint(len(content) + payload_bytes) + content
    key = name.encode()
    entry = b"\x0a" + _varint(len(key)) + key
    entry += b"\x12" + _varint(len(feature) + payload_bytes) + feature
    return b"\x0a" + _varint(len(entry) + payload_bytes) + entry, payload


def _scan_example(stream: IO[bytes], start: int, frame: int, skip: Sequence[str]) -> ScannedRecord:
    features: dict[str, Any] = {}
    places: dict[str, tuple[int, int]] = {}
    end = start + frame - FRAME_AFTER
    cursor = _Cursor(stream, start + FRAME_BEFORE, end)
    cursor.expect(0x0A)
    cursor.varint()
    while cursor.offset < end:
        cursor.expect(0x0A)
        cursor.varint()
        cursor.expect(0x0A)
        # Interned: of a hundred thousand songs each name is kept once.
        name = sys.intern(cursor.take(cursor.varint()).decode("utf-8", "replace"))
        cursor.expect(0x12)
        cursor.varint()
        kind = cursor.take(1)[0]
        cursor.varint()
        cursor.expect(0x0A)
        size = cursor.varint()
        if kind == 0x0A:
            places[name] = (cursor.offset, size)
        if name in skip:
            cursor.skip(size)
        elif kind == 0x1A:
            features[name] = cursor.varint()
        elif kind == 0x0A:
            features[name] = cursor.take(size)
        elif kind == 0x12 and size == 4:
            features[name] = struct.unpack("<f", cursor.take(size))[0]
        else:
            raise cursor.damaged()
    return ScannedRecord(start, frame, features, places)


class _Cursor:
    """Reads a protocol buffer's pieces from a stream, a small block at a time, up to ``end``."""

    def __init__(self, stream: IO[bytes], offset: int, end: int):
        self._stream, self.offset, self._end, self._buffer = stream, offset, end, b""

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        if self.offset + size > self._end:
            raise self.damaged()
        if len(self._buffer) < size:
            self._stream.seek(self.offset)
            self._buffer = self._stream.read(max(size, 4096))
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        if len(taken) < size:
            raise self.damaged()
        self.offset += size
        return taken

    def skip(self, size: int) -> None:
        """Passes over ``size`` bytes, which are not read."""
        if self.offset + size > self._end:
            raise self.damaged()
        self._buffer = self._buffer[size:]
        self.offset += size

    def varint(self) -> int:
        """The next number, stored in as many bytes as it needs, 7 bits in each."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise self.damaged()

    def expect(self, tag: int) -> None:
        """Reads the byte that has to come next: a field's number and kind."""
        if self.take(1)[0] != tag:
            raise self.damaged()

    def damaged(self) -> InputError:
        """The error to raise where no such record goes on."""
        return InputError(f"is damaged at byte {self.offset}: not a record of svdam")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
