"""`tile_conv` for processors: tiles of 6x6 numbers by compiled loops, and one matrix product for each number."""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from spt_kernels import native
from spt_kernels.tile_conv import reference

SIDE = 6  # numbers along a tile


def forward(x: Tensor, weight: Tensor, padding: int, reflect: bool) -> Tensor:
    """The convolution of contiguous float32 maps."""
    return forward_spread(x, spread(weight), weight.shape[2], padding, reflect)


def forward_spread(x: Tensor, weight: Tensor, kernel: int, padding: int, reflect: bool) -> Tensor:
    """The convolution with a weight that is spread already."""
    (b, _, h, w), outputs = x.shape, weight.shape[1]
    size = h + 2 * padding - kernel + 1, w + 2 * padding - kernel + 1
    tiles = _multiply(weight, _gather(x, kernel, padding, reflect, size))
    return _scatter(tiles, (b, outputs, *size), kernel, 0, False, size, windows=False)


def backward_data(grad: Tensor, weight: Tensor, size: tuple[int, int], padding: int, reflect: bool) -> Tensor:
    """Gradient of maps of `size`."""
    b, _, *shape = grad.shape
    kernel, out = weight.shape[2], (shape[0], shape[1])
    tiles = torch.bmm(spread(weight).transpose(1, 2), _gather(grad, kernel, 0, False, out, windows=False))
    return _scatter(tiles, (b, weight.shape[1], *size), kernel, padding, reflect, out)


def backward_weight(grad: Tensor, x: Tensor, kernel: int, padding: int, reflect: bool) -> Tensor:
    """Gradient of the weight."""
    out = grad.shape[2], grad.shape[3]
    outer = _gather(grad, kernel, 0, False, out, windows=False)
    inner = _gather(x, kernel, padding, reflect, out)
    tiles = torch.bmm(outer, inner.transpose(1, 2))  # [36 o c]
    return (tiles.flatten(1).t() @ _kernel_matrix(kernel)).view(grad.shape[1], x.shape[1], kernel, kernel)


def spread(weight: Tensor) -> Tensor:
    """G w G' of every kernel: [36 o c]."""
    outputs, inputs, kernel, _ = weight.shape
    return (_kernel_matrix(kernel) @ weight.reshape(outputs * inputs, -1).t()).view(SIDE * SIDE, outputs, inputs)


@cache
def _kernel_matrix(kernel: int) -> Tensor:
    """G on both sides at once: [36, k k]."""
    g = reference.transforms(kernel)[1]
    return torch.kron(g, g).float()


def _multiply(weight: Tensor, tiles: Tensor) -> Tensor:
    """[36 o c] times [36 c n], as a 1x1 convolution in groups: on some processors `bmm` takes 1.7 times as long."""
    (numbers, outputs, channels), n = weight.shape, tiles.shape[2]
    maps, kernels = tiles.view(1, numbers * channels, 1, n), weight.view(numbers * outputs, channels, 1, 1)
    return conv2d(maps, kernels, groups=numbers).view(numbers, outputs, n)


def _gather(
    planes: Tensor, kernel: int, padding: int, reflect: bool, out: tuple[int, int], windows: bool = True
) -> Tensor:
    """Maps as tiles [36, c, b n]: of overlapping windows (B), or of a result's own pixels (A)."""
    b, c, h, w = planes.shape
    step, down, across = _grid(kernel, out)
    tiles = planes.new_empty(SIDE * SIDE, c, b * down * across)
    side = SIDE if windows else step
    native.call("spt_tile_conv_gather", planes, tiles, b, c, h, w, side, step, padding, int(reflect), down, across)
    return tiles


def _scatter(
    tiles: Tensor,
    shape: tuple[int, int, int, int],
    kernel: int,
    padding: int,
    reflect: bool,
    out: tuple[int, int],
    windows: bool = True,
) -> Tensor:
    """Tiles as maps of `shape`: the adjoint of `_gather`."""
    step, down, across = _grid(kernel, out)
    planes, side = tiles.new_empty(shape), SIDE if windows else step
    native.call("spt_tile_conv_scatter", tiles, planes, *shape, side, step, padding, int(reflect), down, across)
    return planes


def _grid(kernel: int, out: tuple[int, int]) -> tuple[int, int, int]:
    """Pixels of the result along a tile, and tiles down and across."""
    step = SIDE + 1 - kernel
    return step, -(-out[0] // step), -(-out[1] // step)
