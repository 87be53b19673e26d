"""Published checkpoints -> our networks: `latest_net_G.pth` and its like, by the names of their parameters.

Nothing is guessed from order: each published name has one of ours. Left behind, with a line in the log, are running
statistics (our instance norms use the picture's own) and biases in front of an instance norm (which subtracts them).
"""

import hashlib
import logging
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spt_dist import config
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.discriminators import PatchDiscriminator
from spt_dist.models.pose_detector import PoseDetector
from spt_dist.models.weights import save_weights

State = dict[str, Tensor]
# What torch's restricted unpickler raises on files that are not checkpoints, or that hold more than tensors.
UNPICKLING_ERRORS = (
    pickle.UnpicklingError, EOFError, RuntimeError, LookupError, AttributeError, TypeError, ValueError, AssertionError
)  # fmt: skip
RUNNING_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

logger = logging.getLogger(__name__)


class Converted(NamedTuple):
    """A network in our form: what it is saved as, the module with its weights, and its configuration."""

    name: str
    module: nn.Module
    networks: config.Networks


def read_checkpoint(path: str | Path) -> State:
    """Tensors by published name; nothing in the file is executed, running statistics are left out.

    Raises:
        ValueError: the file is missing, is not a checkpoint of plain tensors, or holds anything else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"cannot read the checkpoint `{path}`: {error.strerror}") from None
    except UNPICKLING_ERRORS as error:
        reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        raise ValueError(
            f"`{path}` is not a checkpoint of plain tensors: {reason}; give the `.pth` as published"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"`{path}` does not hold tensors by name; give the network's own state, as `latest_net_G.pth`")
    dropped = [name for name in state if name.endswith(RUNNING_STATISTICS)]
    if dropped:
        logger.warning(
            "`%s`: left out %d running statistics of instance norms (`%s`, ...); ours use the picture's own",
            path, len(dropped), dropped[0],
        )  # fmt: skip
    return {name: value for name, value in state.items() if name not in dropped}


def convert(path: str | Path, kind: str, out_folder: str | Path) -> None:
    """Read a published checkpoint and write it as safetensors with a card, for `weights.load_weights`.

    `kind` is "generator", "discriminator" or "pose_detector".

    Raises:
        ValueError: the file cannot be read, or its parameters are not those of a `kind`.
    """
    if kind not in CONVERTERS:
        raise ValueError(f"cannot convert a `{kind}`; kinds are {', '.join(CONVERTERS)}")
    converted = CONVERTERS[kind](read_checkpoint(path))
    card = {
        "config": config.to_tree(config.Config(networks=converted.networks)),
        "converted_from": {"file": Path(path).name, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()},
    }
    save_weights(out_folder, {converted.name: converted.module}, card)


def convert_generator(state: Mapping[str, Tensor]) -> Converted:
    """The published generator, global network and local enhancer, as `AppearanceGenerator`; any widths.

    Raises:
        ValueError: names that are missing or unexpected, or shapes that do not belong together.
    """
    stem = "model_global.encoder_app.net.0.weight"
    rest = _indexed(state, r"model_global\.encoder_app\.net\.(\d+)\.net\.1\.weight")
    widths = tuple(state[name].shape[0] for name in ([stem] if stem in state else []) + rest)
    if len(widths) < 2:
        raise ValueError(f"the checkpoint has no global encoder (`{stem}`, ...): it is not a published generator")
    shape = config.Appearance(widths=widths, local_enhancer=True, warped_levels=min(4, len(widths)))
    names = dict(_generator_names(len(widths)))
    networks = config.Networks(appearance=shape)
    return Converted("appearance", _filled(AppearanceGenerator(shape), state, names), networks)


def convert_discriminator(state: Mapping[str, Tensor]) -> Converted:
    """A published patch discriminator as `PatchDiscriminator`; any widths.

    Raises:
        ValueError: names that are missing or unexpected, or shapes that do not belong together.
    """
    convolutions = _indexed(state, r"model\.(\d+)\.weight")
    if len(convolutions) < 3 or convolutions[0] != "model.0.weight":
        raise ValueError("the checkpoint has no `model.0.weight`, `model.2.weight`, ...: it is not a discriminator")
    widths = tuple(state[name].shape[0] for name in convolutions[:-1])
    names = {"model.0.weight": "first.weight", "model.0.bias": "first.bias"}
    for i in range(len(widths) - 1):
        names |= {f"model.{2 + 3 * i}.weight": f"middle.{i}.weight", f"model.{2 + 3 * i}.bias": ""}
    end = 3 * len(widths) - 1
    names |= {f"model.{end}.weight": "last.weight", f"model.{end}.bias": "last.bias"}
    module = PatchDiscriminator(state["model.0.weight"].shape[1], widths)
    networks = config.Networks(discriminator=config.Discriminator(widths=widths))
    return Converted("discriminator", _filled(module, state, names), networks)


def convert_pose_detector(state: Mapping[str, Tensor]) -> Converted:
    """A published pose detector as `PoseDetector`; any width and number of blocks.

    Raises:
        ValueError: names that are missing or unexpected, or shapes that do not belong together.
    """
    blocks = len(_indexed(state, r"model\.(\d+)\.conv_block\.1\.weight"))
    if "model.1.weight" not in state or not blocks:
        raise ValueError("the checkpoint has no `model.1.weight` or no `conv_block`: it is not a pose detector")
    shape = config.PoseDetector(width=state["model.1.weight"].shape[0], blocks=blocks)
    normed = {"model.1": "first", "model.4": "downs.0", "model.7": "downs.1"}
    for i in range(blocks):
        normed |= {f"model.{10 + i}.conv_block.{j}": f"blocks.{i}.{part}" for j, part in ((1, "first"), (5, "second"))}
    end = 10 + blocks
    normed |= {f"model.{end}": "ups.0", f"model.{end + 3}": "ups.1"}
    names = {f"{theirs}.weight": f"{ours}.weight" for theirs, ours in normed.items()}
    names |= {f"{theirs}.bias": "" for theirs in normed}
    names |= {f"model.{end + 7}.weight": "last.weight", f"model.{end + 7}.bias": "last.bias"}
    networks = config.Networks(pose_detector=shape)
    return Converted("pose_detector", _filled(PoseDetector(shape), state, names), networks)


CONVERTERS: dict[str, Callable[[Mapping[str, Tensor]], Converted]] = {
    "generator": convert_generator,
    "discriminator": convert_discriminator,
    "pose_detector": convert_pose_detector,
}


def _generator_names(levels: int) -> Iterator[tuple[str, str]]:
    """Pairs (published name, our name) of a generator with so many global levels."""
    yield from _encoder_names("model_global.encoder_app", "global_net.source_encoder", levels, norm_last=False)
    yield from _encoder_names("model_global.encoder_pose", "global_net.target_encoder", levels, norm_last=False)
    yield from _encoder_names("model_local_encoder_app", "local_net.source_encoder", 2, norm_last=True)
    yield from _encoder_names("model_local_encoder_pose", "local_net.target_encoder", 2, norm_last=True)
    ups = [(f"model_global.decoder.net.{i}", f"global_net.ups.{i}") for i in range(levels - 1)]
    for theirs, ours in [*ups, ("model_local_decoder.net.0", "local_net.up")]:
        yield f"{theirs}.net.1.weight", f"{ours}.conv.weight"
        yield f"{theirs}.net.3.weight", f"{ours}.norm.weight"
        yield f"{theirs}.net.3.bias", f"{ours}.norm.bias"
    heads = [(f"model_global.decoder.net.{levels}", "global_net.head"), ("model_local_decoder.net.2", "local_net.head")]
    for theirs, ours in heads:
        yield f"{theirs}.weight", f"{ours}.weight"
        yield f"{theirs}.bias", f"{ours}.bias"


def _encoder_names(theirs: str, ours: str, levels: int, norm_last: bool) -> Iterator[tuple[str, str]]:
    yield f"{theirs}.net.0.weight", f"{ours}.stem.weight"
    yield f"{theirs}.net.0.bias", f"{ours}.stem.bias"
    for level in range(1, levels):
        yield f"{theirs}.net.{level}.net.1.weight", f"{ours}.downs.{level - 1}.conv.weight"
        if level < levels - 1 or norm_last:
            yield f"{theirs}.net.{level}.net.2.weight", f"{ours}.downs.{level - 1}.norm.weight"
            yield f"{theirs}.net.{level}.net.2.bias", f"{ours}.downs.{level - 1}.norm.bias"


def _indexed(state: Mapping[str, Tensor], pattern: str) -> list[str]:
    """The names that match, by the number in them."""
    matches = [match for name in state if (match := re.fullmatch(pattern, name))]
    return [match.string for match in sorted(matches, key=lambda match: int(match[1]))]


def _filled(module: nn.Module, state: Mapping[str, Tensor], names: Mapping[str, str]) -> nn.Module:
    """The module with the checkpoint's values, by {published name: ours, or "" for what has no effect}."""
    missing, unexpected = sorted(set(names) - set(state)), sorted(set(state) - set(names))
    if missing or unexpected:
        raise ValueError(
            f"the checkpoint is not a published {type(module).__name__}: missing {missing or 'nothing'}, "
            f"unexpected {unexpected or 'nothing'}"
        )
    without_effect = [name for name, ours in names.items() if not ours]
    if without_effect:
        logger.warning(
            "left out %d biases in front of an instance norm (`%s`, ...): without effect",
            len(without_effect), without_effect[0],
        )  # fmt: skip
    try:
        module.load_state_dict({ours: state[theirs].float() for theirs, ours in names.items() if ours})
    except RuntimeError as error:
        raise ValueError(f"the checkpoint's shapes do not belong together: {error}") from None
    return module
