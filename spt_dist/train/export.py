"""The weights that a run gives away: its averaged generators with their card, for inference.

`weights` are the last ones; `weights-best` those that scored best on the validation split, by `train.best_metric`. The
card says what made them. The best are replaced while the run trains: the folder is whole or absent.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spt_dist import config
from spt_dist.data.manifest import Manifest
from spt_dist.models.weights import WHICH, save_weights
from spt_dist.train.checkpoint import HIDDEN, Origin, publish, versions
from spt_dist.train.ranks import Ranks
from spt_dist.train.start import save_networks
from spt_dist.train.state import State


def export(run: Path, settings: config.Config, state: State, origin: Origin, ranks: Ranks) -> None:
    """Write the last averages, and every network for runs that start from this one; the leader does, all wait."""
    if ranks.leads:
        save_networks(run, state.best())
        _save(run / WHICH["last"], settings, state, origin, {})
    ranks.barrier()


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
        "frame": Manifest.load(settings.data.shards).how,
        "images": state.position.images,
    }
    save_weights(folder, {name: average.module for name, average in state.averages.items()}, card | dict(more))
