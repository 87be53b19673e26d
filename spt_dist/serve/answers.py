"""The pictures that go back: encoded, as a file or inside a JSON document, and kept for those who ask twice."""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from cachetools import TTLCache

from spt_dist.serve.orders import RequestError

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
KEPT_BYTES, KEPT_S = 64_000_000, 600.0  # answers under an idempotency key


class Reply(NamedTuple):
    """An answer's body, its media type, and headers of its own."""

    content: bytes
    media_type: str
    headers: Mapping[str, str] = {}


def as_text(content: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(content).decode("ascii")


class Kept:
    """Answers by idempotency key: whoever sends the same request again under its key gets the same answer, drawn once.

    Also while the first is still being drawn. Failures are not kept. Bounded in bytes and time.
    """

    def __init__(self) -> None:
        self._replies: TTLCache[str, tuple[bytes, Reply]] = TTLCache(
            KEPT_BYTES, KEPT_S, getsizeof=lambda kept: len(kept[1].content)
        )
        self._drawing: dict[str, tuple[bytes, asyncio.Task[Reply]]] = {}

    async def once(self, key: str, digest: bytes, draw: Callable[[], Coroutine[Any, Any, Reply]]) -> Reply:
        """The reply that was given under `key`, else `draw`'s.

        Raises:
            RequestError: the key belongs to a request with another digest.
        """
        given, drawing = self._replies.get(key), self._drawing.get(key)
        if any(found and found[0] != digest for found in (given, drawing)):
            raise RequestError("Idempotency-Key", "belongs to another request; take a new key for each request", 422)
        if given:
            return given[1]._replace(headers={**given[1].headers, "Idempotent-Replayed": "true"})
        task = drawing[1] if drawing else self._begin(key, digest, draw)
        return await asyncio.shield(task)  # whoever hangs up does not take it from the others

    def _begin(self, key: str, digest: bytes, draw: Callable[[], Coroutine[Any, Any, Reply]]) -> "asyncio.Task[Reply]":
        task = asyncio.create_task(draw())
        self._drawing[key] = digest, task
        task.add_done_callback(lambda done: self._keep(key, digest, done))
        return task

    def _keep(self, key: str, digest: bytes, task: "asyncio.Task[Reply]") -> None:
        del self._drawing[key]
        if not task.cancelled() and task.exception() is None and len(task.result().content) <= KEPT_BYTES:
            self._replies[key] = digest, task.result()


def digest(path: str, parts: Mapping[str, bytes | str]) -> bytes:
    """Of a request's parts, whatever their order and however they were sent."""
    found = hashlib.sha256(path.encode())
    for name, part in sorted(parts.items()):
        content = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        found.update(f"{name}:{len(content)}:".encode() + content)
    return found.digest()
