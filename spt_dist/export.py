"""The trained generators as one file for other runtimes: ONNX, or torch's own exported program.

The file draws what `Predictor.draw` draws, for batches of any number and pictures of one size: `INPUTS` are image uint8
[b, h, w, 3] RGB, labels uint8 [b, h, w], source_joints and target_joints float32 [b, 18, 3] in px; `OUTPUTS` are
picture uint8 [b, h, w, 3] and parsing uint8 [b, h, w]. People are given framed (`data.frame`), by the rule and at the
size that the ONNX file's metadata names. Every file is run on people beside the networks; one that draws otherwise is
refused.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import nn

from spt_dist.export_forms import Drawing, plain_forms
from spt_dist.infer import Predictor
from spt_dist.models.inputs import to_bytes, to_labels
from spt_dist.person import Person

Format: TypeAlias = Literal["onnx", "torch"]
Arrays: TypeAlias = Mapping[str, np.ndarray]
Run: TypeAlias = Callable[[Arrays], Sequence[np.ndarray]]

FILES: Mapping[str, str] = {"onnx": "generator.onnx", "torch": "generator.pt2"}
INPUTS, OUTPUTS = ("image", "labels", "source_joints", "target_joints"), ("picture", "parsing")
MOST_APART = 1  # of 255
MOST_TOGETHER = 1024  # pictures in a batch


class MismatchError(ValueError):
    """The exported file draws something else than the networks."""


class Exported(NamedTuple):
    """A written file: how far its pictures are from the networks' at most, of 255, and the share of other labels."""

    path: Path
    apart: int
    other_labels: float


def export_generators(predictor: Predictor, folder: Path, form: Format, people: Sequence[Person]) -> Exported:
    """Write the file, and draw `people` with it, each in the pose of the next, together and alone.

    Raises:
        MismatchError: a picture differs by more than `MOST_APART`; the file stays, for a look at it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, inputs = folder / FILES[form], framed(predictor, people)
    data = predictor.settings.data
    metadata = {"frame": predictor.how, "size": "x".join(map(str, predictor.size))}
    write(Drawing(predictor), inputs, OUTPUTS, path, metadata | {"heatmap_sigma_px": str(data.heatmap_sigma_px)})
    run = open_file(path)
    alone = [run({name: array[at : at + 1] for name, array in inputs.items()}) for at in range(len(people))]
    drawn = predictor.draw(*(torch.from_numpy(array).to(predictor.device) for array in inputs.values()))
    picture, parsing = to_bytes(drawn[0]).cpu().numpy(), to_labels(drawn[1]).cpu().numpy()
    apart, others = 0, 0.0
    for found in (run(inputs), [np.concatenate(column) for column in zip(*alone, strict=True)]):
        apart = max(apart, int(np.abs(found[0].astype(int) - picture).max()))
        others = max(others, float((found[1] != parsing).mean()))
    if apart > MOST_APART:
        raise MismatchError(f"`{path}` draws pictures that differ by {apart} of 255 from the networks'; do not use it")
    return Exported(path, apart, others)


def framed(predictor: Predictor, people: Sequence[Person]) -> Arrays:
    """The people, framed, as a file's inputs, each with the pose of the next."""
    columns = zip(*(predictor.frame(person) for person in people), strict=True)
    image, labels, joints = (np.stack(column) for column in columns)
    return dict(zip(INPUTS, (image, labels, joints, np.roll(joints, -1, axis=0)), strict=True))


def write(
    module: nn.Module, inputs: Arrays, outputs: Sequence[str], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Trace a module in plain torch and write it as the path's ending says; `inputs` are in the order that it takes."""
    example = tuple(torch.from_numpy(array) for array in inputs.values())
    batch = torch.export.Dim("batch", min=1, max=MOST_TOGETHER)
    with torch.no_grad(), plain_forms(), _quiet():
        module.eval()(*example)  # tables that the geometry keeps must not be a trace's
        dimensions = tuple({0: batch} for _ in example)
        program = torch.export.export(module, example, dynamic_shapes=dimensions, strict=False)
        if path.suffix == ".pt2":
            torch.export.save(program, path)
            return
        names = {
            "input_names": [*inputs],
            "output_names": [*outputs],
            "dynamic_shapes": tuple({0: "batch"} for _ in example),
        }
        made = torch.onnx.export(program, dynamo=True, verbose=False, **names)
        assert made is not None
        made.model.metadata_props.update(metadata or {})
        made.save(path, external_data=False)


def open_file(path: Path, threads: int = 0) -> Run:
    """What `write` wrote, ready to run, on processors; `threads` of ONNX Runtime, 0 for one a core."""
    if path.suffix == ".pt2":
        with _quiet():
            module = torch.export.load(path).module()

        def run(inputs: Arrays) -> list[np.ndarray]:
            with torch.no_grad():
                return [each.numpy() for each in module(*(torch.from_numpy(array) for array in inputs.values()))]

        return run
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: [np.asarray(each) for each in session.run(None, dict(inputs))]


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of themselves: of torchvision, which nothing here needs, and of their own old calls."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
