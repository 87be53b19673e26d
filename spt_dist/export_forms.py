"""The generators in plain torch: what a file holds that other runtimes shall read.

Our own ops and singular value decompositions mean nothing outside. While `plain_forms` is open the networks and the
geometry compute with the ops' definitions instead, which a trace then records.
"""

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from spt_kernels.part_masks.reference import part_masks
from spt_kernels.part_warp.reference import part_warp
from spt_kernels.paths import as_on_gpu
from spt_kernels.pose_heatmaps.reference import pose_heatmaps
from torch import Tensor, nn
from torch.nn import functional as F

from spt_dist.affine import bound_stretch_directly, fit_affine_directly
from spt_dist.body import Label
from spt_dist.geometry import heatmaps, part_warps
from spt_dist.infer import Predictor
from spt_dist.models.inputs import parsing_to_read, to_bytes, to_float, to_labels
from spt_dist.types import ImageBytes, Joints, LabelBytes


class Drawing(nn.Module):
    """`Predictor.draw` from bytes and joints to bytes, as one module."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        # In training a network forgets what `prepare` kept.
        self.semantic = copy.deepcopy(predictor.semantic).train().eval().cpu()
        self.appearance = copy.deepcopy(predictor.appearance).train().eval().cpu()
        self.settings, self.size = predictor.settings, predictor.size

    def forward(
        self, image: ImageBytes, labels: LabelBytes, source_joints: Joints, target_joints: Joints
    ) -> tuple[ImageBytes, LabelBytes]:
        """The person of `image` in the pose of `target_joints`: the picture, and its parsing map."""
        networks, sigma_px = self.settings.networks, self.settings.data.heatmap_sigma_px
        parsing = (labels[:, None].int() == torch.arange(len(Label))[:, None, None]).float()
        maps = heatmaps(source_joints, self.size, sigma_px)
        source = self.appearance.encode_source(to_float(image), parsing, maps)
        source_maps = self.semantic.encode_source(torch.cat([parsing, maps], dim=1))
        wanted = heatmaps(target_joints, self.size, sigma_px)
        warps = part_warps(target_joints, source_joints, self.size, networks.appearance.max_stretch)
        logits = self.semantic.decode(source_maps, wanted, warps)
        drawn = parsing_to_read(logits, networks.appearance.smooth_parsing)
        return to_bytes(self.appearance.decode(source, drawn, wanted, warps)), to_labels(drawn)


@contextmanager
def plain_forms() -> Iterator[None]:
    """Let the networks and the geometry compute in plain torch."""
    forms = {
        "spt_dist.models.blocks.norm_act": _norm_act,
        "spt_dist.models.unet.part_warp": part_warp,
        "spt_dist.geometry.rasterise": part_masks,
        "spt_dist.geometry.pose_heatmaps": _pose_heatmaps,
        "spt_dist.geometry.fit_affine": fit_affine_directly,
        "spt_dist.geometry.bound_stretch": bound_stretch_directly,
    }
    with ExitStack() as stack:
        for name, form in forms.items():
            stack.enter_context(patch(name, form))
        stack.enter_context(as_on_gpu())
        yield


def _norm_act(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, slope: float) -> Tensor:
    assert groups == 1, "the generators normalise whole samples"
    return F.leaky_relu(F.layer_norm(x, x.shape[1:], eps=eps) * weight + bias, slope)


def _pose_heatmaps(joints: Tensor, visible: Tensor, size: tuple[int, int], sigma_px: float, out: None) -> Tensor:
    return pose_heatmaps(joints, visible, size, sigma_px)
