"""A run's `log.jsonl`: a line of JSON for every report of its losses, and one for every validation.

Both say where training stood (`stage`, `images` of it, `all_images`). A report has `terms`, the mean losses since the
last one; a validation has `scores`.
"""

import json
from pathlib import Path
from typing import Any

LOG = "log.jsonl"

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
