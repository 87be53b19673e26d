"""What became of every row: imported, or dropped for one named reason. The numbers add up, or the program is wrong."""

import json
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from spt_dist.data.schema import DataError


class Reason(StrEnum):
    """Why a row is not imported; a row that has several is counted for the first."""

    UNREADABLE = "unreadable row"
    NAME = "unknown name"
    JUNK = "junk identity"
    DUPLICATE = "duplicate"
    NO_JOINTS = "no joints"
    NO_PHOTO = "photo missing"
    NO_KEYPOINTS = "photo without keypoints"
    BAD_PHOTO = "unreadable photo"
    SIZES = "sizes disagree"
    NO_PERSON = "no person found"
    NO_PARSING = "parsing map missing"
    BAD_PARSING = "unreadable parsing map"


class Dropped(Exception):  # noqa: N818 (it is caught, counted and never seen)
    """Ends a row's import; the account keeps the reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Line(NamedTuple):
    """A dropped row, as `dropped.jsonl` lists it."""

    name: str
    where: str
    reason: Reason
    detail: str


@dataclass
class Account:
    """Rows read, imported by split, dropped by reason; `notes` count what was mended or ignored on the way."""

    total: int
    read: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    dropped: list[Line] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def imported(self) -> int:
        """Rows imported, over all splits."""
        return self.splits.total()

    @property
    def reasons(self) -> Counter[str]:
        """Rows dropped, by reason, in the order of `Reason`."""
        counts = Counter(line.reason for line in self.dropped)
        return Counter({str(reason): counts[reason] for reason in Reason if counts[reason]})

    def to_tree(self) -> dict[str, Any]:
        """The account as `import.json`, or `annotate.json`, holds it."""
        assert self.read == self.total == self.imported + len(self.dropped), f"the account does not add up: {self}"
        rows = {"read": self.read, "imported": self.imported, "dropped": dict(self.reasons)}
        notes = {note: count for note, count in self.notes.items() if count}
        return {"rows": rows, "splits": dict(self.splits), "notes": notes}

    def in_short(self) -> str:
        """One line for people."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.items())
        return f"{self.read:,} rows read, {self.imported:,} imported" + (f"; dropped: {reasons}" if reasons else "")

    def lines(self) -> str:
        """The dropped rows as JSON lines."""
        return "".join(json.dumps(line._asdict(), ensure_ascii=False) + "\n" for line in self.dropped)

    def stop_when_empty(self) -> None:
        """Raise `DataError` with the first dropped rows when nothing was imported."""
        if not self.imported:
            shown = "\n".join(
                f"  {line.name} ({line.where}): {line.reason}: {line.detail}" for line in self.dropped[:5]
            )
            raise DataError(f"nothing to import: {self.in_short()}" + (f". The first:\n{shown}" if shown else ""))
