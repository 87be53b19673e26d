"""What torch cannot know of our kernels: their flops, and the memory that they take while they run.

Flops are those of each op's `cost.py` where these follow from shapes. How many parts cover a pixel, and how many pixels
lie in a region of the style loss, depends on the people; the shares here were counted on people of `spt draw`. A tiled
convolution counts as a direct one.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from spt_kernels.norm_act.cost import backward_cost as norm_backward
from spt_kernels.norm_act.cost import forward_cost as norm_forward
from spt_kernels.pose_heatmaps.cost import forward_cost as heatmaps_forward
from spt_kernels.tile_conv.cost import forward_cost as tile_forward
from torch import Tensor

PARTS_A_PIXEL = 1.25  # parts of the body that cover a pixel, itself included
IN_A_REGION = 0.25  # of all pixels: those with a label of `body.STYLE_LABELS`
WARP_FLOPS, MASK_FLOPS = 10, 40  # as in the ops' `cost.py`: a bilinear sample; four edges of a pixel
SIDE = 6  # numbers along a tile of a tiled convolution

ops = torch.ops.spt_kernels


def _raw(formula: Callable[..., float]) -> Callable[..., int]:
    """A formula of tensors, as torch's counter calls it; not of shapes, which it would otherwise be given."""

    def count(*args: Any, out_val: Any = None, **_: Any) -> int:
        return int(formula(*args, out=out_val))

    count._get_raw = True  # type: ignore[attr-defined]
    return count


def _grams(features: Tensor, number: int) -> float:
    b, c, h, w = features.shape
    return number * 2 * c * c * b * h * w * IN_A_REGION


FLOPS: dict[Any, Callable[..., int]] = {
    ops.norm_act: _raw(lambda x, *_, out: norm_forward(x).flops),
    ops.norm_act_backward: _raw(lambda grad, x, *_, out: norm_backward(x).flops),
    ops.part_warp: _raw(lambda x, *_, out: WARP_FLOPS * PARTS_A_PIXEL * x.numel()),
    ops.part_warp_backward: _raw(lambda grad, *_, out: WARP_FLOPS * PARTS_A_PIXEL * grad.numel()),
    ops.part_masks: _raw(lambda quads, *_, out: MASK_FLOPS * PARTS_A_PIXEL / out.shape[1] * out.numel()),
    ops.pose_heatmaps: _raw(lambda joints, visible, sigma, maps, out: heatmaps_forward(maps).flops),
    ops.semantic_gram: _raw(lambda x, *_, out: _grams(x, 1)),
    ops.semantic_gram_backward: _raw(lambda pulls, x, *_, out: _grams(x, 1)),
    ops.semantic_style_loss: _raw(lambda x, *_, out: _grams(x, 3)),
    ops.tile_conv: _raw(lambda x, weight, *_, out: tile_forward(x, weight, out).flops),
    ops.tile_conv_backward_data: _raw(lambda grad, weight, *_, out: 2 * prod(weight.shape[1:]) * grad.numel()),
    ops.tile_conv_backward_weight: _raw(lambda grad, *_, out: 2 * prod(out.shape[1:]) * grad.numel()),
}


def workspace_bytes(func: Any, args: tuple) -> int:
    """Bytes that one of our ops takes on a processor beside its inputs and results, and gives back at its end.

    Those of torch's own operations (oneDNN's, cuDNN's) are their libraries' business and not counted.
    """
    packet = func._overloadpacket
    if packet in (ops.tile_conv, ops.tile_conv_backward_data):
        maps, weight = args[:2]
        return _tiles_bytes(maps, weight.shape[0], weight.shape[1], weight.shape[2])
    if packet is ops.tile_conv_backward_weight:
        grad, x, kernel = args[:3]
        return _tiles_bytes(grad, grad.shape[1], x.shape[1], kernel)
    if packet is ops.norm_act_backward:
        return (1 if args[-1] == 1 else 2) * args[1].nbytes  # what it was before the activation, and its gradient
    return 0


def _tiles_bytes(maps: Tensor, outputs: int, inputs: int, kernel: int) -> int:
    """Both maps as tiles, and the weight spread over the 36 numbers of one; float32."""
    step = SIDE + 1 - kernel
    tiles = maps.shape[0] * -(-maps.shape[2] // step) * -(-maps.shape[3] // step)
    return 4 * SIDE**2 * (tiles * (outputs + inputs) + outputs * inputs)
