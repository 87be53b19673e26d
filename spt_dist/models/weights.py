"""Trained networks on disk: `{name}.safetensors` for each, and `card.json`, which says what they are.

The card holds the resolved configuration, so that the networks can be rebuilt, and whatever else their maker states
(data hash, how pictures were framed, versions). It is written last: a folder with a card is whole.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spt_dist.config import Config, from_tree
from spt_dist.models.annotator import AnnotatorNetwork
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.discriminators import PatchDiscriminator
from spt_dist.models.pose_detector import PoseDetector
from spt_dist.models.semantic import SemanticGenerator

CARD = "card.json"
WHICH = {"last": "weights", "best": "weights-best"}  # folders of a run


def save_weights(folder: str | Path, modules: Mapping[str, nn.Module], card: Mapping[str, Any]) -> None:
    """Write networks and their card; what the folder held under the same names is replaced.

    Args:
        folder: created where it is missing.
        modules: networks by name: `semantic`, `appearance`, `pose_detector`, `discriminator` or
            `annotator`.
        card: must hold "config", the tree of `config.to_tree`; "weights", the networks' names, is added.

    Raises:
        ValueError: a name that cannot be rebuilt, or a card without a configuration.
    """
    unknown = sorted(set(modules) - set(BUILDERS))
    if unknown:
        raise ValueError(f"cannot save {unknown}: weights are named {', '.join(BUILDERS)}")
    if "config" not in card:
        raise ValueError('the card has no "config"; add `config.to_tree(config)`, from which networks are rebuilt')
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    for name, module in modules.items():
        state = {key: value.detach().contiguous().cpu() for key, value in module.state_dict().items()}
        write_tensors(state, folder / f"{name}.safetensors")
    aside = folder / f"{CARD}.tmp"
    aside.write_text(json.dumps({**card, "weights": list(modules)}, indent=2) + "\n")
    os.replace(aside, folder / CARD)


def write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file for whom this process's umask allows; the library's own are its owner's alone."""
    path.touch()
    mode = path.stat().st_mode
    save_file(tensors, path)
    with suppress(PermissionError):  # a file system without permissions
        path.chmod(mode)


def weights_folder(run: str | Path, which: str = "last") -> Path:
    """Where a run keeps its generators: the last ones, or the best by `train.best_metric`.

    Raises:
        ValueError: the run has no such weights, or `which` is neither.
    """
    if which not in WHICH:
        raise ValueError(f"there are no `{which}` weights; give {' or '.join(WHICH)}")
    folder = Path(run) / WHICH[which]
    if which == "best" and not (folder / CARD).exists():
        raise ValueError(
            f"`{run}` has no best weights: they are kept while H_A trains with `train.evaluate_every_imgs` above 0; "
            "train so, or take the last ones"
        )
    return folder


def load_weights(folder: str | Path) -> tuple[dict[str, nn.Module], dict[str, Any]]:
    """Rebuild the networks of a folder, on the CPU, in evaluation mode; gives them by name, and the card.

    Raises:
        ValueError: a file is missing or unreadable, or does not fit the configuration in the card.
    """
    folder = Path(folder)
    card = _read_card(folder / CARD)
    config = from_tree(card["config"], source=str(folder / CARD))
    modules = {}
    for name in card["weights"]:
        if name not in BUILDERS:
            raise ValueError(f"`{folder / CARD}` lists `{name}`; this version knows {', '.join(BUILDERS)}")
        modules[name] = _load(folder / f"{name}.safetensors", name, config)
    return modules, card


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(
            f"cannot read `{path}`: {error.strerror}; give the `weights` folder of a run that has finished a stage"
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"`{path}` is not valid JSON ({error}); copy the folder again or train again") from None
    missing = [key for key in ("config", "weights") if key not in card]
    if missing:
        raise ValueError(f"`{path}` lacks {missing}; it was not written by `save_weights`")
    return card


def _load(path: Path, name: str, config: Config) -> nn.Module:
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot read `{path}`: {error}; the card lists it: copy the whole folder again") from None
    module = BUILDERS[name](config, state)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"`{path}` does not fit the configuration in its card: {error}") from None
    return module.eval()


def _semantic(config: Config, state: Mapping[str, Tensor]) -> nn.Module:
    return SemanticGenerator(config.networks.semantic)


def _appearance(config: Config, state: Mapping[str, Tensor]) -> nn.Module:
    return AppearanceGenerator(config.networks.appearance)


def _pose_detector(config: Config, state: Mapping[str, Tensor]) -> nn.Module:
    return PoseDetector(config.networks.pose_detector)


def _annotator(config: Config, state: Mapping[str, Tensor]) -> nn.Module:
    if config.networks.annotator is None:
        raise ValueError("the card lists an annotator but its configuration has no `networks.annotator`")
    return AnnotatorNetwork(config.networks.annotator)


def _discriminator(config: Config, state: Mapping[str, Tensor]) -> nn.Module:
    if "first.weight" not in state:
        raise ValueError("`discriminator.safetensors` has no `first.weight`; it is not a PatchDiscriminator's")
    return PatchDiscriminator(state["first.weight"].shape[1], config.networks.discriminator.widths)


BUILDERS = {
    "semantic": _semantic,
    "appearance": _appearance,
    "pose_detector": _pose_detector,
    "discriminator": _discriminator,
    "annotator": _annotator,
}
