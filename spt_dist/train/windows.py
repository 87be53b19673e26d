"""Windows of pictures, which the annotator learns from: near, far and beside the person, in other light.

A photo comes to the annotator twice, whole and then cut to the person it has found, so it must know both: a person who
fills a third of the picture somewhere in it, and one whose feet or head are cut off. A window has the annotator's size;
the person's frame (`data.frame`) has a random share of its height and lies at a random place in it. What lies beyond
the picture follows the frame's rule: the image repeats its outermost pixels, labels are background; a joint outside the
window is missing. Mirroring is the reader's work (`data.flip`).

All of it is a function of seed, position and the sample's row in the whole batch, like dropout (`models.noise`).
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from spt_dist.body import MISSING
from spt_dist.config import Annotator
from spt_dist.data.frame import MARGIN, SMALLEST_BOX
from spt_dist.data.schema import Batch
from spt_dist.models.noise import Rows
from spt_dist.types import ImageBytes, Joints

PURPOSE = int.from_bytes(b"windows")
ASIDE = 0.1  # of the window: how far from its middle a person's lies at most, where the person fills it
ELSEWHERE = 0.35  # of the share of the window that the person leaves free: how much further
GAIN, COLOUR_GAIN, SHIFT = 0.3, 0.1, 0.25  # contrast, contrast of each colour, brightness (of half the range), at most
FINER = 2  # samples across a pixel, against aliasing where the window is far larger than its pixels

Windows = Float[Tensor, "b 3"]  # middle x, middle y and height in px of the picture


def random_windows(batch: Batch, network: Annotator, rows: Rows) -> Batch:
    """A window of each sample's picture, of the network's size, in other light."""
    draws = _draws(rows, 8).to(batch.images.device)
    seen = look_through(batch, draw_windows(batch, network, draws[:, :3]), network.size)
    return seen._replace(images=_relit(seen.images, draws[:, 3:]))


def draw_windows(batch: Batch, network: Annotator, draws: Float[Tensor, "b 3"]) -> Windows:
    """Windows by three numbers in [0, 1): the person's size (its logarithm is even), and where in the window it is."""
    picture = (batch.labels.shape[1], batch.labels.shape[2])
    middle, height = _person(batch.joints, picture, network.size)
    low, high = network.scales
    share = low * (high / low) ** draws[:, 0]
    tall = height / share
    free = torch.stack([tall * network.size[1] / network.size[0], tall], 1)
    moved = (draws[:, 1:] * 2 - 1) * (ASIDE + ELSEWHERE * (1 - share[:, None]).clamp(min=0)) * free
    return torch.cat([middle + moved, tall[:, None]], 1)


def look_through(batch: Batch, windows: Windows, size: tuple[int, int]) -> Batch:
    """What is seen in the windows at `size` (height, width), whose shape they have."""
    shape = torch.tensor([size[1], size[0]], device=windows.device)
    scale = windows[:, 2:] / size[0]  # px of the picture to a pixel of the window
    edge = windows[:, :2] - scale * shape / 2  # left and top
    finer = (size[0] * FINER, size[1] * FINER)
    images = _sample(batch.images.permute(0, 3, 1, 2).float(), edge, scale / FINER, finer, "bilinear", "border")
    images = avg_pool2d(images, FINER).round().to(torch.uint8).permute(0, 2, 3, 1)
    labels = _sample(batch.labels[:, None].float(), edge, scale, size, "nearest", "zeros")  # zeros: the background
    xy = (batch.joints[..., :2] - edge[:, None]) / scale[:, None] - 0.5
    seen = (batch.joints[..., 2] > 0) & ((xy >= -0.5) & (xy < shape - 0.5)).all(-1)
    moved = torch.cat([xy, torch.ones_like(xy[..., :1])], -1)
    joints = torch.where(seen[..., None], moved, batch.joints.new_tensor(MISSING))
    return Batch(batch.ids, images, labels[:, 0].to(torch.uint8), joints)


def _sample(
    maps: Tensor, edge: Float[Tensor, "b 2"], scale: Float[Tensor, "b 1"], size: tuple[int, int], how: str, beyond: str
) -> Tensor:
    """Maps [b c h w] at `size` places `scale` px apart, the first half a step from `edge`."""
    height, width = maps.shape[2:]
    steps = torch.meshgrid(
        *(torch.arange(length, device=maps.device) + 0.5 for length in (size[1], size[0])), indexing="xy"
    )
    px = edge[:, None, None] + torch.stack(steps, -1) * scale[:, None, None]
    grid = (2 * px + 1) / torch.tensor([width, height], device=maps.device) - 1
    return grid_sample(maps, grid, mode=how, padding_mode=beyond, align_corners=False)


def _person(
    joints: Joints, picture: tuple[int, int], size: tuple[int, int]
) -> tuple[Float[Tensor, "b 2"], Float[Tensor, "b"]]:
    """Middle and height of the frame round each person, by the rule of `frame.window`, in px of the picture."""
    places, visible = joints[..., :2], joints[..., 2:] > 0
    low = places.masked_fill(~visible, torch.inf).amin(1) - 0.5
    high = places.masked_fill(~visible, -torch.inf).amax(1) + 0.5
    extent = high - low
    reach = extent / 2 + MARGIN * extent.amax(1, keepdim=True)
    reach = reach.clamp(min=SMALLEST_BOX * max(picture) / 2)
    whole = torch.tensor([picture[1], picture[0]], device=joints.device) / 2
    several = visible.sum(1) > 1
    middle = torch.where(several, (low + high) / 2, whole - 0.5)
    reach = torch.where(several, reach, whole)
    return middle, 2 * torch.maximum(reach[:, 1], reach[:, 0] * size[0] / size[1])


def _relit(images: ImageBytes, draws: Float[Tensor, "b 5"]) -> ImageBytes:
    """Pictures in other light, by five numbers in [0, 1): contrast, of each colour too, and brightness."""
    gain = 1 + GAIN * (2 * draws[:, :1] - 1) + COLOUR_GAIN * (2 * draws[:, 1:4] - 1)
    shift = 127.5 * SHIFT * (2 * draws[:, 4:] - 1)
    relit = (images.float() - 127.5) * gain[:, None, None] + 127.5 + shift[:, None, None]
    return relit.round().clamp(0, 255).to(torch.uint8)


def _draws(rows: Rows, numbers: int) -> Float[Tensor, "b n"]:
    """Numbers in [0, 1) for each of the rows."""
    seed = np.random.SeedSequence((*rows.key, PURPOSE)).generate_state(1, np.uint64)[0]
    drawn = torch.rand(rows.batch, numbers, generator=torch.Generator().manual_seed(int(seed)))
    return drawn[rows.first : rows.first + rows.number]
