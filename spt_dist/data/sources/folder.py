"""The project's own folder, written aside and renamed: it is whole or absent.

Photos become hard links where the disk allows it, else copies; they are never recoded, and a linked one shares its
bytes with the source's. `keypoints.csv`, `identities.csv`, one list a split and `pairs-SPLIT.csv` are written at the
end.
"""

import csv
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spt_dist.data.importers import SPLITS, annotation
from spt_dist.data.schema import DataError, JointArray, LabelArray
from spt_dist.data.sources.account import Account

CSV_HEADER = "name:keypoints_y:keypoints_x"
Pair = tuple[str, str]


def require_new(out: Path) -> None:
    """`DataError` when `out` exists."""
    if out.exists() or out.is_symlink():
        raise DataError(f"`{out}` exists; name another folder, or remove it")


class Folder:
    """A folder in the making; `finish` gives it its name."""

    def __init__(self, out: Path) -> None:
        """Start beside `out`; `DataError` when that exists."""
        require_new(out)
        self._out, self._aside = out, out.with_name(out.name + ".partial")
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir(parents=True)
        self._keypoints: list[str] = []
        self._identities: list[tuple[str, str]] = []
        self._splits: dict[str, list[str]] = {}

    def add(
        self,
        name: str,
        split: str,
        photo: Path | None = None,
        joints: JointArray | None = None,
        labels: LabelArray | None = None,
        identity: str | None = None,
    ) -> None:
        """One picture with what there is of it; without a photo it is a pose alone and on no list."""
        if photo is not None:
            _link(photo, self._made("img") / name)
            self._splits.setdefault(split, []).append(name)
        if labels is not None:
            Image.fromarray(np.ascontiguousarray(labels)).save(self._made("parsing") / f"{Path(name).stem}.png")
        if joints is not None:
            self._keypoints.append(annotation(name, joints))
        if identity is not None:
            self._identities.append((name, identity))

    def finish(
        self, account: Account, about: dict[str, Any], pairs: dict[str, list[Pair]], record: str = "import.json"
    ) -> None:
        """Write the lists and the account, which is called `record`, then give the folder its name."""
        tree = about | account.to_tree()
        for split in SPLITS:
            if split in self._splits:
                self._write(f"{split}.txt", self._splits[split])
        if self._keypoints:
            self._write("keypoints.csv", [CSV_HEADER, *self._keypoints])
        if self._identities:
            with open(self._aside / "identities.csv", "w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows([("name", "identity"), *self._identities])
        for split, kept in pairs.items():
            self._write(f"pairs-{split}.csv", ["from,to", *(",".join(pair) for pair in kept)])
        (self._aside / "dropped.jsonl").write_text(account.lines(), encoding="utf-8")
        (self._aside / record).write_text(json.dumps(tree, indent=1, ensure_ascii=False) + "\n", "utf-8")
        self._aside.rename(self._out)

    def abandon(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self._aside, ignore_errors=True)

    def _made(self, name: str) -> Path:
        (self._aside / name).mkdir(exist_ok=True)
        return self._aside / name

    def _write(self, name: str, lines: list[str]) -> None:
        (self._aside / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    assert not target.exists(), f"two photos became `{target.name}`"
    with suppress(OSError):  # another disk, or a file system without links
        os.link(source.resolve(), target)
        return
    shutil.copyfile(source, target)
