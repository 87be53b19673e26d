"""The bytes of samples in shards: from end to end with webdataset, or by number, where the indexes say that they lie.

An index is DALI's, one line a sample: for each file its key, offset and size in the tar, and its name there.

What is read by number is what was packed: a shard is compared with the manifest's SHA-256 and with its index before the
first of its bytes is given away, and again when its file has changed since. So a truncated, damaged or swapped shard is
found as a whole, and decoders meet only bytes that `pack` has decoded.
"""

import hashlib
import os
import weakref
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from webdataset.gopen import gopen
from webdataset.tariterators import group_by_keys, tar_file_expander

from spt_dist.data.manifest import Manifest, Shard
from spt_dist.data.schema import DataError

FIELDS = 4  # of a file in an index's line: key, offset, size, name
OPEN_SHARDS = 64
TAR_BLOCK = 512
TAR_NAME, TAR_SIZE = slice(0, 100), slice(124, 136)  # of a file's header, the block before its content


class ShardError(DataError):
    """A shard that cannot be read, and with it all of its samples, `numbers`."""

    def __init__(self, message: str, numbers: range) -> None:
        super().__init__(message)
        self.numbers = numbers


def read_tars(paths: list[str]) -> Iterator[dict[str, Any]]:
    """The samples of some tars in order, undecoded, as {key: bytes} with webdataset's own `__key__` and `__url__`.

    Raises:
        DataError: a tar cannot be read, or ends before all samples of its index.
    """
    for path in paths:
        read = 0
        for files in group_by_keys(tar_file_expander(_open(path), handler=_stop), handler=_stop):
            read += 1
            yield files
        if read != (wanted := len(_lines(Path(path)))):
            raise DataError(f"shard `{path}` ends after {read} of {wanted} samples; copy it again or pack again")


class _Stamp(NamedTuple):
    """By what a file is known to be unchanged."""

    inode: int
    size_bytes: int
    changed_ns: int


class _Shard:
    """An opened tar, closed when it is forgotten, and its index's lines without the first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)
        self.stamp = self.stamp_now()
        self.lines = _lines(path)

    def stamp_now(self) -> _Stamp:
        """The file as it is now."""
        found = os.fstat(self.descriptor)
        return _Stamp(found.st_ino, found.st_size, found.st_mtime_ns)

    def places(self, number: int) -> Iterator[tuple[str, int, int, str]]:
        """Key, offset, size and name of a sample's files."""
        fields = self.lines[number].split()
        for at in range(0, len(fields), FIELDS):
            key, offset, size, name = fields[at : at + FIELDS]
            yield key, int(offset), int(size), name

    def check(self, packed: Shard, shards: list[Shard]) -> None:
        """Compare with what was packed; `DataError` says what is other, and what to do."""
        if self.stamp.size_bytes != packed.bytes:
            raise DataError(f"it has {self.stamp.size_bytes} bytes, {packed.bytes} were packed; copy it again")
        with open(self.descriptor, "rb", closefd=False) as file:
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != packed.sha256:
            other = next((f"is that of `{shard.name}`" for shard in shards if shard.sha256 == found), f"is {found}")
            raise DataError(f"its SHA-256 {other}, packed was {packed.sha256}; copy it again")
        if len(self.lines) != packed.samples:
            raise DataError(f"its index has {len(self.lines)} samples, not {packed.samples}; copy the index again")
        for number in range(len(self.lines)):
            for _, offset, size, name in self.places(number):
                self._check_place(offset, size, name)

    def _check_place(self, offset: int, size: int, name: str) -> None:
        """Compare a place in the index with the tar's own header of that file."""
        head = os.pread(self.descriptor, TAR_BLOCK, offset - TAR_BLOCK) if offset >= TAR_BLOCK else b""
        found = head[TAR_NAME].rstrip(b"\0").decode(errors="replace")
        if found != name or int(head[TAR_SIZE].rstrip(b"\0 ") or b"0", 8) != size or size < 0:
            raise DataError(f"its index says `{name}` at {offset}, where the tar has `{found}`; copy the index again")


class Files:
    """Random access to a split; the shards read last stay open."""

    def __init__(self, manifest: Manifest, split: str) -> None:
        self._paths = [Path(path) for path in manifest.paths(split)]
        self._packed = manifest.splits[split].shards
        self._ends = list(accumulate(shard.samples for shard in self._packed))
        self._sound: dict[int, _Stamp] = {}  # shards that were compared with the manifest
        self._open = lru_cache(maxsize=OPEN_SHARDS)(self._open_shard)

    def read(self, number: int) -> dict[str, Any]:
        """A sample's files by key, and webdataset's `__key__` and `__url__`.

        Raises:
            ShardError: the sample's shard, or its index, is missing or not what was packed.
        """
        shard = bisect_right(self._ends, number)
        files: dict[str, Any] = {"__url__": str(self._paths[shard])}
        try:
            if self._open(shard).stamp_now() != self._sound[shard]:
                self._open.cache_clear()
            opened = self._open(shard)
            for key, offset, size, name in opened.places(number - self._ends[shard]):  # from the end of the shard
                files[key] = os.pread(opened.descriptor, size, offset)
                files["__key__"] = name.split(".")[0]
        except OSError as error:  # the disk, or a file server that has let it go
            raise self._error(shard, f"{error.strerror}; copy it back or pack again") from error
        return files

    def name(self, number: int) -> str:
        """What a sample is called when it cannot say so itself."""
        return f"sample {number:08d} of `{self._paths[bisect_right(self._ends, number)].name}`"

    def _open_shard(self, shard: int) -> _Shard:
        path, packed = self._paths[shard], self._packed[shard]
        try:
            opened = _Shard(path)
            if self._sound.get(shard) != opened.stamp:
                opened.check(packed, self._packed)
        except OSError as error:
            why = f"{error.strerror} (`{error.filename or path}`); copy it back or pack again"
        except ValueError as error:
            why = str(error) if isinstance(error, DataError) else f"its index is broken ({error}); copy the index again"
        else:
            self._sound[shard] = opened.stamp
            return opened
        raise self._error(shard, why)

    def _error(self, shard: int, why: str) -> ShardError:
        numbers = range(self._ends[shard] - self._packed[shard].samples, self._ends[shard])
        return ShardError(f"shard `{self._paths[shard]}` cannot be read: {why}", numbers)


def _lines(path: Path) -> list[str]:
    """The lines of a tar's index, one a sample."""
    return path.with_suffix(".idx").read_text().splitlines()[1:]


def _open(path: str) -> Iterator[dict[str, Any]]:
    """The stream that webdataset expands, closed when the next is asked for."""
    with closing(gopen(path, "rb")) as stream:
        yield {"url": path, "stream": stream}


def _stop(error: Exception) -> NoReturn:
    """webdataset's handler for a broken tar."""
    raise DataError(f"a shard cannot be read: {error.args}; copy it again or pack again") from error
