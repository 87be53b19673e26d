"""Encoded sources: batches of them, and a cache bounded in bytes, so that a photo which comes again costs a decoder.

A part of what a picture costs depends on the source alone. A source is known by the digest of the weights and of the
photo, parsing map and joints, so that other weights find nothing of what earlier ones encoded.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from cachetools import LRUCache

from spt_dist.data.frame import Framed
from spt_dist.models.appearance import Source
from spt_dist.models.semantic import SourceMaps
from spt_dist.types import Joints


class Encoded(NamedTuple):
    """A batch of sources as both generators encode them, with the joints from which their parts are warped."""

    joints: Joints
    maps: SourceMaps
    source: Source

    @property
    def nbytes(self) -> int:
        """Of all its tensors."""
        return sum(tensor.nbytes for tensor in _leaves(self))

    def split(self) -> "list[Encoded]":
        """Each source as a batch of one, which holds no memory beyond its own."""
        return [_map(lambda tensor, at=at: _own(tensor[at : at + 1]), self) for at in range(len(self.joints))]

    def clone(self) -> "Encoded":
        """The same in memory of its own."""
        return _map(torch.clone, self)

    def repeat(self, count: int) -> "Encoded":
        """A batch of one as a batch of `count`, without a copy."""
        return _map(lambda tensor: tensor.expand(count, *tensor.shape[1:]), self)

    @classmethod
    def join(cls, parts: "Sequence[Encoded]") -> "Encoded":
        """Batches as one batch."""
        return parts[0] if len(parts) == 1 else _map(lambda *tensors: torch.cat(tensors), *parts)


class EncodedPerson(NamedTuple):
    """One person, encoded once for any number of poses; `framed` is the photo as the networks see it."""

    framed: Framed
    encoded: Encoded


class Encodings:
    """Encoded sources by key, those used last, of `most_bytes` at the most; any thread may ask."""

    def __init__(self, most_bytes: int):
        self._kept: LRUCache[bytes, Encoded] = LRUCache(most_bytes, getsizeof=lambda encoded: encoded.nbytes)
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """Of all that is kept."""
        return int(self._kept.currsize)

    def gather(self, keys: Sequence[bytes], encode: Callable[[list[int]], Encoded]) -> tuple[Encoded, list[bool]]:
        """The sources of `keys` as one batch, and which of them were kept.

        `encode` is given the places of those that were not, each source once, and encodes them together.
        """
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
        hits = [key in found for key in keys]
        missing = {key: place for place, key in enumerate(keys) if key not in found}
        if missing:
            made = encode([*missing.values()])
            found |= dict(zip(missing, made.split(), strict=True))
            self._keep({key: found[key] for key in missing})
            if len(missing) == len(keys):
                return made, hits
        if len(set(keys)) == 1:
            return found[keys[0]].repeat(len(keys)), hits
        return Encoded.join([found[key] for key in keys]), hits

    def _keep(self, new: dict[bytes, Encoded]) -> None:
        with self._lock:
            for key, encoded in new.items():
                if encoded.nbytes <= self._kept.maxsize:
                    self._kept[key] = encoded


def source_key(weights_digest: str, *arrays: np.ndarray) -> bytes:
    """By which `Encodings` knows a source: the digest of the weights, and photo, parsing map and joints."""
    digest = hashlib.blake2b(weights_digest.encode(), digest_size=32)
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, copied where it would keep a larger one in memory."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _map(make: Callable[..., torch.Tensor], *trees: Any) -> Any:
    """Equal nests of tuples and lists as one, each tensor made of those at its place."""
    first = trees[0]
    if isinstance(first, torch.Tensor):
        return make(*trees)
    if isinstance(first, list):
        return [_map(make, *each) for each in zip(*trees, strict=True)]
    if isinstance(first, tuple):
        return type(first)(*(_map(make, *each) for each in zip(*trees, strict=True)))
    return first


def _leaves(tree: Any) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, list | tuple):
        for each in tree:
            yield from _leaves(each)
