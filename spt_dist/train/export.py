"""The weights that a run gives away: its averaged generators with their card, for inference.

`weights` are the last ones; `weights-best` those that scored best on the validation split, by `train.best_metric`. The
card says what made them. The best are replaced while the run trains: the folder is whole or absent.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from spt_dist import config
from spt_dist.models.weights import WHICH, save_weights
from spt_dist.train.checkpoint import HIDDEN, Origin, damage, load_averages, publish, read_meta, versions
from spt_dist.train.engine import PlainEngine, read_parameters
from spt_dist.train.ranks import Ranks
from spt_dist.train.start import save_networks
from spt_dist.train.state import State, build_state

EMPTY: Mapping[str, Any] = MappingProxyType({})


def export(
    run: Path, settings: config.Config, state: State, origin: Origin, ranks: Ranks, more: Mapping[str, Any] = EMPTY
) -> None:
    """Write the last averages, and every network for runs that start from this one; the leader does, all wait."""
    with ExitStack() as complete:
        for engine in state.engines.values():
            complete.enter_context(engine.whole())
        if ranks.leads:
            save_networks(run, state.best())
    if ranks.leads:
        _save(run / WHICH["last"], settings, state, origin, more)
    ranks.barrier()


def export_checkpoint(path: Path, out: Path) -> None:
    """Make a run's folder of a checkpoint: its weights, its networks and its configuration.

    Raises:
        ValueError: `path` is damaged, or `out` holds something.
    """
    wrong = damage(path)
    if wrong:
        raise ValueError(f"`{path}` is damaged: {'; '.join(wrong)}; export another, `spt checkpoint ls` lists them")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"`{out}` holds something already; name another folder")
    meta = read_meta(path)
    settings = config.from_tree(meta["config"], source=str(path))
    alone = replace(settings, train=replace(settings.train, start_from={}))
    state = build_state(alone, lambda network: PlainEngine(network, settings.train), torch.device("cpu"))
    for name, engine in state.engines.items():
        engine.module.load_state_dict(read_parameters(path / name))
    load_averages(path, state)
    export(out, settings, state, Origin(**meta["origin"]), Ranks(), {"versions": meta["versions"]})
    (out / "config.json").write_text(json.dumps(meta["config"], indent=1))


def export_best(run: Path, settings: config.Config, state: State, origin: Origin, chosen_by: Mapping[str, Any]) -> None:
    """Replace the best averages; `chosen_by` says in the card by which score. The leading rank calls it."""
    final = run / WHICH["best"]
    writing = final.with_name(HIDDEN + final.name)
    shutil.rmtree(writing, ignore_errors=True)
    _save(writing, settings, state, origin, {"chosen_by": dict(chosen_by)})
    publish(writing, final)


def _save(folder: Path, settings: config.Config, state: State, origin: Origin, more: Mapping[str, Any]) -> None:
    card = {
        "config": config.to_tree(settings),
        "versions": versions(),
        "data_hash": origin.data_hash,
        "frame": origin.frame,
        "images": state.position.images,
    }
    save_weights(folder, {name: average.module for name, average in state.averages.items()}, card | dict(more))
