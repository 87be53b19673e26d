"""Checkpoints: what is in one, which are whole, and whether one is of this run.

A folder under its final name, `checkpoints/IMAGES`, is complete: `saving` writes it aside and renames it. It holds

    NETWORK/                      parameters and optimizer, partitioned over the ranks as the engine does
    NETWORK-average.safetensors   the generators' averages
    sums-RANK.json                size and SHA-256 of every file that a rank wrote
    meta.json                     position, the reader's too; its origin, which a resuming run must share; the number of
                                  ranks, which it need not; the score of its averages; configuration and versions

Schedules, fade-in and random states follow from the position.
"""

import hashlib
import json
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

import spt_dist
from spt_dist import config
from spt_dist.data.manifest import Manifest
from spt_dist.data.pack import flush
from spt_dist.data.pipeline import Reader
from spt_dist.train.ranks import Ranks
from spt_dist.train.state import Position, State

FOLDER, META, SUMS, AVERAGE = "checkpoints", "meta.json", "sums-{}.json", "{}-average.safetensors"
VERSIONED = ("torch", "deepspeed", "ray", "webdataset", "numpy")
CODE = ("spt-dist", "torch", "deepspeed")  # of these another version may compute other numbers
HIDDEN = ".writing-"
# What may change between a run and its continuation: how often it tells and who does the work, not what it learns.
FREE = ("serve.", "evaluation.", "data.shards", "data.pseudo_pairs")
FREE += ("train.report_every_imgs", "train.picture_every_imgs", "train.evaluate_every_imgs", "train.best_metric")
FREE += ("train.checkpoint_every_imgs", "train.keep_", "train.mirror", "train.stall_s", "train.max_failures")
FREE += ("train.workers", "train.min_workers", "train.accumulate")


@dataclass(frozen=True)
class Origin:
    """What decides a run's numbers, as far as it must not change: settings by dotted key, data, engine, code."""

    settings: dict[str, Any]
    data_hash: str
    frame: str  # how the pictures were framed
    pairs_hash: str  # of the index of pseudo pairs; empty without one
    engine: str
    code: dict[str, str]

    @classmethod
    def of(cls, settings: config.Config, manifest: Manifest, engine: str) -> "Origin":
        """The origin of a run on these shards; `engine` is the engine class's name."""
        flat = _flat(json.loads(json.dumps(config.to_tree(settings))))
        kept = {key: value for key, value in flat.items() if not key.startswith(FREE)}
        pairs = settings.data.pseudo_pairs
        code = {name: number for name, number in versions().items() if name in CODE}
        pairs_hash = sha256(Path(pairs)) if pairs else ""
        return cls(kept, manifest.data_hash, manifest.how, pairs_hash, engine, code)


def versions() -> dict[str, str]:
    """What else the numbers of a run depend on."""
    return {"spt-dist": spt_dist.__version__, "python": platform.python_version()} | {n: version(n) for n in VERSIONED}


def sha256(path: Path) -> str:
    """The hash of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def all_of(run: Path) -> list[Path]:
    """The checkpoints of a run that have their final name, oldest first."""
    return sorted(path for path in (run / FOLDER).glob("[0-9]*") if path.is_dir())


def read_meta(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself.

    Raises:
        ValueError: it says nothing that can be read.
    """
    try:
        return json.loads((path / META).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"`{path}` is no checkpoint: cannot read its `{META}`: {error}") from None


def damage(path: Path) -> list[str]:
    """What is wrong with a checkpoint's files, in words; nothing when all are as they were written."""
    try:
        ranks = read_meta(path)["ranks"]
    except (ValueError, KeyError) as error:
        return [str(error)]
    found = []
    for rank in range(ranks):
        try:
            listed = json.loads((path / SUMS.format(rank)).read_text())
        except (OSError, ValueError) as error:
            found.append(f"cannot read `{SUMS.format(rank)}`: {error}")
            continue
        for name, (size, digest) in listed.items():
            file = path / name
            if not file.is_file():
                found.append(f"`{name}` is missing")
            elif file.stat().st_size != size:
                found.append(f"`{name}` has {file.stat().st_size} bytes instead of {size}")
            elif sha256(file) != digest:
                found.append(f"`{name}` has other content than was written")
    return found


def newest(run: Path) -> tuple[Path | None, list[str]]:
    """The newest undamaged checkpoint of a run, if there is one, and what was wrong with those passed over."""
    remarks = []
    for path in reversed(all_of(run)):
        wrong = damage(path)
        if not wrong:
            return path, remarks
        remarks.append(f"`{path}` is passed over: {'; '.join(wrong[:3])}{' ...' * (len(wrong) > 3)}")
    return None, remarks


def difference(path: Path, origin: Origin) -> str:
    """In which ways a checkpoint's origin is another one, in words; empty when it is the same.

    A setting that the checkpoint's version did not have stood at its default.
    """
    old, new = (_flat(tree.pop("settings") | tree) for tree in (read_meta(path)["origin"], asdict(origin)))
    old = _flat(json.loads(json.dumps(config.to_tree(config.Config())))) | old
    old = {key: value for key, value in old.items() if not key.startswith(FREE)}
    differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return "; ".join(f"`{key}` was {old.get(key)!r} and is {new.get(key)!r}" for key in differing)


def describe(settings: config.Config, state: State, reader: Reader, origin: Origin, ranks: Ranks) -> dict[str, Any]:
    """What `meta.json` says of a state, without its score."""
    return {
        "origin": asdict(origin),
        "ranks": ranks.size,
        "config": config.to_tree(settings),
        "versions": versions(),
        "position": asdict(state.position),
        "reader": reader.state_dict(),
        "averaged_images": {name: average.seen_imgs for name, average in state.averages.items()},
    }


def load(path: Path, state: State, reader: Reader) -> None:
    """Put `state` and `reader` back to where they were saved, on any number of ranks; all call it together."""
    meta = read_meta(path)
    for name, engine in state.engines.items():
        engine.load(path / name, meta["ranks"])
    load_averages(path, state)
    reader.load_state_dict(meta["reader"])


def load_averages(path: Path, state: State) -> None:
    """Give `state` the averages and the position of a checkpoint."""
    meta = read_meta(path)
    for name, average in state.averages.items():
        average.module.load_state_dict(load_file(path / AVERAGE.format(name)))
        average.seen_imgs = meta["averaged_images"][name]
    state.position = Position(**meta["position"])


def publish(writing: Path, final: Path) -> None:
    """Flush every file and folder of `writing`, then give it its final name, in place of what has it."""
    for path in [*writing.rglob("*"), writing]:
        flush(path)
    if final.exists():
        replaced = final.with_name(HIDDEN + final.name + "-replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
        writing.rename(final)
        shutil.rmtree(replaced)
    else:
        writing.rename(final)
    flush(final.parent)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return leaves
