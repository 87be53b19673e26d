"""Which weights lie in a folder, and when they have changed. No torch: the half that answers HTTP asks this."""

import hashlib
from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = tuple[tuple[str, int, int], ...]  # name, size in bytes and time of change in ns of each file


def weights_digest(folder: Path) -> str:
    """Of a `weights` folder's files: another one after every training."""
    found = hashlib.sha256()
    for path in _files(folder):
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:12]


def weights_stamp(folder: Path) -> Stamp:
    """What a look at the folder says of its files without reading them: another one when any was written."""
    return tuple((path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in _files(folder))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix in (".safetensors", ".json"))
