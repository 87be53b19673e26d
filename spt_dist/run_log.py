"""A run's `log.jsonl`: a line of JSON for every report of its losses, and one for every validation.

Both say where training stood (`stage`, `images` of it, `all_images`). A report has `terms`, the mean losses since the
last one; a validation has `scores`. What happened to the run itself (begun, broken off, gone on) is in `events.jsonl`:
`time`, `what` in words, and what belongs to it.
"""

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOG, EVENTS = "log.jsonl", "events.jsonl"

Line = dict[str, Any]


def read_lines(file: Path) -> list[Line]:
    """All lines of a log file; a last line without its end is not one yet."""
    return [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]


def read_log(file: Path) -> list[Line]:
    """The reports of the losses."""
    return [line for line in read_lines(file) if "terms" in line]


def read_scores(file: Path) -> list[Line]:
    """The validations."""
    return [line for line in read_lines(file) if "scores" in line]


def tell_event(run: Path, what: str, **about: Any) -> None:
    """Add a line to the run's events; on a full disk it is lost."""
    with suppress(OSError):
        add_lines(run / EVENTS, [{"time": datetime.now(UTC).isoformat(timespec="seconds"), "what": what, **about}])


def add_lines(file: Path, lines: list[Line]) -> None:
    """Write all the lines at the end of a file, or none: on a full disk, `OSError`."""
    with file.open("ab") as log:
        before = log.tell()
        try:
            log.write("".join(json.dumps(line) + "\n" for line in lines).encode())
            log.flush()
        except OSError:
            log.truncate(before)
            raise


def read_events(run: Path) -> list[Line]:
    """What happened to a run, oldest first."""
    return read_lines(run / EVENTS) if (run / EVENTS).exists() else []
