"""One import: rows and photos meet, each row is accounted for, and what is whole is written.

A row is a record of a keypoint file; where photos have no record, each of them is a row as well. Rows whose identity
(without one: whose photo) is in two splits stop the import: what is tested must not have been learned.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spt_dist.data.schema import DataError
from spt_dist.data.sources.account import Account, Dropped, Line
from spt_dist.data.sources.folder import Folder, Pair
from spt_dist.data.sources.job import Job, complete
from spt_dist.data.sources.keypoint_files import read_rows
from spt_dist.data.sources.layouts import KINDS, Photo, Table, find_photos, find_tables, table_of
from spt_dist.data.sources.merges import MERGES
from spt_dist.data.sources.reader import Entry, Finder, Reader

IMPORT_SCHEMA = 1
SHOWN_OVERLAPS = 5

Progress = Callable[[int, int | None], object]


def run(job: Job, out: Path, progress: Progress | None = None, finder: Finder | None = None) -> Account:
    """Import into the new folder `out`; `progress(done, total)` is called after each row.

    With a `finder` photos alone are imported, and annotated on the way; the account is then `annotate.json`.

    Raises:
        DataError: the source is not of its kind, `out` exists, an identity is in two splits, or nothing is left.
    """
    job = complete(job)
    tables = _tables(job)
    photos = photos_of(job)
    entries = list(_entries(job, tables, photos))
    account, folder = Account(len(entries)), Folder(out)
    try:
        names = _import(Reader(job, photos, bool(tables), finder), entries, account, folder, progress)
        account.stop_when_empty()
        pairs = _pairs(job, names, account)
        if finder:
            folder.finish(account, _about(job, tables) | {"annotator": finder.name}, pairs, "annotate.json")
        else:
            folder.finish(account, _about(job, tables), pairs)
    except BaseException:
        folder.abandon()
        raise
    return account


def photos_of(job: Job) -> list[Photo | Path]:
    """The photos of an import; a path is a file whose name is none of its kind.

    Raises:
        DataError: the source is not of its kind.
    """
    if job.photos:
        named = ((path, KINDS[job.kind].about(path.name)) for path in job.photos)
        return [Photo(path, about, None) if about else path for path, about in named]
    return list(find_photos(job.kind, job.source)) if job.kind != "poses" else []


def _tables(job: Job) -> list[Table]:
    given = [table_of(path) for path in job.keypoints] or find_tables(job.kind, job.source, "annotation")
    return [table._replace(frame=job.frame or table.frame) for table in given]


def _entries(job: Job, tables: list[Table], photos: list[Photo | Path]) -> Iterator[Entry]:
    """Every row of the keypoint files, then the photos that none of them names."""
    about, seen = KINDS[job.kind].about, set()
    for table in tables:
        for row in read_rows(table.path, job.order, table.frame, table.split):
            if known := about(row.name):
                seen.add(known.key)
            yield Entry(row.name or row.where, row.where, row)
    for photo in photos:
        if isinstance(photo, Path):
            yield Entry(photo.name, str(photo), photo=photo)
        elif photo.about.key not in seen:
            yield Entry(photo.name, str(photo.path), photo=photo)


def _import(
    reader: Reader, entries: list[Entry], account: Account, folder: Folder, progress: Progress | None
) -> dict[str, str]:
    """Add what is whole to the folder; returns names by key and split."""
    names, identities = {}, dict[str, dict[str, str]]()
    for entry in entries:
        account.read += 1
        try:
            ready = reader.read(entry, account)
        except Dropped as dropped:
            account.dropped.append(Line(entry.name, entry.where, dropped.reason, str(dropped)))
        else:
            account.splits[ready.split] += 1
            names[ready.about.key] = ready.name
            places = identities.setdefault(ready.identity or ready.about.key, {})
            places.setdefault(ready.split, ready.name)
            if len(places) == 1 or not reader.has_photos:  # else the import is going to be refused
                folder.add(ready.name, ready.split, ready.photo, ready.joints, ready.labels, ready.identity)
        if progress:
            progress(account.read, account.total)
    if reader.has_photos:
        _refuse_overlap(identities)
    return names


def _refuse_overlap(identities: dict[str, dict[str, str]]) -> None:
    shared = {identity: splits for identity, splits in identities.items() if len(splits) > 1}
    if shared:
        shown = "\n".join(
            f"  {identity}: " + ", ".join(f"{name} in {split}" for split, name in splits.items())
            for identity, splits in list(shared.items())[:SHOWN_OVERLAPS]
        )
        raise DataError(
            f"{len(shared)} of {len(identities)} identities (names of photos, where nothing says who it is) are in "
            f"more than one split, so a test would show people that training has seen. Take each out of one of these, "
            f"or rename what are other people. The first:\n{shown}"
        )


def _pairs(job: Job, names: dict[str, str], account: Account) -> dict[str, list[Pair]]:
    """The benchmark's pairs by split, in the names that were written; those of dropped rows are counted."""
    if not KINDS[job.kind].family:
        return {}
    tables = [table_of(path) for path in job.pairs] or find_tables(job.kind, job.source, "pairs")
    about, pairs = KINDS[job.kind].about, {}
    for table in tables:
        lines = [line.strip() for line in table.path.read_text(errors="replace").splitlines() if line.strip()]
        kept = pairs.setdefault(table.split or "test", [])
        for number, line in enumerate(lines, start=1):
            if line == "from,to":
                continue
            known = [about(name.strip()) for name in line.split(",")]
            if len(known) != 2 or None in known:
                raise DataError(f"`{table.path}` line {number}: expected two names `from,to`, found `{line[:80]}`")
            written = [names.get(one.key) for one in known if one]
            account.notes["pairs read"] += 1
            if None in written:
                account.notes["pairs of a dropped row"] += 1
            else:
                kept.append((str(written[0]), str(written[1])))
    return pairs


def _about(job: Job, tables: list[Table]) -> dict[str, Any]:
    """What the account says of the import itself."""
    labels = {"parser": job.labels, "version": MERGES[job.labels].version} if job.parsing else None
    frame = {table.path.name: list(table.frame) for table in tables if table.frame}
    return {
        "schema": IMPORT_SCHEMA,
        "kind": job.kind,
        "source": str(job.source),
        "keypoints": [table.path.name for table in tables],
        "order": job.order,
        "frames_px": frame,
        "labels": labels,
    }
