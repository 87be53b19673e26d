"""One direction on a processor by every runtime: published, ours, Inductor, ONNX Runtime, OpenVINO.

All compute the paper's generator on the same pair, from bytes and joints to a picture, with the target's parsing map
given, since H_S was never published; published starts from its loader's tensors. Inductor compiles our own forward, our
ops in it; the others read the file that `export` writes, in which our ops are spelled in plain operators.
"""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from spt_kernels import keep_memory
from spt_kernels.bench.timing import Times, interleaved
from torch import nn

from spt_dist import config
from spt_dist.bench_steps import OurInference, PublishedInference, drawn_pairs, generator_of
from spt_dist.body import Label
from spt_dist.data.schema import Pairs
from spt_dist.export import open_file, write
from spt_dist.geometry import heatmaps, part_warps
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.inputs import to_float
from spt_dist.types import ImageBytes, Images, Joints, LabelBytes

OURS, PUBLISHED, KEPT = "eager", "published", "published, memory kept"
BACKENDS = ("inductor", "onnxruntime", "openvino")
Draw = Callable[[], np.ndarray]
Say = Callable[[str], object]


class Timed(NamedTuple):
    """A runtime's seconds a picture, its greatest difference from ours of 255, and the seconds to make it ready."""

    times: Times
    apart: float
    ready_s: float


class Direction(nn.Module):
    """H_A from bytes and joints to a picture in [-1, 1], the target's parsing map given."""

    def __init__(self, settings: config.Config, generator: AppearanceGenerator) -> None:
        super().__init__()
        self.settings, self.generator = settings, generator.eval()

    def forward(
        self, image: ImageBytes, labels: LabelBytes, joints: Joints, target_labels: LabelBytes, target_joints: Joints
    ) -> Images:
        """The source in the target's pose."""
        size, sigma_px = self.settings.data.image_size, self.settings.data.heatmap_sigma_px
        each = torch.arange(len(Label), device=labels.device)[:, None, None]
        parsing, target_parsing = ((found[:, None].int() == each).float() for found in (labels, target_labels))
        maps, target_maps = (heatmaps(found, size, sigma_px) for found in (joints, target_joints))
        warps = part_warps(target_joints, joints, size, self.settings.networks.appearance.max_stretch)
        return self.generator(to_float(image), parsing, maps, target_parsing, target_maps, warps)


def measure(settings: config.Config, rounds: int, threads: int, backends: tuple[str, ...], say: Say) -> dict:
    """Times by runtime, those of published with its own allocator and with memory kept; a `Timed` for each."""
    keep_memory()
    torch.set_num_threads(threads)
    pairs, generator = drawn_pairs(settings.data.image_size), generator_of(settings)
    published, ours = PublishedInference(settings, pairs, generator), OurInference(settings, pairs, generator)
    draws: dict[str, Draw] = {
        OURS: lambda: ours().numpy(),
        PUBLISHED: lambda: published.one_direction().numpy(),
        KEPT: lambda: published.one_direction().numpy(),
    }
    ready = dict.fromkeys(draws, 0.0)
    with TemporaryDirectory() as folder:
        for name in backends:
            start = time.perf_counter()
            draws[name] = BUILDERS[name](settings, pairs, generator, threads, Path(folder) / "direction.onnx")
            draws[name]()
            ready[name] = time.perf_counter() - start
            say(f"{name}: ready after {ready[name]:.1f} s")
        expected = draws[OURS]()
        apart = {name: float(np.abs(draw() - expected).max()) * 127.5 for name, draw in draws.items()}
        times = interleaved({name: _stopwatch(name, draw) for name, draw in draws.items()}, rounds, lambda: None)
    return {name: Timed(times[name], apart[name], ready[name]) for name in draws}


def _stopwatch(name: str, draw: Draw) -> Callable[[], float]:
    def seconds() -> float:
        keep_memory(name != PUBLISHED)
        start = time.perf_counter()
        draw()
        return time.perf_counter() - start

    return seconds


def _inputs(pairs: Pairs) -> dict[str, np.ndarray]:
    source, target = pairs.source, pairs.target
    tensors = (source.images, source.labels, source.joints, target.labels, target.joints)
    names = ("image", "labels", "source_joints", "target_labels", "target_joints")
    return {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}


def _inductor(settings: config.Config, pairs: Pairs, generator: AppearanceGenerator, threads: int, path: Path) -> Draw:
    from spt_dist.models.blocks import prepare

    prepared = prepare(generator)
    assert isinstance(prepared, AppearanceGenerator)
    compiled = torch.compile(Direction(settings, prepared), dynamic=False, options={"freezing": True})
    inputs = [torch.from_numpy(array) for array in _inputs(pairs).values()]

    def draw() -> np.ndarray:
        with torch.no_grad():
            return compiled(*inputs).numpy()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dynamo's, that it looks through `functools.cache`
        draw()
    return draw


def _written(settings: config.Config, generator: AppearanceGenerator, path: Path) -> Path:
    if not path.exists():
        module = Direction(settings, generator).train().eval()  # in training a network forgets what `prepare` kept
        write(module, _inputs(drawn_pairs(settings.data.image_size, batch=2)), ["picture"], path)
    return path


def _onnxruntime(
    settings: config.Config, pairs: Pairs, generator: AppearanceGenerator, threads: int, path: Path
) -> Draw:
    run, inputs = open_file(_written(settings, generator, path), threads), _inputs(pairs)
    return lambda: run(inputs)[0]


def _openvino(settings: config.Config, pairs: Pairs, generator: AppearanceGenerator, threads: int, path: Path) -> Draw:
    import openvino

    core, inputs = openvino.Core(), _inputs(pairs)
    model = core.read_model(_written(settings, generator, path))
    model.reshape({name: array.shape for name, array in inputs.items()})
    hints = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(model, "CPU", hints)
    return lambda: compiled(inputs)[0]


BUILDERS = {"inductor": _inductor, "onnxruntime": _onnxruntime, "openvino": _openvino}
