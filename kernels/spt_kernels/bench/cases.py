"""What is timed: every op as ours, as its definition in eager torch, and as published, on the same inputs."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import spt_kernels
from spt_kernels.bench import published
from spt_kernels.bench.scene import Scene, load
from spt_kernels.bench.shapes import REGIONS, Shape
from spt_kernels.cost import Cost
from spt_kernels.norm_act import cost as norm_cost
from spt_kernels.norm_act import reference as norm_reference
from spt_kernels.packed_conv import cost as packed_cost
from spt_kernels.packed_conv import reference as packed_reference
from spt_kernels.part_masks import cost as masks_cost
from spt_kernels.part_masks import reference as masks_reference
from spt_kernels.part_warp import cost as warp_cost
from spt_kernels.part_warp import reference as warp_reference
from spt_kernels.pose_heatmaps import cost as heatmaps_cost
from spt_kernels.pose_heatmaps import reference as heatmaps_reference
from spt_kernels.semantic_gram import cost as gram_cost
from spt_kernels.semantic_gram import reference as gram_reference
from spt_kernels.tile_conv import cost as conv_cost
from spt_kernels.tile_conv import reference as conv_reference

FORWARD, BOTH = "forward", "forward + backward"
TARGETS = {
    "semantic_style_loss": 8.0,
    "part_warp": 4.0,
    "pose_maps": 30.0,
}  # published / ours, on processors, at 256x256
SIGMA_PX = 6.0
# Of the largest value: float32 sums in another order; halves also round each product and result.
TOLERANCE = {torch.float32: 2e-5, torch.float16: 4 * 2**-11, torch.bfloat16: 4 * 2**-8}


Spelling = Callable[[], Tensor | tuple[Tensor, ...]]


class Case(NamedTuple):
    """The spellings of one op on one input. `leaves` are what a backward differentiates by; `costs` by pass.

    `call` names the public op and its arguments, for another revision of it.
    """

    spellings: dict[str, Spelling]
    leaves: tuple[Tensor, ...]
    costs: dict[str, Cost]
    call: tuple[str, tuple] | None = None


def make(op: str, shape: Shape, people: Path, device: str, dtype: torch.dtype) -> Case:
    """Inputs and spellings of one op at one shape; features are random, people are those of the file."""
    scene = Scene(*(tensor.to(device) for tensor in load(people, shape.batch, shape.image_size)))
    return CASES[op](shape, scene, dtype)


def _features(shape: Shape, scene: Scene, dtype: torch.dtype, seed: int, leaf: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(*shape[:4], generator=generator).to(scene.labels.device, dtype)
    if features.is_cuda:
        features = features.to(memory_format=torch.channels_last)
    return features.requires_grad_(leaf)


def _style(shape: Shape, scene: Scene, dtype: torch.dtype) -> Case:
    fake_b, real_a, fake_a = (_features(shape, scene, dtype, seed, leaf=seed != 1) for seed in range(3))
    labels_a, labels_b = scene.labels, scene.labels.roll(1, 0).flip(2)  # another person, or the same one mirrored
    args = (fake_b, real_a, fake_a, labels_a, labels_b, list(REGIONS))

    def eager() -> Tensor:
        size = (shape.height, shape.width)
        masks_a, masks_b = (
            gram_reference.region_masks(labels, REGIONS, size, dtype) for labels in (labels_a, labels_b)
        )
        return gram_reference.semantic_style_loss(fake_b, real_a, fake_a, masks_a, masks_b)

    forward, backward = (
        cost(fake_b.detach(), labels_a, labels_b, REGIONS)
        for cost in (gram_cost.style_forward_cost, gram_cost.style_backward_cost)
    )
    spellings: dict[str, Spelling] = {
        "ours": lambda: spt_kernels.semantic_style_loss(*args),
        "eager": eager,
        "published": lambda: published.semantic_style_loss(*args),
    }
    costs = {FORWARD: forward, BOTH: _plus(forward, backward)}
    return Case(spellings, (fake_b, fake_a), costs, ("semantic_style_loss", args))


def _warp(shape: Shape, scene: Scene, dtype: torch.dtype) -> Case:
    features, size, image_size = _features(shape, scene, dtype, 0), (shape.height, shape.width), shape.image_size
    ndc = warp_reference.ndc_transforms(scene.transforms, size, image_size).to(dtype)
    masks = warp_reference.resize_masks(masks_reference.part_masks(scene.quads, image_size), size, dtype)  # given
    args = (features, scene.transforms, scene.quads, image_size)
    forward, backward = (
        cost(features.detach().cpu(), scene.transforms.cpu(), scene.quads.cpu(), image_size)
        for cost in (warp_cost.forward_cost, warp_cost.backward_cost)
    )
    spellings: dict[str, Spelling] = {
        "ours": lambda: spt_kernels.part_warp(*args),
        "eager": lambda: warp_reference.part_warp(*args),
        "published": lambda: published.part_warp(features, ndc, masks),
    }
    return Case(spellings, (features,), {FORWARD: forward, BOTH: _plus(forward, backward)}, ("part_warp", args))


def _pose_maps(shape: Shape, scene: Scene, dtype: torch.dtype) -> Case:
    size, joints, visible, quads = shape.image_size, scene.joints, scene.visible, scene.quads

    def spelled(by: object, masks: object) -> Callable[[], tuple[Tensor, ...]]:
        return lambda: (by.pose_heatmaps(joints, visible, size, SIGMA_PX), masks.part_masks(quads, size))  # pyright: ignore[reportAttributeAccessIssue]

    maps, masks = spelled(heatmaps_reference, masks_reference)()
    cost = _plus(heatmaps_cost.forward_cost(maps), masks_cost.forward_cost(masks))
    spellings: dict[str, Spelling] = {
        "ours": spelled(spt_kernels, spt_kernels),
        "eager": spelled(heatmaps_reference, masks_reference),
        "published": spelled(published, published),
    }
    return Case(spellings, (), {FORWARD: cost})


def _norm(shape: Shape, scene: Scene, dtype: torch.dtype) -> Case:
    x, groups, slope = _features(shape, scene, dtype, 0), shape.channels, 0.2
    forward, backward = norm_cost.forward_cost(x), norm_cost.backward_cost(x)
    spellings: dict[str, Spelling] = {
        "ours": lambda: spt_kernels.norm_act(x, groups, slope=slope),
        "eager": lambda: norm_reference.norm_act(x, groups, None, None, 1e-5, slope),
        "published": lambda: published.norm_act(x, groups, slope),
    }
    costs = {FORWARD: forward, BOTH: _plus(forward, backward)}
    return Case(spellings, (x,), costs, ("norm_act", (x, groups, None, None, 1e-5, slope)))


def _tile_conv(shape: Shape, scene: Scene, dtype: torch.dtype) -> Case:
    x, channels = _features(shape, scene, dtype, 0), shape.channels
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(channels, channels, 3, 3, generator=generator).to(x) / (9 * channels) ** 0.5
    args = (x, weight, None, 1, True)  # frozen, as in the losses
    cost = conv_cost.forward_cost(x.detach(), weight, x.detach())
    spellings: dict[str, Spelling] = {
        "ours": lambda: spt_kernels.tile_conv(*args),
        "eager": lambda: conv_reference.tile_conv(*args),
    }
    costs = {FORWARD: cost, BOTH: _plus(cost, cost)}
    return Case(spellings, (x,), costs, ("tile_conv", args))


def _doubling(shape: Shape, scene: Scene, dtype: torch.dtype) -> Case:
    """To a quarter of the channels, as in the decoders, with a weight that only draws."""
    x, channels = _features(shape, scene, dtype, 0, leaf=False), shape.channels
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(channels, channels // 4, 4, 4, generator=generator).to(x) / (4 * channels) ** 0.5
    args = ([x], weight, *spt_kernels.pack_transposed(weight), 0.0)
    spellings: dict[str, Spelling] = {
        "ours": lambda: spt_kernels.packed_conv_transposed(*args),
        "eager": lambda: packed_reference.packed_conv_transposed([x], weight, 0.0),
    }
    return Case(spellings, (), {FORWARD: packed_cost.transposed_cost(x, weight)}, ("packed_conv_transposed", args))


def _halving(shape: Shape, scene: Scene, dtype: torch.dtype) -> Case:
    """To twice the channels, as in the encoders, with a weight that only draws."""
    x, channels = _features(shape, scene, dtype, 0, leaf=False), shape.channels
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(2 * channels, channels, 4, 4, generator=generator).to(x) / (16 * channels) ** 0.5
    packed = spt_kernels.pack(weight)
    spellings: dict[str, Spelling] = {
        "ours": lambda: spt_kernels.packed_conv([x], weight, None, packed, 2, 0.2),
        "eager": lambda: packed_reference.packed_conv([x], weight, None, 2, 0.2),
    }
    costs = {FORWARD: packed_cost.halving_cost(x, weight)}
    return Case(spellings, (), costs, ("packed_conv", ([x], weight, None, packed, 2, 0.2)))


def _plus(a: Cost, b: Cost) -> Cost:
    return Cost(a.bytes + b.bytes, a.flops + b.flops)


CASES = {
    "semantic_style_loss": _style,
    "part_warp": _warp,
    "pose_maps": _pose_maps,
    "norm_act": _norm,
    "tile_conv": _tile_conv,
    "packed_conv": _halving,
    "packed_conv_transposed": _doubling,
}
