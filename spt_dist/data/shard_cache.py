"""Shards in object storage, read through a copy on this machine's disk.

Readers want files: they look samples up by their place in a shard. So the shards of a split are fetched once into
`$SPT_CACHE/shards/DATA_HASH` (`~/.cache/spt-dist` where it is not set), each compared with the SHA-256 that the
manifest gives before it has its name there. One process of a machine fetches, the others wait for it.
"""

import fcntl
import hashlib
import json
import os
from pathlib import Path

from spt_dist.data.schema import DataError
from spt_dist.data.storage import Storage

MANIFEST = "manifest.json"


def fetch_manifest(address: Path | str) -> Path:
    """The folder of the copy of shards at a URI, in which their manifest now is."""
    storage = Storage(address)
    try:
        content = storage.read(MANIFEST)
        name = json.loads(content)["data_hash"]
    except OSError as error:
        hint = "`spt pack ... -o` that address writes shards; keys are AWS_ACCESS_KEY_ID and co."
        raise DataError(f"no shards at `{address}`: cannot read its `{MANIFEST}` ({error}); {hint}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"`{MANIFEST}` at `{address}` is broken ({error!r}); pack the shards again") from None
    folder = Path(os.environ.get("SPT_CACHE", Path.home() / ".cache" / "spt-dist")) / "shards" / Path(str(name)).name
    Storage(folder).write(MANIFEST, content)
    return folder


def fetch_shards(address: str, folder: Path, sums: dict[str, str]) -> None:
    """Bring the shards of these names and SHA-256 sums, and their indexes, into `folder`, those that are not there.

    Raises:
        DataError: one is missing at `address`, or is not what was packed.
    """
    storage = Storage(address)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, wanted in sums.items():
            path = folder / name
            for file in (path.with_suffix(".idx"), path):
                if not file.exists():
                    _fetch(storage, file, wanted if file is path else None)


def _fetch(storage: Storage, path: Path, wanted: str | None) -> None:
    aside = path.with_name(f".{path.name}.fetched")
    try:
        storage.fetch(path.name, aside)
    except OSError as error:
        raise DataError(
            f"cannot fetch `{path.name}` from `{storage.place}` ({error}); copy it back or pack again"
        ) from None
    if wanted is not None:
        with open(aside, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != wanted:
            aside.unlink()
            raise DataError(
                f"shard `{path.name}` at `{storage.place}` is damaged: SHA-256 {found}, packed {wanted}; copy it again"
            )
    aside.replace(path)
