"""What the processor at hand does in a second, measured when it is asked, on one thread.

Every kind of operation is timed alone, on maps of its own and not those of any network: convolutions by kernel, stride,
direction and channels, on a grid that other channels are interpolated in; our kernels; the slower of torch's maps; what
is left as a sum of two maps. A sample is traced like a step (`trace`), so both sides count flops and bytes alike.
Seconds are the thread's own processor time: what other programs do meanwhile counts only through the caches.
"""

import math
import os
import time
from collections.abc import Callable
from functools import cache
from itertools import product

import torch
from spt_kernels import keep_memory
from torch import Tensor

from spt_dist.plan.gpus import CPU, ETHERNET, GLOO
from spt_dist.plan.samples import ARITHMETIC, SAMPLES, Call
from spt_dist.plan.trace import Op, Trace

CHANNELS = (1, 3, 16, 64, 256)  # of the grid
LANES = 16  # float32 numbers in a vector: other channels are padded to multiples
BATCH, REPEATS = 8, 2
WIDTHS = ((16, 64), (64, 32), (256, 16))  # of a wide map in px, by the most channels
SIDES = (16, 128, 320)  # px of other samples' maps: of the nearest cache, of a further one, of memory
# Numbers written between two samples, so that the next one's have left the nearest cache; more where memory decides.
EVICTED, FORGOTTEN = 1 << 20, 1 << 22
Table = dict[tuple[int, int], tuple[tuple[float, float], tuple[float, float]]]


class Cpu:
    """Seconds of operations on this processor; what it has not been asked before, it measures."""

    name = CPU
    host_s = 0.0  # a processor launches nothing: what an operation costs beside its work is in `seconds`
    reads_ahead = False  # samples are decoded by the core that computes
    inside, between = GLOO, ETHERNET

    def __init__(self) -> None:
        self.per_node = os.cpu_count() or 1
        self.memory_bytes = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        self.usable_bytes = self.memory_bytes / self.per_node
        keep_memory()
        torch.set_num_threads(1)
        self.operation_s = _operation_s()
        self._rate, self._tables, self._arithmetic = cache(_rate), cache(_convolution_table), cache(_arithmetic_rate)

    def seconds(self, op: Op) -> float:
        """Of one operation."""
        if op.name == "view":
            return self.operation_s / 2
        if op.detail:
            return self.operation_s + self._convolution_s(op)
        if op.name in ARITHMETIC:
            return self.operation_s + op.flops * self._arithmetic(op.name)
        name = op.name if op.name in SAMPLES else "add"
        small, large = self._rate(name, SIDES[0]), self._rate(name, SIDES[1])
        if op.bytes > large[0]:
            small, large = large, self._rate(name, SIDES[2])
        return self.operation_s + op.bytes * _between(op.bytes, small, large)

    def _convolution_s(self, op: Op) -> float:
        kernel, stride, transposed, inputs, outputs, wanted = op.detail
        table = self._tables(op.name, kernel, stride, transposed, wanted)
        padding = _padded(inputs) / inputs * _padded(outputs) / outputs
        pixels = op.flops / _flops_a_pixel(op.detail)
        return op.flops * padding * _interpolated(table, _padded(inputs), _padded(outputs), pixels)


def _operation_s() -> float:
    """Seconds of an operation beside its work: Python, autograd and dispatch, on maps of eight numbers."""
    weight, x = torch.zeros(8, requires_grad=True), torch.zeros(8)

    def chain() -> None:
        y = x
        for _ in range(20):
            y = torch.cat([(y * weight + x).view(2, 4).flatten(), x])[:8].clamp(min=0)
        y.sum().backward()

    trace = Trace()
    with trace:
        chain()
    work = sum(0.5 if op.name == "view" else 1.0 for op in trace.ops)
    return _seconds(chain) / work


def _seconds(call: Call, evicted: int = 1) -> float:
    """The least processor seconds of a call, after as many other numbers have been written."""
    call()
    least, others = math.inf, torch.empty(evicted)
    for _ in range(REPEATS):
        others.fill_(0)
        start = time.thread_time()
        call()
        least = min(least, time.thread_time() - start)
    return least


def _rate(name: str, side: int) -> tuple[float, float]:
    """(bytes, seconds a byte) of an operation on maps of a side."""
    op, seconds = _sampled(SAMPLES[name], name, side)
    return op.bytes, seconds / op.bytes


def _arithmetic_rate(name: str) -> float:
    """Seconds a flop."""
    op, seconds = _sampled(ARITHMETIC[name], name, SIDES[1])
    return seconds / op.flops


def _sampled(make: Callable[[Tensor], Call], name: str, side: int) -> tuple[Op, float]:
    """A sample as it is traced, and its seconds."""
    with torch.no_grad():
        call, trace = make(torch.rand(BATCH, 16, side, side)), Trace()
        with trace:
            call()
        return next(op for op in trace.ops if op.name == name), _seconds(call, FORGOTTEN)


def _between(size: float, small: tuple[float, float], large: tuple[float, float]) -> float:
    """Seconds a byte at a size between two that were measured; beyond them, the nearer one's."""
    size = min(max(size, small[0]), large[0])
    share = math.log(size / small[0]) / math.log(large[0] / small[0]) if large[0] > small[0] else 0.0
    return small[1] ** (1 - share) * large[1] ** share


def _convolution_table(name: str, kernel: int, stride: int, transposed: int, wanted: int) -> Table:
    """(pixels, seconds a flop) of few pixels and of many, by channels, on the grid."""
    found = {}
    tiled = name.startswith("tile_conv")
    for inputs, outputs in product(CHANNELS, CHANNELS):
        if tiled and min(inputs, outputs) < 64:
            continue
        wide = next(width for most, width in WIDTHS if max(inputs, outputs) <= most)
        pair = []
        for batch, width in ((1, 16 if tiled else 4), (BATCH, 2 * wide if tiled else wide)):
            maps = (batch, width if transposed else width * stride)
            call, flops = _convolution(name, kernel, stride, transposed, wanted, inputs, outputs, maps)
            pixels = flops / _flops_a_pixel((kernel, stride, transposed, inputs, outputs, wanted))
            with torch.no_grad():
                pair.append((pixels, _seconds(call, EVICTED) / flops))
        found[inputs, outputs] = (pair[0], pair[1])
    return found


def _flops_a_pixel(detail: tuple[int, ...]) -> int:
    """Of a convolution, for each pixel of its smaller map; both gradients cost twice one."""
    kernel, _, _, inputs, outputs, wanted = detail
    return 2 * kernel**2 * inputs * outputs * (2 if wanted == 3 else 1)


def _convolution(
    name: str, kernel: int, stride: int, transposed: int, wanted: int, inputs: int, outputs: int, maps: tuple[int, int]
) -> tuple[Call, int]:
    """A sample of a kind of convolution on maps of a batch and a side, and its flops."""
    batch, side = maps
    x = torch.randn(batch, inputs, side, side)
    padding = (kernel - 1) // 2
    shape = (inputs, outputs, kernel, kernel) if transposed else (outputs, inputs, kernel, kernel)
    weight, extra = torch.randn(shape), [kernel % 2 * transposed] * 2
    where = ([stride] * 2, [padding] * 2, [1, 1], bool(transposed), extra, 1)
    forward, ours = torch.ops.aten.convolution, torch.ops.spt_kernels
    with torch.no_grad():
        out = forward(x, weight, None, *where)
    grad, mask = torch.randn_like(out), [bool(wanted & 1), bool(wanted & 2), False]
    calls: dict[str, Call] = {
        "convolution": lambda: forward(x, weight, None, *where),
        "convolution_backward": lambda: torch.ops.aten.convolution_backward(grad, x, weight, None, *where, mask),
        "tile_conv": lambda: ours.tile_conv(x, weight, padding, False),
        "tile_conv_backward_data": lambda: ours.tile_conv_backward_data(grad, weight, side, side, padding, False),
        "tile_conv_backward_weight": lambda: ours.tile_conv_backward_weight(grad, x, kernel, padding, False),
    }
    trace = Trace()
    with trace, torch.no_grad():
        calls[name]()
    return calls[name], sum(op.flops for op in trace.ops)


def _padded(channels: int) -> int:
    """Channels with those that fill the last vector."""
    return channels if channels < LANES else -(-channels // LANES) * LANES


def _at(pixels: float, few: tuple[float, float], many: tuple[float, float]) -> float:
    """Seconds a flop: what a pixel costs, and what the weight costs whatever the pixels, by two that were measured."""
    share = (1 / pixels - 1 / many[0]) / (1 / few[0] - 1 / many[0])
    return many[1] + max(0.0, few[1] - many[1]) * max(0.0, share)


def _interpolated(table: Table, inputs: int, outputs: int, pixels: float) -> float:
    """A rate between the grid's, linear in the logarithms of the channels; beyond the grid the border's."""
    grid = sorted({first for first, _ in table})

    def cell(value: int) -> tuple[int, int, float]:
        value = min(max(value, grid[0]), grid[-1])
        low = max(each for each in grid if each <= value)
        high = min(each for each in grid if each >= value)
        return low, high, 0.0 if low == high else math.log(value / low) / math.log(high / low)

    (a, b, s), (c, d, t) = cell(inputs), cell(outputs)
    corners = ((a, c, (1 - s) * (1 - t)), (a, d, (1 - s) * t), (b, c, s * (1 - t)), (b, d, s * t))
    return math.exp(sum(weight * math.log(_at(pixels, *table[i, o])) for i, o, weight in corners))
