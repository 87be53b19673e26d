"""Where a source keeps its photos, annotations, pairs and split lists.

- `deepfashion`: photos in the original tree (`img/WOMEN/Shorts/id_00000748/01_2_side.jpg`, `img_highres/...`) or
  flattened into `train/` and `test/`; beside them `{fasion,fashion}[-resize]-{annotation,pairs}-{train,test}.csv`.
- `market`: `bounding_box_train/`, `bounding_box_test/`, `query/`, or `train/` and `test/`; beside them
  `market-{annotation,pairs}-{train,test}.csv`.
- `ccp`: `photos/`; the maps lie in `annotations/` (`.mat`, also in `pixel-level/`).
- `folder`: photos, anywhere below it; with `img/` those below `img/` only. Below `train/`, `val/` or `test/` that is
  their split.
- `poses`: a keypoint file, a folder of annotation files or of OpenPose's JSON; no photos.

Lists of names say the split as well: `train.txt`, `val.txt`, `test.txt` (or `.lst`), or the in-shop benchmark's own
`list_eval_partition.txt`, whose `query` and `gallery` are `test`.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from spt_dist.data.importers import SPLITS
from spt_dist.data.schema import DataError
from spt_dist.data.sources import names
from spt_dist.data.sources.frames import FASHION, FASHION_MIDDLE, MARKET, Size
from spt_dist.data.sources.names import PHOTO_ENDINGS, About

PARTITION = "list_eval_partition.txt"
PARTITION_SPLITS = {"train": "train", "query": "test", "gallery": "test"}
_CSV = re.compile(r"(fasion|fashion|market)(-resize)?-(annotation|pairs)-(train|test)([^/]*)\.csv")


class Photo(NamedTuple):
    """A photo on disk, and what its name and place say; `split` is None where they do not."""

    path: Path
    about: About
    split: str | None

    @property
    def name(self) -> str:
        """Its name in the folder that is written."""
        return self.about.flat + self.path.suffix.lower()


class Kind(NamedTuple):
    """A kind of source: how names are read, which folders hold photos, by split, which parser made its maps."""

    about: names.Reader
    folders: Callable[[Path], dict[Path, str | None]]
    family: str = ""  # of the CSV files' names
    parser: str | None = None


class Table(NamedTuple):
    """A CSV of the field: its file, its split and the size of the pictures that its px are of."""

    path: Path
    split: str | None
    frame: Size | None


def _deepfashion_folders(source: Path) -> dict[Path, str | None]:
    flat = {source / split: split for split in ("train", "test") if (source / split).is_dir()}
    if flat:
        return dict(flat)
    trees = [source, *(source / name for name in ("img", "Img/img", "img_highres", "Img/img_highres"))]
    held = [tree for tree in trees if any((tree / gender).is_dir() for gender in ("WOMEN", "MEN"))]
    if len(held) > 1:
        given = "`, `".join(map(str, held))
        raise DataError(f"`{source}` has photos in `{given}`; name the one to import as the source")
    return dict.fromkeys(held)


def _market_folders(source: Path) -> dict[Path, str | None]:
    places = (
        ("bounding_box_train", "train"), ("bounding_box_test", "test"), ("query", "test"), ("train", "train"),
        ("test", "test"),
    )  # fmt: skip
    return {source / name: split for name, split in places if (source / name).is_dir()}


def _plain_folders(source: Path) -> dict[Path, str | None]:
    root = source / "img" if (source / "img").is_dir() else source
    return {root: None}


def _ccp_folders(source: Path) -> dict[Path, str | None]:
    return {source / "photos": None} if (source / "photos").is_dir() else {}


FAMILY_FASHION, FAMILY_MARKET = "fashion", "market"  # of the CSV files

KINDS = {
    "folder": Kind(names.plain, _plain_folders),
    "deepfashion": Kind(names.deepfashion, _deepfashion_folders, FAMILY_FASHION),
    "market": Kind(names.market, _market_folders, FAMILY_MARKET),
    "ccp": Kind(names.plain, _ccp_folders, parser="ccp-59"),
    "poses": Kind(names.recognised, lambda source: {}),
}
CCP_MAPS = ("annotations/pixel-level", "annotations")


def find_photos(kind: str, source: Path) -> Iterator[Photo | Path]:
    """Every photo of the source in the order of names; a path where the name is not one of the kind's.

    Raises:
        DataError: the source is no folder, or has none of the kind's folders.
    """
    if not source.is_dir():
        raise DataError(f"`{source}` is not a folder; `spt import --help` says what `{kind}` looks like")
    folders = KINDS[kind].folders(source)
    if not folders:
        raise DataError(f"`{source}` has none of the folders of `{kind}`; `spt import --help` says what it looks like")
    lists = _split_lists(source, KINDS[kind].about)
    for root, split in folders.items():
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() not in PHOTO_ENDINGS or not path.is_file():
                continue
            inner, place = path.relative_to(root).as_posix(), split
            top, _, rest = inner.partition("/")
            if kind == "folder" and rest and top in SPLITS:
                inner, place = rest, top
            about = KINDS[kind].about(inner)
            yield path if about is None else Photo(path, about, place or lists.get(about.key))


def find_tables(kind: str, source: Path, what: str) -> list[Table]:
    """The `annotation` or `pairs` files beside the photos, at most one for a split.

    Raises:
        DataError: two of one split, of different lineages.
    """
    if kind == "poses":
        files = sorted(source.glob("*annotation*.csv")) if source.is_dir() else []
        return [table_of(file) for file in files or [source]]
    if not KINDS[kind].family:
        return []
    found: dict[str, Table] = {}
    for file in sorted(source.glob("*.csv")):
        match = _CSV.fullmatch(file.name)
        if not match or match[3] != what or (match[1] == FAMILY_MARKET) != (KINDS[kind].family == FAMILY_MARKET):
            continue
        split, table = match[4], table_of(file)
        if split in found:
            other = found[split].path.name
            option = "keypoints" if what == "annotation" else "pairs"
            raise DataError(
                f"`{source}` has two {what} files for `{split}`, `{other}` and `{file.name}`; choose with "
                f"--{option} FILE (repeatable: one for each split)"
            )
        found[split] = table
    return [found[split] for split in SPLITS if split in found]


def table_of(file: Path) -> Table:
    """A file with the split and the frame that its name tells, if it tells them."""
    match = _CSV.fullmatch(file.name)
    if not match:
        return Table(file, None, None)
    fashion = FASHION_MIDDLE if match[2] else FASHION
    return Table(file, match[4], MARKET if match[1] == FAMILY_MARKET else fashion)


def _split_lists(source: Path, about: names.Reader) -> dict[str, str]:
    """Splits by photo, from the lists of names that the source has."""
    splits = {}
    for place in (source, source / "Eval", source.parent, source.parent / "Eval"):
        if (place / PARTITION).is_file():
            for line in _lines(place / PARTITION):
                fields = line.split()
                known = about(fields[0])
                if known and fields[-1] in PARTITION_SPLITS:
                    splits[known.key] = PARTITION_SPLITS[fields[-1]]
            break
    for split in SPLITS:
        for file in (source / f"{split}.lst", source / f"{split}.txt"):
            for line in _lines(file) if file.is_file() else ():
                if known := about(line):
                    splits[known.key] = split
    return splits


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
