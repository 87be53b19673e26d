"""What is not in the shards: samples that `spt pack` rejected, and rows that `spt import` dropped before.

Reasons are sentences about one sample. With names and numbers left out they fall into kinds, which are counted.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spt_dist.data.importers import read_identities
from spt_dist.data.photos import read_photo
from spt_dist.data.schema import DataError, ImageArray

LISTED = 8  # names of each kind
PICTURED = 4  # of them with their picture
REJECTED, DROPPED, ACCOUNT, IDENTITIES = "rejected.jsonl", "dropped.jsonl", "import.json", "identities.csv"
_NAMES, _NUMBERS, _BRACKETS = re.compile(r"`[^`]*`"), re.compile(r"\d[\d,.]*"), re.compile(r"\([^()]*\)")


def kind_of(reason: str) -> str:
    """A reason without what belongs to one sample: names, numbers, and remarks in brackets."""
    text = _BRACKETS.sub("", _NAMES.sub("…", reason.partition("; ")[0]))
    return " ".join(_NUMBERS.sub("N", text).split())[:160]


def rejected(shards: Path) -> dict[str, Any]:
    """Rejected samples by kind of reason, the most frequent kind first."""
    kinds: dict[str, dict[str, Any]] = {}
    total = 0
    for line in _lines(shards / REJECTED):
        total += 1
        kind = kinds.setdefault(
            kind_of(line["reason"]), {"count": 0, "splits": Counter[str](), "example": line["reason"], "listed": []}
        )
        kind["count"] += 1
        kind["splits"][line["split"]] += 1
        if len(kind["listed"]) < LISTED:
            kind["listed"].append({key: line[key] for key in ("id", "split", "source", "reason")})
    ordered = sorted(kinds.items(), key=lambda item: (-item[1]["count"], item[0]))
    return {
        "count": total,
        "kinds": [{"kind": name} | about | {"splits": dict(about["splits"])} for name, about in ordered],
    }


def imported(folder: Path) -> dict[str, Any]:
    """What a source folder knows: its import's account, dropped rows by reason, and how often people were photographed.

    Raises:
        DataError: there is no such folder, or a file of it is broken.
    """
    if not folder.is_dir():
        raise DataError(f"`{folder}` is not a folder; `--source` names one that `spt pack` has read")
    counts, names = Counter[str](), dict[str, list[dict[str, str]]]()
    for line in _lines(folder / DROPPED, "name", "where", "reason", "detail"):
        counts[line["reason"]] += 1
        listed = names.setdefault(line["reason"], [])
        if len(listed) < LISTED:
            listed.append({key: line[key] for key in ("name", "where", "detail")})
    known = read_identities(folder / IDENTITIES)
    pictures = Counter(Counter(who for who in known.values() if isinstance(who, str)).values())
    return {
        "folder": folder.resolve().name,
        "account": _account(folder / ACCOUNT),
        "dropped": [
            {"reason": reason, "count": count, "listed": names[reason]} for reason, count in counts.most_common()
        ],
        "identities": pictures.total(),
        "pictures_of_an_identity": {str(count): people for count, people in sorted(pictures.items())},
        "contradictory_identities": sum(isinstance(who, DataError) for who in known.values()),
    }


class Sources:
    """Source folders in which the photos of rejected samples may still lie."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._photos = {folder.resolve().name: _photos(folder / "img") for folder in folders}

    def photo(self, line: dict[str, str]) -> ImageArray | None:
        """The photo of a rejected sample, or None where it cannot be found or read."""
        for name, photos in self._photos.items():
            if line["source"] in (name, "") and line["id"] in photos:
                try:
                    return read_photo(photos[line["id"]].read_bytes(), line["id"])
                except (DataError, OSError):
                    return None
        return None


def _photos(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def _account(path: Path) -> dict[str, Any]:
    """What `spt import` wrote of itself; empty where the folder is not its work."""
    if not path.is_file():
        return {}
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        return {key: tree[key] for key in ("kind", "rows", "splits", "notes")}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"`{path}` is not what `spt import` writes ({error}); import again, or remove it") from None


def _lines(path: Path, *keys: str) -> Iterator[dict[str, str]]:
    """The lines of a file of JSON lines, each with these keys as texts; none where there is no such file."""
    wanted = keys or ("id", "reason", "split", "source")
    if not path.is_file():
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, text in enumerate(file, start=1):
            try:
                line = json.loads(text)
                yield {key: str(line[key]) for key in wanted}
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise DataError(f"`{path}` line {number} is broken ({error!r}); copy the file again") from None
