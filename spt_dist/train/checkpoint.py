"""Checkpoints that are whole or absent.

Every rank writes its part into a hidden folder beside the others; the leader flushes it to the disk and renames it.
A folder under its final name is therefore complete. It holds the engines (parameters and optimizer, partitioned as the
engine does) and the averages. `meta.json` has the position, the reader's too, its origin, which a resuming run must
share, the number of ranks, which it need not, and the versions that made it. Random states follow from the position.
"""

import json
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

import spt_dist
from spt_dist import config
from spt_dist.data.pack import flush
from spt_dist.data.pipeline import Reader
from spt_dist.train.ranks import Ranks
from spt_dist.train.state import Position, State

VERSIONED = ("torch", "deepspeed", "ray", "webdataset", "numpy")
HIDDEN = ".writing-"
# What may change between a run and its continuation: how often it tells and who does the work, not what it learns.
FREE = ("serve.", "evaluation.", "data.shards", "train.report_every_imgs", "train.picture_every_imgs")
FREE += ("train.checkpoint_every_imgs", "train.keep_checkpoints", "train.max_failures")
FREE += ("train.evaluate_every_imgs", "train.best_metric", "train.workers", "train.accumulate")


@dataclass(frozen=True)
class Origin:
    """What decides a run's numbers, as far as it must not change: settings by dotted key, data, engine."""

    settings: dict[str, Any]
    data_hash: str
    engine: str

    @classmethod
    def of(cls, settings: config.Config, data_hash: str, engine: str) -> "Origin":
        """The origin of a run; `engine` is the engine class's name."""
        flat = _flat(json.loads(json.dumps(config.to_tree(settings))))
        return cls({key: value for key, value in flat.items() if not key.startswith(FREE)}, data_hash, engine)


def versions() -> dict[str, str]:
    """What else the numbers of a run depend on."""
    return {"spt-dist": spt_dist.__version__, "python": platform.python_version()} | {n: version(n) for n in VERSIONED}


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run, if there is one."""
    whole = sorted(path for path in (run / "checkpoints").glob("[0-9]*") if path.is_dir())
    return whole[-1] if whole else None


def save(run: Path, settings: config.Config, state: State, reader: Reader, origin: Origin, ranks: Ranks) -> Path:
    """Write a checkpoint and forget the oldest beyond `train.keep_checkpoints`; all ranks call it together."""
    final = run / "checkpoints" / f"{state.position.images:012d}"
    if final.exists():
        return final
    writing = final.with_name(HIDDEN + final.name)
    ranks.barrier()  # nobody writes before all have looked
    if ranks.leads:
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir(parents=True)
    ranks.barrier()
    for name, engine in state.engines.items():
        engine.save(writing / name)
    if ranks.leads:
        _write_shared(writing, settings, state, reader, origin, ranks.size)
    ranks.barrier()
    if ranks.leads:
        publish(writing, final)
        for old in sorted(final.parent.glob("[0-9]*"))[: -settings.train.keep_checkpoints]:
            shutil.rmtree(old)
    ranks.barrier()
    return final


def require_same(path: Path, origin: Origin) -> None:
    """Refuse a checkpoint of another origin; the `ValueError` says what differs."""
    stored, wanted = json.loads((path / "meta.json").read_text())["origin"], asdict(origin)
    old, new = (tree.pop("settings") | tree for tree in (stored, wanted))
    differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if differing:
        listed = "; ".join(f"`{key}` was {old.get(key)!r} and is {new.get(key)!r}" for key in differing)
        raise ValueError(f"`{path}` is of another run: {listed}; resume with the same, or start a new run folder")


def load(path: Path, state: State, reader: Reader, origin: Origin, ranks: Ranks) -> None:
    """Put `state` and `reader` back to where `save` found them, on any number of ranks; see `require_same`."""
    require_same(path, origin)
    meta = json.loads((path / "meta.json").read_text())
    for name, engine in state.engines.items():
        engine.load(path / name, meta["ranks"])
    for name, average in state.averages.items():
        average.module.load_state_dict(load_file(path / f"{name}-average.safetensors"))
        average.seen_imgs = meta["averaged_images"][name]
    state.position = Position(**meta["position"])
    reader.load_state_dict(meta["reader"])


def _write_shared(
    writing: Path, settings: config.Config, state: State, reader: Reader, origin: Origin, ranks: int
) -> None:
    """What is the same on every rank: averages and `meta.json`."""
    for name, average in state.averages.items():
        save_file(average.module.state_dict(), writing / f"{name}-average.safetensors")
    meta = {
        "origin": asdict(origin),
        "ranks": ranks,
        "config": config.to_tree(settings),
        "versions": versions(),
        "position": asdict(state.position),
        "reader": reader.state_dict(),
        "averaged_images": {name: average.seen_imgs for name, average in state.averages.items()},
    }
    (writing / "meta.json").write_text(json.dumps(meta, indent=1))


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
