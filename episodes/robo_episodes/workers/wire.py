"""Messages between the program and its workers: a JSON object and the bytes that go with it, and no pickle."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from robo_episodes.episode import Json

MAX_JSON = 256 << 20
MAX_BLOBS = 2 << 30
"""Most bytes that one message may announce, so that a worker gone wrong cannot fill the program's memory."""

_HEAD = struct.Struct("<QQ")
_READ = 1 << 20


class WireError(Exception):
    """The other side sent something that is no message."""


@dataclass(frozen=True)
class Message:
    """One message as it came."""

    content: dict[str, Json]
    blobs: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """About how many bytes it holds in memory."""
        return 1000 + sum(len(blob) for blob in self.blobs)


def send(sock: socket.socket, content: dict[str, Json], blobs: Sequence[bytes] = ()) -> None:
    """Send one message and return when all of it is on its way."""
    parts = pieces(content, blobs)
    for part in (b"".join(parts),) if sum(map(len, parts)) < _READ else parts:  # who listens is woken once for each
        sock.sendall(part)


def pieces(content: dict[str, Json], blobs: Sequence[bytes] = ()) -> list[bytes]:
    """Return a message as bytes: joined, they are what `Inbox` reads."""
    text = json.dumps({**content, "blobs": [len(blob) for blob in blobs]}).encode()
    return [_HEAD.pack(len(text), sum(map(len, blobs))) + text, *blobs]


def receive(sock: socket.socket) -> Message | None:
    """Wait for one message; None at the end of the connection."""
    inbox = Inbox()
    while True:
        data = sock.recv(min(_READ, inbox.missing))
        if not data:
            return None
        for message in inbox.feed(data):
            return message


@dataclass
class Inbox:
    """Puts messages together from the pieces that arrive."""

    _data: bytearray = field(default_factory=bytearray)

    @property
    def missing(self) -> int:
        """Number of bytes that the message under way still needs, as far as its head says."""
        return max(1, self._needed() - len(self._data))

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take what arrived and yield the messages that are complete with it.

        Raises:
            WireError: this is no message, or one beyond all limits.
        """
        self._data += data
        while len(self._data) >= (needed := self._needed()) and len(self._data) >= _HEAD.size:
            whole = bytes(memoryview(self._data)[:needed])
            del self._data[:needed]
            yield _parse(whole)

    def _needed(self) -> int:
        if len(self._data) < _HEAD.size:
            return _HEAD.size
        text, blobs = _HEAD.unpack_from(self._data)
        if text > MAX_JSON or blobs > MAX_BLOBS:
            raise WireError(f"a message of {text} + {blobs} bytes")
        return int(_HEAD.size + text + blobs)


def _parse(data: bytes) -> Message:
    length, total = _HEAD.unpack_from(data)
    try:
        content = json.loads(data[_HEAD.size : _HEAD.size + length].decode())
        sizes = content.pop("blobs")
        if sum(sizes) != total or min(sizes, default=0) < 0:
            raise ValueError(f"parts of {sizes} bytes in {total}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WireError(f"no message: {error}") from error
    at, blobs = _HEAD.size + length, []
    for size in sizes:
        blobs.append(data[at : at + size])
        at += size
    return Message(content, tuple(blobs))
