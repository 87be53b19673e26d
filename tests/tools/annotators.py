"""Real ONNX models that find what is painted: dots by their colours, a blob, classes by the nearest colour.

A person here is a block with a dot for each joint on grey ground. The pose nets weigh each dot's pixels, and answer
with Gaussians around the centroid, as trained ones would: what comes back must be where the dot was painted.
"""

import json
import warnings
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from spt_dist.data.sources.merges import MERGES
from spt_dist.data.sources.orders import ORDERS

GROUND = (128, 128, 128)
BLOCK = (190, 60, 90)  # upper clothes
COLOURS = [each for each in product((0, 128, 255), repeat=3) if each != GROUND][: len(ORDERS["coco-17"].joints)]
CLASS_COLOURS = {"background": GROUND, "upper-clothes": BLOCK, "pants": (60, 90, 190)}
REACH = 60.0  # how far a pixel's colour may be from a dot's, sum over channels
RADIUS = 3.0  # px
SIZES = {"pose": (192, 144), "look": (160, 160)}
MEAN, STD = (100.0, 110.0, 120.0), (50.0, 55.0, 60.0)
SHARES = dict(  # of the block's width and height, the joints of COCO
    zip(
        ORDERS["coco-17"].joints,
        [(0.5, 0.12), (0.62, 0.04), (0.38, 0.04), (0.82, 0.09), (0.18, 0.09), (0.75, 0.22), (0.25, 0.22), (0.9, 0.35),
         (0.1, 0.35), (0.9, 0.5), (0.1, 0.5), (0.65, 0.55), (0.35, 0.55), (0.66, 0.74), (0.33, 0.74), (0.67, 0.95),
         (0.32, 0.95)],
        strict=True,
    )
)  # fmt: skip


class Pose(nn.Module):
    """SimCC of two bins a px, Gaussians of 3 bins; of the same picture in BGR heat maps with a cell for 4 x 4 px, the
    first on the first px, Gaussians of 2 cells.
    """

    def forward(self, picture):
        height, width = SIZES["pose"]
        (x, y), sure = self.find(picture)
        columns = sure * torch.exp(-((torch.arange(2 * width) - 2 * x) ** 2) / 18)
        rows = sure * torch.exp(-((torch.arange(2 * height) - 2 * y) ** 2) / 18)
        (x, y), sure = self.find(picture.flip(1))
        across = torch.exp(-((torch.arange(width // 4) - x / 4) ** 2) / 8)
        down = torch.exp(-((torch.arange(height // 4) - y / 4) ** 2) / 8)
        return columns[None], rows[None], (sure[..., None] * down[:, :, None] * across[:, None])[None]

    def find(self, picture):
        """The dots' centroids in px, x and y [k, 1], and how sure each is there [k, 1]."""
        mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
        dots = torch.tensor(COLOURS, dtype=torch.float32).view(-1, 3, 1, 1)
        weights = torch.relu(1 - (picture * std + mean - dots).abs().sum(1) / REACH)
        mass = weights.sum((1, 2)).clamp(min=1e-6)
        x = (weights.sum(1) * torch.arange(SIZES["pose"][1])).sum(1) / mass
        y = (weights.sum(2) * torch.arange(SIZES["pose"][0])).sum(1) / mass
        return (x[:, None], y[:, None]), (mass > 1).float()[:, None] * 0.9


class Look(nn.Module):
    """LIP's classes by colour, at half the input's size, those without a colour never the nearest; the same as numbers
    at the input's size; and rows of a car everywhere, of nobody sure, and of what is not ground.
    """

    def forward(self, picture):
        far = [(-4096.0,) * 3] * len(MERGES["lip-20"].classes)
        for name, colour in CLASS_COLOURS.items():
            far[list(MERGES["lip-20"].classes).index(name)] = tuple(map(float, colour))
        colours = torch.tensor(far).view(-1, 3, 1, 1)
        scores = -(picture - colours).abs().sum(1) / 100
        halved = nn.functional.avg_pool2d(scores[None], 2)
        return halved, scores.argmax(0)[None], self.rows(picture)

    def rows(self, picture):
        other = (picture - torch.tensor(GROUND).view(1, 3, 1, 1)).abs().sum(1)[0] > 90
        ends = []
        for axis, side in enumerate(SIZES["look"][::-1]):
            there, places = other.any(axis), torch.arange(side)
            ends.append((torch.where(there, places, side).amin(0), torch.where(there, places, -1).amax(0) + 1))
        (x0, x1), (y0, y1) = ends
        sure = torch.where(x1 > x0, 0.8, 0.0)
        found = torch.stack((x0.float(), y0.float(), x1.float(), y1.float(), sure, torch.tensor(0.0)))
        height, width = SIZES["look"]
        car, unsure = ([0.0, 0.0, width, height, score, kind] for score, kind in ((0.9, 2.0), (0.3, 0.0)))
        return torch.stack((torch.tensor(car), torch.tensor(unsure), found))[None]


def write_models(folder: Path) -> Path:
    """Both files, and `simcc.toml`, `heatmaps.toml` and `detector.toml`, which declare them."""
    nets = {"pose": (Pose(), ("x", "y", "maps")), "look": (Look(), ("scores", "classes", "rows"))}
    for name, (net, outputs) in nets.items():
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's, of itself
            names = {"input_names": ["picture"], "output_names": [*outputs]}
            # The older exporter: it needs a second where the one of `export.py` needs ten.
            torch.onnx.export(
                net.eval(), (torch.zeros(1, 3, *SIZES[name]),), folder / f"{name}.onnx", dynamo=False, **names
            )
    (folder / "simcc.toml").write_text(declaration("simcc"))
    (folder / "heatmaps.toml").write_text(declaration("heatmaps", parsing=("classes",)))
    (folder / "detector.toml").write_text(declaration("simcc", detector=True))
    return folder


def declaration(output, parsing=("scores",), detector=False) -> str:
    """A TOML of the models."""
    pose = {"file": "pose.onnx", "size": SIZES["pose"], "output": output, "order": "coco-17", "mean": MEAN, "std": STD}
    if output == "heatmaps":
        pose |= {"channels": "bgr", "mean": MEAN[::-1], "std": STD[::-1], "tensors": ["maps"]}
    else:
        pose["tensors"] = ["x", "y"]
    look = {"file": "look.onnx", "size": SIZES["look"]}
    tables = {"pose": pose, "parsing": look | {"labels": "lip-20", "tensors": parsing}}
    if detector:
        tables["detector"] = look | {"tensors": ["rows"]}
    lines = []
    for table, keys in tables.items():
        values = (keys | {"border": GROUND}).items()
        written = (f"{key} = {json.dumps(value)}" for key, value in values)
        lines += [f"[{table}]", *written, ""]
    return "\n".join(lines)


def paint(size, box) -> tuple[np.ndarray, np.ndarray]:
    """A photo of `size` with a person in `box` (x0, y0, x1, y1: edges), and where its dots are, in COCO's order."""
    x0, y0, x1, y1 = box
    photo = np.full((*size, 3), GROUND, np.uint8)
    photo[max(0, y0) : y1, max(0, x0) : x1] = BLOCK
    dots = np.array([(x0 + (x1 - x0) * x, y0 + (y1 - y0) * y) for x, y in SHARES.values()]).round()
    for (x, y), colour in zip(dots.astype(int).tolist(), COLOURS, strict=True):
        cv2.circle(photo, (x, y), round(RADIUS * (y1 - y0) / 90), colour, -1)
    return photo, dots
