"""Packing: samples in, validated WebDataset shards, their indices and a manifest out, on disk or in object storage.

Pictures are worked off in blocks, here or by many processes (`packing`), and then dealt to shards: the result is the
same to the byte whoever made the blocks, in whatever order and after whatever break. Blocks lie in the hidden folder
`.NAME.blocks` beside `NAME`, and go when it is whole. On disk the shards are written aside, synced and renamed; object
storage has no renaming, so there the manifest goes last: what has one is whole.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeVar

from spt_dist.data.frame import FrameRule
from spt_dist.data.importers import Row, Unreadable
from spt_dist.data.manifest import MANIFEST, Manifest
from spt_dist.data.packing.blocks import Entry, How, Task, mark, pack_block, prepare, read_entries, stem, write_block
from spt_dist.data.packing.deal import deal_split
from spt_dist.data.packing.ledger import Ledger, read_ledger
from spt_dist.data.schema import SCHEMA_VERSION, DataError, Sample
from spt_dist.data.search.run import Mapper, here
from spt_dist.data.storage import Storage

BLOCK = 512  # pictures
WAVE = 256  # blocks that Ray is given at once: their rows are in memory
REJECTED, BEGUN = "rejected.jsonl", "begun.json"
SHOWN_REJECTIONS = 5

Duplicates = Literal["keep", "drop"]
Progress = Callable[[int, int | None], None]
Item = TypeVar("Item")


def pack(
    samples: Iterable[Sample | Unreadable],
    out: Path | str,
    size: tuple[int, int],
    how: FrameRule = "person",
    *,
    min_joints: int = 6,
    max_rejected: float = 0.2,
    shard_samples: int = 1000,
    duplicates: Duplicates = "keep",
    total: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Write `samples` (of any splits) as shards into the new folder `out`, a path or a URI.

    Every image is framed by `how` and stored at `size` (height, width) px; a joint outside its picture is missing. A
    sample that is unreadable, malformed, shows fewer than `min_joints` joints or repeats an id goes to `rejected.jsonl`
    with its reason, and with `duplicates="drop"` one whose picture is there already. A shard has about `shard_samples`
    samples, fewer where 64 or more would not fill 8 shards. `progress(done, total)` is called after each sample.

    Raises:
        DataError: `out` exists, no sample is left, or more than the fraction `max_rejected` was rejected.
    """
    target, work = _open(out)
    work.remove()
    settings, blocks = How(size, how, min_joints, duplicates == "drop"), 0

    def made() -> Iterator[tuple[Entry, list[bytes]]]:
        for done, sample in enumerate(samples, start=1):
            yield prepare(sample, settings)
            if progress:
                progress(done, total)

    for blocks, encoded in enumerate(_batched(made(), BLOCK), start=1):
        write_block(work, blocks - 1, encoded)
    return _deal(target, work, blocks, settings, max_rejected, shard_samples)


def pack_rows(
    rows: Iterable[Row],
    out: Path | str,
    size: tuple[int, int],
    how: FrameRule = "person",
    *,
    min_joints: int = 6,
    max_rejected: float = 0.2,
    shard_samples: int = 1000,
    duplicates: Duplicates = "keep",
    total: int | None = None,
    progress: Progress | None = None,
    mapper: Mapper = here,
    wave: int = 1,
    resume: bool = False,
) -> Manifest:
    """The same from pictures that are not read yet, by any number of processes.

    `mapper` is given `wave` blocks at once. With `resume` blocks that a packing of the same settings has left
    are taken as they are.

    Raises:
        DataError: as `pack`; or what is resumed had other settings, or other pictures.
    """
    target, work = _open(out)
    settings, done, blocks = How(size, how, min_joints, duplicates == "drop"), 0, 0
    finished = _resume(work, settings) if resume else _begin(work, settings)
    say = progress or (lambda done, total: None)

    def missing() -> Iterator[Task]:
        nonlocal done, blocks
        for blocks, some in enumerate(_batched(rows, BLOCK), start=1):
            task = Task(blocks - 1, some)
            if f"{stem(task.number)}.json" not in finished:
                yield task
            else:
                _check_unchanged(work, task)
                done += len(some)
                say(done, total)

    work_off = partial(pack_block, work=work.place, how=settings)
    for tasks in _batched(missing(), wave):
        for _, pictures in mapper(work_off, tasks):
            done += pictures
            say(done, total)
    return _deal(target, work, blocks, settings, max_rejected, shard_samples)


def _open(out: Path | str) -> tuple[Storage, Storage]:
    """Where the shards go, and the blocks until then; `DataError` when there are shards already."""
    target = Storage(out)
    if target.has(MANIFEST) if not target.local else target.exists():
        raise DataError(f"`{out}` exists; remove it or pack into another folder")
    return target, target.hidden(".blocks")


def _begin(work: Storage, settings: How) -> set[str]:
    work.remove()
    work.write(BEGUN, json.dumps(_about(settings)).encode())
    return set()


def _resume(work: Storage, settings: How) -> set[str]:
    """The blocks that are finished; `DataError` names the setting in which they differ."""
    if not work.has(BEGUN):
        return _begin(work, settings)
    begun, now = json.loads(work.read(BEGUN)), _about(settings)
    for key, value in now.items():
        if begun.get(key) != value:
            raise DataError(
                f"`{work.place}` was begun with {key} {begun.get(key)!r}, now it is {value!r}; pack with the same, or "
                "without --resume from the start"
            )
    return work.names("blocks")


def _about(settings: How) -> dict[str, Any]:
    return json.loads(json.dumps(settings._asdict())) | {"block": BLOCK, "schema": SCHEMA_VERSION}


def _check_unchanged(work: Storage, task: Task) -> None:
    """`DataError` names the first picture of a finished block that is not the one of the list any more."""
    marks = [entry.mark for entry in read_entries(work, task.number)]
    for place, row in enumerate(task.rows):
        if place >= len(marks) or mark(row) != marks[place]:
            raise DataError(
                f"`{row.name}` of `{row.folder}`, its map or its lines have changed since `{work.place}` was begun; "
                "pack without --resume from the start"
            )
    if len(marks) != len(task.rows):
        raise DataError(f"the list behind `{task.rows[-1].name}` has become shorter; pack without --resume")


def _deal(
    target: Storage, work: Storage, blocks: int, settings: How, max_rejected: float, shard_samples: int
) -> Manifest:
    """Shards, list of the rejected and manifest from the finished blocks, which are removed."""
    ledger = read_ledger(work, blocks, settings)
    aside = target.beside(".partial") if target.local else target
    if target.local:
        aside.remove()
    lines = [ledger.rejected[place] for place in sorted(ledger.rejected)]
    aside.write(REJECTED, "".join(json.dumps(line._asdict()) + "\n" for line in lines).encode())
    _stop_above(max_rejected, ledger, f"{aside.place}/{REJECTED}")
    names = dict.fromkeys(name for place, name in enumerate(ledger.splits) if place not in ledger.rejected)
    with TemporaryDirectory() as scratch:
        folder = work.here(Path(scratch))
        splits = {name: deal_split(name, ledger, folder, aside, shard_samples) for name in names}
    found = (ledger.copies, ledger.leaks) if settings.look else (None, None)
    manifest = Manifest(Path(aside.root), settings.size, settings.rule, settings.min_joints, len(lines), splits, *found)
    aside.write(MANIFEST, manifest.to_json().encode())
    if target.local:
        flush(Path(aside.root))
        Path(aside.root).rename(target.root)
        flush(Path(target.root).parent)
    work.remove()
    return replace(manifest, folder=Path(target.root))


def _stop_above(limit: float, ledger: Ledger, listed: str) -> None:
    """Copies are none of the data's faults."""
    total = len(ledger.ids) - ledger.copies
    bad = [line for place, line in sorted(ledger.rejected.items()) if place not in ledger.copied]
    if total == 0:
        raise DataError("there are no samples to pack; does the list of the split have lines?")
    if len(bad) < total and len(bad) <= limit * total:
        return
    named = [(f"{line.source}/{line.id}" if line.source else line.id, line.reason) for line in bad]
    shown = "\n".join(f"  {name}: {reason}" for name, reason in named[:SHOWN_REJECTIONS])
    raise DataError(
        f"{len(bad)} of {total} samples were rejected, the limit is {limit:.0%}. The first:\n{shown}\n"
        f"All are in `{listed}`; mend them, or raise `max_rejected` (`--max-rejected`)"
    )


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size`, the last one shorter."""
    each = iter(items)
    while some := list(islice(each, size)):
        yield some


def flush(path: Path) -> None:
    """Make a file's content, or a folder's entries, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
