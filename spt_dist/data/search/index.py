"""The index of pseudo pairs: a parquet file that says what it was made of, and its parts while it is being made.

One row per pair (`blocks.Found`), sources in the order of the split. The schema's metadata holds, under `spt_pairs`,
the hash of the data, the split, the settings with the version of the search, and how many samples have a pair. Parts
are parquet files in a hidden folder beside the output, with metadata of their own; a part is renamed into place when
whole, and the index when all parts are there.
"""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spt_dist.data.manifest import Manifest
from spt_dist.data.schema import DataError
from spt_dist.data.search.blocks import Found
from spt_dist.data.search.people import VERSION, Settings

KEY = b"spt_pairs"
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "rank": pa.int32(),
        "match": pa.string(),
        "mirrored": pa.bool_(),
        "score": pa.float64(),
        "pose_distance": pa.float32(),
    }
)


@dataclass(frozen=True)
class Origin:
    """What an index is made of: it is good for nothing else."""

    data_hash: str
    split: str
    settings: dict[str, Any]

    @classmethod
    def of(cls, manifest: Manifest, split: str, settings: Settings) -> "Origin":
        """The origin of a search."""
        return cls(manifest.data_hash, split, settings.to_tree())

    def to_tree(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"data_hash": self.data_hash, "split": self.split, "settings": self.settings}

    def refusal(self, other: dict[str, Any]) -> str:
        """How a file's metadata differ from this origin, in words; empty where they do not."""
        own = self.to_tree()
        differing = [f"{key} {other.get(key)!r}, not {own[key]!r}" for key in own if other.get(key) != own[key]]
        return "; ".join(differing)


def read_index(path: Path) -> tuple[list[Found], dict[str, Any]]:
    """Rows and metadata; `DataError` when the file is missing, damaged, or not an index of this version."""
    table, about = _read(path)
    if (found := about.get("settings", {}).get("version")) != VERSION:
        raise DataError(f"`{path}` is of version {found!r} of the search, this is {VERSION}; run `spt pairs` again")
    return [Found(**row) for row in table.to_pylist()], about


def write_index(path: Path, rows: Iterable[Found], about: dict[str, Any]) -> None:
    """Write rows with their metadata under another name, then rename."""
    columns = list(zip(*rows, strict=True)) or [[] for _ in SCHEMA]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=SCHEMA.with_metadata({KEY: json.dumps(about, sort_keys=True)}))
    draft = path.with_name(f".{path.name}.draft")
    pq.write_table(table, draft)
    os.replace(draft, path)


class Parts:
    """The finished blocks of a search, each a file in a hidden folder beside the output."""

    def __init__(self, output: Path, origin: Origin) -> None:
        """Refuse parts of other data or settings: `DataError` says how they differ and which folder to remove."""
        self.folder = output.with_name(f".{output.name}.parts")
        self._origin = origin
        if not output.parent.is_dir():
            raise DataError(f"cannot write `{output}`: there is no folder `{output.parent}`; make it first")
        for path in self._files():
            if difference := origin.refusal(_read(path)[1]):
                raise DataError(
                    f"`{self.folder}` holds parts of another search: {difference}; remove the folder, or name another "
                    "output"
                )
        self.folder.mkdir(exist_ok=True)

    def done(self, block: str) -> bool:
        """Whether the block is finished."""
        return self._path(block).is_file()

    def write(self, block: str, rows: list[Found]) -> None:
        """Keep a finished block."""
        write_index(self._path(block), rows, self._origin.to_tree())

    def read(self, block: str) -> list[Found]:
        """The rows of a finished block."""
        return [Found(**row) for row in _read(self._path(block))[0].to_pylist()]

    def remove(self) -> None:
        """They are in the index now."""
        shutil.rmtree(self.folder)

    def _path(self, block: str) -> Path:
        return self.folder / f"{block}.parquet"

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[!.]*.parquet"))


def _read(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    try:
        table = pq.ParquetFile(path).read()
    except FileNotFoundError:
        raise DataError(f"there is no index of pairs at `{path}`; `spt pairs SHARDS -o {path}` makes one") from None
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"`{path}` cannot be read as parquet ({first}); remove it and run `spt pairs` again") from None
    metadata = (table.schema.metadata or {}).get(KEY)
    if metadata is None or not table.schema.equals(SCHEMA):
        raise DataError(f"`{path}` is no index of pairs (columns {table.column_names}); `spt pairs` makes one")
    return table, json.loads(metadata)
