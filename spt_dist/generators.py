"""The two trained generators as one: batches of framed people on the device -> pictures and parsing maps.

H_S draws the parsing map of the wanted pose, H_A paints it. `infer` stands above, with people and pictures.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar, cast

import torch
from torch import nn

from spt_dist import box, config
from spt_dist.data.frame import FrameRule
from spt_dist.encodings import Encoded
from spt_dist.geometry import PartWarps, heatmaps, part_warps
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.blocks import prepare
from spt_dist.models.inputs import parsing_to_read, view
from spt_dist.models.noise import Seeded
from spt_dist.models.semantic import SemanticGenerator
from spt_dist.models.weights import load_weights
from spt_dist.types import Heatmaps, ImageBytes, Joints, LabelBytes, Parsing

Seeds: TypeAlias = Sequence[int | None]  # of each picture's noise; None: drawn without
Own = TypeVar("Own", bound="Generators")  # beartype takes `Self` in decorated classes only


class Generators:
    """H_S and H_A, loaded, with what their configuration says of how people are shown to them."""

    def __init__(self, semantic: nn.Module, appearance: nn.Module, settings: config.Config, how: FrameRule = "person"):
        self.semantic = cast(SemanticGenerator, semantic.eval())
        self.appearance = cast(AppearanceGenerator, appearance.eval())
        self.settings = settings
        self.how: FrameRule = how
        self.size = settings.data.image_size
        self.device = next(appearance.parameters()).device
        self.compiled = False

    @classmethod
    def load(cls: type[Own], folder: str | Path = box.WEIGHTS, device: str = "cpu") -> Own:
        """Read the `weights` folder of a run; by default the model in the box.

        Raises:
            ValueError: it lacks a generator, or its files do not fit its card.
        """
        modules, card = load_weights(folder)
        if missing := {"semantic", "appearance"} - modules.keys():
            raise ValueError(f"`{folder}` lacks the weights of {sorted(missing)}; train both generators first")
        settings = config.from_tree(card["config"], source=f"{folder}/card.json")
        semantic, appearance = (prepare(modules[name].to(device)) for name in ("semantic", "appearance"))
        return cls(semantic, appearance, settings, card.get("frame", "person"))

    def at(self: Own, size: tuple[int, int]) -> Own:
        """The same networks for pictures of another size (height, width), heat maps as wide in px as before."""
        settings = replace(self.settings, data=replace(self.settings.data, image_size=size))
        return type(self)(self.semantic, self.appearance, settings, self.how)

    @property
    def has_noise(self) -> bool:
        """Whether H_A has learned with noise, so that a picture's seed makes a difference."""
        return self.settings.networks.appearance.dropout > 0

    def compile(self) -> None:
        """Let Inductor compile both generators, on a GPU into CUDA graphs; the first of every batch size waits for it.

        On processors eager is as fast (results/serve_speed.json); on GPUs the gain is unmeasured.
        """
        mode = "reduce-overhead" if self.device.type == "cuda" else None
        for network in (self.semantic, self.appearance):
            for half in ("encode_source", "decode"):
                setattr(network, half, torch.compile(getattr(network, half), mode=mode, dynamic=False))
        self.compiled = True

    def draw(
        self, images: ImageBytes, labels: LabelBytes, source_joints: Joints, target_joints: Joints
    ) -> tuple[torch.Tensor, Parsing]:
        """Framed batches on the device -> images [b 3 h w] in [-1, 1], and H_S's soft parsing [b 10 h w]."""
        return self.decode_batch(self.encode_batch(images, labels, source_joints), target_joints)

    @torch.no_grad()
    def encode_batch(self, images: ImageBytes, labels: LabelBytes, joints: Joints) -> Encoded:
        """Framed sources on the device -> what `decode_batch` needs of them, whatever the poses."""
        source = view(images, labels, joints, self.settings.data.heatmap_sigma_px)
        appearance = self.appearance.encode_source(source.image, source.parsing, source.heatmaps)
        encoded = Encoded(joints, self.semantic.encode_source(source.maps), appearance)
        return encoded.clone() if self.compiled else encoded  # a CUDA graph writes over what it gave before

    @torch.no_grad()
    def decode_batch(
        self, encoded: Encoded, target_joints: Joints, parsing: Parsing | None = None, seeds: Seeds | None = None
    ) -> tuple[torch.Tensor, Parsing]:
        """Encoded sources in one pose each, painted into `parsing` where it is given, else into what H_S draws."""
        maps, warps = self._wanted(encoded, target_joints)
        if parsing is None:
            parsing = self._parsing(encoded, maps, warps)
        source = encoded.source
        if seeds is None or all(seed is None for seed in seeds):
            return self.appearance.decode(source, parsing, maps, warps), parsing
        eager = partial(AppearanceGenerator.decode, self.appearance)  # compiled code knows of no noise
        return eager(source, parsing, maps, warps, noise=Seeded(seeds)), parsing

    def _wanted(self, encoded: Encoded, joints: Joints) -> tuple[Heatmaps, PartWarps]:
        """A pose as the generators read it: heat maps, and where each part comes from."""
        maps = heatmaps(joints, self.size, self.settings.data.heatmap_sigma_px)
        return maps, part_warps(joints, encoded.joints, self.size, self.settings.networks.appearance.max_stretch)

    def _parsing(self, encoded: Encoded, maps: Heatmaps, warps: PartWarps) -> Parsing:
        logits = self.semantic.decode(encoded.maps, maps, warps)
        return parsing_to_read(logits, self.settings.networks.appearance.smooth_parsing)
