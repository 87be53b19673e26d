"""The published way of computing a step: what `spt bench train-step` and `infer` compare ours with.

Spelled from the description of the published code, not slowed down, on our networks' own parameters, so that both
ways must give the same numbers. What is different is how: a sample comes as float tensors of full size (heat maps, one
mask per part), at both sizes; a warp copies the features for every part, samples each copy whole, multiplies by masks
that OpenCV resizes on the processor for every level, and takes the maximum; norms and activations are torch's own, one
after the other; transposed convolutions are cropped; both the coarse and the fine picture are drawn whatever the
fade-in; frozen networks read one picture at a time.
"""

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from spt_kernels.bench import published
from spt_kernels.part_warp.reference import ndc_transforms
from torch import Tensor, nn
from torch.nn import functional as F

from spt_dist.config import Appearance
from spt_dist.data.schema import Batch
from spt_dist.geometry import face_transforms, heatmaps, part_masks, part_transforms
from spt_dist.models.appearance import AppearanceGenerator, LocalEnhancer
from spt_dist.models.blocks import LEAK, NORM_EPS, DownBlock, ScalarLayerNorm, UpBlock
from spt_dist.models.discriminators import PatchDiscriminator
from spt_dist.models.features import PerceptualFeatures
from spt_dist.models.inputs import foreground, halve_heatmaps, halve_image, halve_parsing, one_hot, to_float
from spt_dist.models.pose_detector import PoseDetector
from spt_dist.models.unet import Encoder, UNet
from spt_dist.types import Images

__all__ = [
    "Loaded",
    "Networks",
    "Person",
    "check_faithful",
    "detect",
    "draw",
    "features",
    "judge",
    "load",
    "stretch_faces",
    "style",
]

style = published.semantic_style_loss


class Sized(NamedTuple):
    """One person as the generator reads it at one size: picture, parsing without background, heat maps."""

    image: Images
    parsing: Float[Tensor, "b 9 h w"]
    heatmaps: Float[Tensor, "b 18 h w"]


class Person(NamedTuple):
    """One person as loaded: at the full size and at half of it, with the label map and the head box's map."""

    full: Sized
    half: Sized
    labels: UInt8[Tensor, "b h w"]
    face: Float[Tensor, "b 1 2 3"]

    def drawn(self, image: Images) -> "Person":
        """The same maps under another picture: what comes back is painted from what went there."""
        return self._replace(full=self.full._replace(image=image), half=self.half._replace(image=halve_image(image)))


class Move(NamedTuple):
    """The parts' maps in px and their masks, one float32 per pixel."""

    transforms: Float[Tensor, "b p 2 3"]
    masks: Float[Tensor, "b p h w"]


class Networks(NamedTuple):
    """Our networks, whose parameters the published way computes with."""

    appearance: AppearanceGenerator
    pose_detector: PoseDetector
    image_discriminator: PatchDiscriminator
    face_discriminator: PatchDiscriminator

    @classmethod
    def of(cls, networks: Mapping[str, nn.Module]) -> "Networks":
        """Those of them that it needs, by name."""
        return cls(*(networks[name] for name in cls._fields))  # pyright: ignore[reportArgumentType]


class Loaded(NamedTuple):
    """A pair as the published loader gives it."""

    a: Person
    b: Person
    there: Move
    back: Move

    @property
    def bytes(self) -> int:
        """Of all tensors of the pair."""
        people = (tensor for person in (self.a, self.b) for tensor in (*person.full, *person.half, *person[2:]))
        return sum(tensor.nbytes for tensor in (*people, *self.there, *self.back))


@torch.no_grad()
def load(source: Batch, target: Batch, sigma_px: float) -> Loaded:
    """Everything that the networks will read, as tensors; the published loader does this sample by sample."""
    size = (source.labels.shape[1], source.labels.shape[2])
    there = part_transforms(target.joints, source.joints, size), part_masks(target.joints, size).float()
    back = part_transforms(source.joints, target.joints, size), part_masks(source.joints, size).float()
    return Loaded(_person(source, size, sigma_px), _person(target, size, sigma_px), Move(*there), Move(*back))


def _person(batch: Batch, size: tuple[int, int], sigma_px: float) -> Person:
    full = Sized(to_float(batch.images), foreground(one_hot(batch.labels)), heatmaps(batch.joints, size, sigma_px))
    half = Sized(
        halve_image(full.image), halve_parsing(full.parsing).contiguous(), halve_heatmaps(full.heatmaps).contiguous()
    )
    return Person(full, half, batch.labels, face_transforms(batch.joints, size))


def check_faithful(appearance: Appearance) -> None:
    """Refuse a generator that the published code does not have."""
    own = ("flat_colour_input", "max_stretch", "blend")
    if found := [name for name in own if getattr(appearance, name)]:
        raise ValueError(f"`networks.appearance.{found[0]}` is our own: the published way has none; leave it out")
    if not appearance.reads_parsing:
        raise ValueError("`networks.appearance.reads_parsing` is false: the published generator reads parsing maps")


def draw(net: AppearanceGenerator, source: Person, target: Person, move: Move, alpha: float) -> Images:
    """One direction: the source's person in the target's pose and parsing."""
    images = torch.cat(source.full, dim=1), torch.cat(source.half, dim=1)
    poses = (
        torch.cat([target.full.heatmaps, target.full.parsing], dim=1),
        torch.cat([target.half.heatmaps, target.half.parsing], dim=1),
    )
    unet, local = net.global_net, net.local_net
    if local is None:
        levels = _levels(unet.source_encoder, images[0]), _levels(unet.target_encoder, poses[0])
        return torch.tanh(_conv(unet.head, F.relu(_decode(unet, *levels, move))))
    fine = [_levels(local.source_encoder, images[0]), _levels(local.target_encoder, poses[0])]
    coarse = []
    for encoder, halved, (_, second) in zip(
        (unet.source_encoder, unet.target_encoder), (images[1], poses[1]), fine, strict=True
    ):
        coarse.append(_descend(encoder, (1 - alpha) * _conv(encoder.stem, halved) + alpha * second))
    last = _decode(unet, coarse[0], coarse[1], move)
    small = torch.tanh(_conv(unet.head, F.relu(F.interpolate(last, scale_factor=2.0, mode="nearest"))))
    return alpha * _enhance(local, fine[0][0], fine[1][0], last, move) + (1 - alpha) * small


def _enhance(local: LocalEnhancer, source: Tensor, target: Tensor, last: Tensor, move: Move) -> Tensor:
    x = torch.cat([_up(local.up, last), _warp(source, move), target], dim=1)
    return torch.tanh(_conv(local.head, F.relu(x)))


def _levels(encoder: Encoder, x: Tensor) -> list[Tensor]:
    return _descend(encoder, _conv(encoder.stem, x))


def _descend(encoder: Encoder, first: Tensor) -> list[Tensor]:
    levels = [first]
    for down in encoder.downs:
        assert isinstance(down, DownBlock)
        x = F.conv2d(F.leaky_relu(levels[-1], LEAK), down.conv.weight, stride=2, padding=1)
        levels.append(_norm(down.norm, x) if isinstance(down.norm, ScalarLayerNorm) else x)
    return levels


def _decode(unet: UNet, source: list[Tensor], target: list[Tensor], move: Move) -> Tensor:
    """The features under the head, not yet rectified."""
    moved = [_warp(level, move) if i < unet.warped_levels else level for i, level in enumerate(source)]
    x = torch.cat([moved[-1], target[-1]], dim=1)
    for up, skip, other in zip(unet.ups, moved[-2::-1], target[-2::-1], strict=True):
        assert isinstance(up, UpBlock)
        x = torch.cat([_up(up, x), skip, other], dim=1)
    return x


def _up(up: UpBlock, x: Tensor) -> Tensor:
    x = F.conv_transpose2d(F.relu(x), up.conv.weight, stride=2)[:, :, 1:-1, 1:-1]
    x = _norm(up.norm, x)
    return F.dropout2d(x, up.dropout, up.training) if up.dropout else x


def _norm(norm: ScalarLayerNorm, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[1:], eps=NORM_EPS) * norm.weight + norm.bias


def _conv(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, conv.weight, conv.bias, conv.stride, padding=(conv.kernel_size[0] - 1) // 2)


def _warp(x: Tensor, move: Move) -> Tensor:
    """The masks leave for OpenCV and come back resized, for every level."""
    size, image_size = (x.shape[2], x.shape[3]), (move.masks.shape[2], move.masks.shape[3])
    masks = np.stack([
        [cv2.resize(mask, size[::-1], interpolation=cv2.INTER_LINEAR) for mask in of_sample]
        for of_sample in move.masks.numpy()
    ])  # fmt: skip
    return published.part_warp(x, ndc_transforms(move.transforms, size, image_size), torch.from_numpy(masks))


def stretch_faces(person: Person, image: Tensor) -> Tensor:
    """The head's box over the whole picture."""
    size = (image.shape[2], image.shape[3])
    grid = F.affine_grid(ndc_transforms(person.face, size, size)[:, 0], list(image.shape), align_corners=True)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def judge(net: PatchDiscriminator, x: Tensor) -> Tensor:
    """A patch discriminator's scores."""
    x = F.leaky_relu(F.conv2d(x, net.first.weight, net.first.bias, stride=2, padding=1), LEAK)
    for conv in net.middle:
        assert isinstance(conv, nn.Conv2d)
        x = F.leaky_relu(F.instance_norm(F.conv2d(x, conv.weight, stride=conv.stride, padding=1)), LEAK)
    return F.conv2d(x, net.last.weight, net.last.bias, padding=1)


def detect(net: PoseDetector, image: Tensor) -> Tensor:
    """Heat maps of one picture."""
    x = _rectified(F.conv2d(_reflect(image, 3), net.first.weight))
    for down in net.downs:
        x = _rectified(F.conv2d(x, _weight(down), stride=2, padding=1))
    for block in net.blocks:
        inner = _rectified(F.conv2d(_reflect(x, 1), _weight(block, "first.")))
        x = x + F.instance_norm(F.conv2d(_reflect(inner, 1), _weight(block, "second.")))
    for up in net.ups:
        x = _rectified(F.conv_transpose2d(x, _weight(up), stride=2, padding=1, output_padding=1))
    return torch.tanh(F.conv2d(_reflect(x, 3), net.last.weight, net.last.bias))


def _weight(module: nn.Module, within: str = "") -> Tensor:
    return module.get_parameter(f"{within}weight")


def _rectified(x: Tensor) -> Tensor:
    return F.relu(F.instance_norm(x))


def _reflect(x: Tensor, by: int) -> Tensor:
    return F.pad(x, (by, by, by, by), mode="reflect")


def features(net: PerceptualFeatures, image: Tensor) -> Tensor:
    """relu2_1 of one picture."""
    x = (image + 1) * 127.5 - net.mean
    for index in range(3):
        x = F.max_pool2d(x, 2) if index == 2 else x
        x = F.relu(F.conv2d(x, net.get_buffer(f"weight{index}"), net.get_buffer(f"bias{index}"), padding=1))
    return x * net.scale
