"""The bytes of samples in shards: from end to end with webdataset, or by number, where the indexes say that they lie.

An index is DALI's, one line a sample: for each file its key, offset and size in the tar, and its name there.
"""

import os
import weakref
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NoReturn

from webdataset.gopen import gopen
from webdataset.tariterators import group_by_keys, tar_file_expander

from spt_dist.data.manifest import Manifest
from spt_dist.data.schema import DataError

FIELDS = 4  # of a file in an index's line: key, offset, size, name
OPEN_SHARDS = 64


def read_tars(paths: list[str]) -> Iterator[dict[str, Any]]:
    """The samples of some tars in order, undecoded, as {key: bytes} with webdataset's own `__key__` and `__url__`."""
    return group_by_keys(tar_file_expander(_open(paths), handler=_stop), handler=_stop)


class _Shard:
    """An opened tar, closed when it is forgotten, and its index's lines without the first."""

    def __init__(self, path: Path) -> None:
        _, *self.lines = path.with_suffix(".idx").read_text().splitlines()
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)


class Files:
    """Random access to a split; the shards read last stay open."""

    def __init__(self, manifest: Manifest, split: str) -> None:
        self._paths = [Path(path) for path in manifest.paths(split)]
        self.shards = [shard.samples for shard in manifest.splits[split].shards]
        self._ends = list(accumulate(self.shards))
        self._open = lru_cache(maxsize=OPEN_SHARDS)(self._open_shard)

    def read(self, number: int) -> dict[str, Any]:
        """A sample's files by key, and webdataset's `__key__` and `__url__`.

        Raises:
            DataError: the shard or its index cannot be read.
        """
        shard = bisect_right(self._ends, number)
        path, opened = self._paths[shard], self._open(shard)
        fields = opened.lines[number - self._ends[shard]].split()  # from the end of the shard
        files: dict[str, Any] = {"__url__": str(path), "__key__": fields[FIELDS - 1].split(".")[0]}
        for at in range(0, len(fields), FIELDS):
            key, offset, size = fields[at], int(fields[at + 1]), int(fields[at + 2])
            files[key] = os.pread(opened.descriptor, size, offset)
        return files

    def _open_shard(self, shard: int) -> _Shard:
        path = self._paths[shard]
        try:
            opened = _Shard(path)
        except (OSError, ValueError) as error:
            raise DataError(f"shard `{path}` cannot be read: {error}; copy it again or pack again") from error
        if (found := len(opened.lines)) != self.shards[shard]:
            raise DataError(f"the index of `{path}` has {found} samples, not {self.shards[shard]}; pack again")
        return opened


def _open(paths: list[str]) -> Iterator[dict[str, Any]]:
    """The streams that webdataset expands, each closed when the next is asked for."""
    for path in paths:
        with closing(gopen(path, "rb")) as stream:
            yield {"url": path, "stream": stream}


def _stop(error: Exception) -> NoReturn:
    """webdataset's handler for a broken tar."""
    raise DataError(f"a shard cannot be read: {error.args}; copy it again or pack again") from error
