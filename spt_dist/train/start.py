"""Starting from another run's networks: what one run has learned, others need not learn again.

A finished run keeps all its networks, the generators averaged, in `RUN/networks`; a new run names in `train.start_from`
which network it takes from which run. Optimizers start afresh.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from spt_dist.models.weights import write_tensors

FOLDER = "networks"


def save_networks(run: Path, networks: Mapping[str, nn.Module]) -> None:
    """Write every network to `run/networks/NAME.safetensors`, each whole or as it was."""
    folder = run / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, network in networks.items():
        aside = folder / f"{name}.tmp"
        write_tensors({key: value.detach().contiguous().cpu() for key, value in network.state_dict().items()}, aside)
        os.replace(aside, folder / f"{name}.safetensors")


def load_networks(networks: Mapping[str, nn.Module], start_from: Mapping[str, str]) -> None:
    """Give each network that `start_from` names the weights that it has in the run named there.

    Raises:
        ValueError: no such network, a run that has not finished, or one whose network has another shape.
    """
    for name, run in start_from.items():
        if name not in networks:
            raise ValueError(f"`train.start_from` names `{name}`; a run trains {', '.join(networks)}")
        path = Path(run) / FOLDER / f"{name}.safetensors"
        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(
                f"cannot read `{path}`, from which `train.start_from` takes `{name}`: {error}; name a finished run"
            ) from None
        try:
            networks[name].load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(
                f"`{name}` in `{run}` has another shape than this run's: {str(error).splitlines()[-1].strip()}; "
                f"give both the same `networks` settings, or drop it from `train.start_from`"
            ) from None
