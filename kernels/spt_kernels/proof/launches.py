"""The launches that training makes, recorded without a GPU: every op's launchers on tensors that hold no data.

What a launch compiles to depends on its arguments' types, on which numbers are 1 and on which numbers and addresses 16
divides; Triton's own binder says so for any target.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import product
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend
from triton.runtime.jit import JITFunction, create_function_from_signature

from spt_kernels.bench.shapes import JOINTS, PARTS, REGIONS, SHAPES, Shape

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
UGLY = (Shape(1, 1, 1, 1, (2, 2)), Shape(1, 3, 5, 1, (10, 2)), Shape(2, 5, 1, 7, (2, 14)))  # a 1 becomes a constant
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Launch(NamedTuple):
    """A kernel as it is compiled for one target; `wide_loads`: the layout lets it load 16 bytes at once."""

    op: str
    kernel: str
    dtype: str
    target: str
    layout: str
    wide_loads: bool
    module: str
    signature: dict[str, Any]
    constants: dict[Any, Any]
    attributes: dict[Any, Any]
    options: dict[str, Any]

    @property
    def key(self) -> str:
        """Equal for launches that compile to the same binary."""
        return repr((self.module, self.kernel, self.target, *self[7:]))

    @property
    def source(self) -> ASTSource:
        """What the compiler takes; a kernel cannot be sent to another process, its name can."""
        function = getattr(import_module(self.module), self.kernel)
        return ASTSource(function, self.signature, self.constants, self.attributes)


def launches(ops: Iterable[str], targets: Iterable[str], dtypes: Iterable[str], largest: bool) -> list[Launch]:
    """What the ops launch at training's shapes and ugly ones, the first in NCHW too; or with `largest` the first."""
    found: dict[str, Launch] = {}
    for target, op, dtype in product(targets, ops, dtypes):
        cases = [(case, "nhwc") for case in CASES[op](DTYPES[dtype], "nhwc")]
        cases = cases[:1] if largest else [*cases, (next(CASES[op](DTYPES[dtype], "nchw")), "nchw")]
        for case, layout in cases:
            for launch in recorded(case, op, dtype, target, layout):
                found.setdefault(launch.key, launch)
    return list(found.values())


def recorded(call: Callable[[], object], op: str, dtype: str, target: str, layout: str) -> list[Launch]:
    """The launches that `call` makes, bound as the JIT binds them, without launching."""
    gpu, calls = TARGETS[target], []
    backend = make_backend(gpu)
    with _recording(calls, hip=gpu.backend == "hip"):
        call()
    result = []
    for function, args, kwargs in calls:
        kwargs = {**kwargs, "debug": False, "instrumentation_mode": ""}
        bind = create_function_from_signature(function.signature, function.params, backend)
        bound, specialization, rest = bind(*args, **kwargs)
        options, signature, constants, attrs = function._pack_args(backend, kwargs, bound, specialization, rest)
        wide = any(_wide(value) for value in bound.values())
        named = (op, function.__name__, dtype, target, layout, wide, function.__module__)
        result.append(Launch(*named, signature, constants, attrs, dict(options.__dict__)))
    return result


@contextmanager
def _recording(calls: list[tuple[JITFunction, tuple, dict]], hip: bool) -> Iterator[None]:
    def record(function: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        calls.append((function, args, kwargs))

    with patch.object(JITFunction, "run", record), patch.object(torch.version, "hip", "6.4" if hip else None):
        yield


def _wide(value: object) -> bool:
    """Channels-last features whose channels fill 16 bytes."""
    if not isinstance(value, torch.Tensor) or value.ndim != 4 or not value.is_floating_point():
        return False
    channels = value.shape[1]
    last = value.is_contiguous(memory_format=torch.channels_last) and not value.is_contiguous()
    return last and channels * value.element_size() % 16 == 0


def _shapes(op: str) -> list[Shape]:
    return [*SHAPES[op].values(), *UGLY]


def _features(shape: Shape, dtype: torch.dtype, layout: str) -> torch.Tensor:
    features = torch.empty(shape.batch, shape.channels, shape.height, shape.width, dtype=dtype, device="meta")
    return features.to(memory_format=torch.channels_last) if layout == "nhwc" else features


def _semantic_gram(dtype: torch.dtype, layout: str) -> Iterator[Callable[[], object]]:
    from spt_kernels.semantic_gram import _triton

    def style(shape: Shape) -> None:
        features, (b, c, h, w) = _features(shape, dtype, layout), shape[:4]
        labels = torch.empty(b, *shape.image_size, dtype=torch.uint8, device="meta")
        grams = torch.empty(3, b, len(REGIONS), c, c, device="meta")
        found = _triton.find(labels, REGIONS, (h, w))
        _triton.forward(features, labels, REGIONS, found, grams[0])
        _triton.backward(grams[0], features, labels, REGIONS, torch.empty_like(features))
        for by_area in (False, True):
            _triton.compare(grams, found, found, h * w, by_area)

    def soft(shape: Shape) -> None:
        features, (b, c, h, w) = _features(shape, dtype, layout), shape[:4]
        masks = torch.empty(b, len(REGIONS), h, w, device="meta")
        grams = torch.empty(b, len(REGIONS), c, c, device="meta")
        regions = range(len(REGIONS))
        _triton.forward(features, masks, regions, _triton.find(masks, regions, (h, w)), grams)
        _triton.backward(grams, features, masks, regions, torch.empty_like(features))

    shapes = _shapes("semantic_style_loss")
    yield from (lambda shape=shape: style(shape) for shape in shapes)
    yield from (lambda shape=shape: soft(shape) for shape in shapes)


def _part_warp(dtype: torch.dtype, layout: str) -> Iterator[Callable[[], object]]:
    from spt_kernels.part_warp import _triton

    def warp(shape: Shape) -> None:
        features = _features(shape, dtype, layout)
        ndc = torch.empty(shape.batch, PARTS, 2, 3, device="meta")
        quads = torch.empty(shape.batch, PARTS, 4, 2, dtype=torch.float64, device="meta")
        values, winners = _triton.forward(features, ndc, quads, shape.image_size)
        _triton.backward(values, winners, ndc, quads, shape.image_size)

    yield from (lambda shape=shape: warp(shape) for shape in _shapes("part_warp"))


def _part_masks(dtype: torch.dtype, layout: str) -> Iterator[Callable[[], object]]:
    from spt_kernels.part_masks import _triton

    for shape in _shapes("pose_maps"):
        quads = torch.empty(shape.batch, PARTS, 4, 2, dtype=torch.float64, device="meta")
        yield lambda quads=quads, size=shape.image_size: _triton.forward(quads, size)


def _pose_heatmaps(dtype: torch.dtype, layout: str) -> Iterator[Callable[[], object]]:
    from spt_kernels.pose_heatmaps import _triton

    for shape in _shapes("pose_maps"):
        joints = torch.empty(shape.batch, JOINTS, 2, device="meta")
        visible = torch.empty(shape.batch, JOINTS, dtype=torch.bool, device="meta")
        out = _features(shape, dtype, "nchw")
        yield lambda joints=joints, visible=visible, out=out: _triton.forward(joints, visible, 6.0, out)


def _norm_act(dtype: torch.dtype, layout: str) -> Iterator[Callable[[], object]]:
    from spt_kernels.norm_act import _triton

    def norm(shape: Shape, groups: int) -> None:
        x, one = _features(shape, dtype, layout), torch.empty(1, device="meta")
        result, mean, rstd = _triton.forward(x, groups, one, one, 1e-5, 0.2)
        _triton.backward(result, x, mean, rstd, one, one, 0.2)

    for shape in _shapes("norm_act"):
        for groups in (shape.channels, 1):
            yield lambda shape=shape, groups=groups: norm(shape, groups)


CASES = {
    "semantic_gram": _semantic_gram,
    "part_warp": _part_warp,
    "part_masks": _part_masks,
    "pose_heatmaps": _pose_heatmaps,
    "norm_act": _norm_act,
}
