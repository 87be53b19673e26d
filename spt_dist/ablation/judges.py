"""The judges: a parser and a pose detector that have seen other people than those they judge.

A generated person should be parsed as the true one is, and stand where the pose wants. Both networks are trained alone,
on people of another seed, and score the real pictures first: what they reach there is the best that anybody can.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from spt_dist import config, losses
from spt_dist.body import Joint, Label
from spt_dist.data.schema import Batch, Sample, collate
from spt_dist.data.synthetic import draw, sample_person, sample_pose
from spt_dist.geometry import heatmaps
from spt_dist.models.blocks import UpBlock
from spt_dist.models.inputs import to_float, to_labels
from spt_dist.models.pose_detector import PoseDetector
from spt_dist.models.unet import Encoder
from spt_dist.models.weights import write_tensors
from spt_dist.types import ImageBytes, Images, Joints, LabelBytes, Parsing

SEED = 7_000  # of the people that the judges learn from
PEOPLE, BATCH, LEARNING_RATE = 3_000, 16, 2e-3
IMAGES = {"parser": 24_000, "pose": 24_000}
WIDTHS = (24, 48, 72, 96)
POSE = config.PoseDetector(width=16, blocks=3)
SIGMA_PX = 2.0
SCORED_AT_ONCE = 50


class Parser(nn.Module):
    """Picture [b 3 h w] -> logits of its parsing map [b 10 h w]: a U-Net with one encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(3, WIDTHS)
        ups, from_below = [], 0
        for level in reversed(range(1, len(WIDTHS))):
            ups.append(UpBlock(from_below + WIDTHS[level], WIDTHS[level]))
            from_below = WIDTHS[level]
        self.ups = nn.ModuleList(ups)
        self.head = nn.Conv2d(from_below + WIDTHS[0], len(Label), 3, padding=1)

    def forward(self, image: Images) -> Parsing:
        """Logits; height and width must be multiples of 8."""
        levels = self.encoder(image)
        x = relu(levels.pop())
        for up in self.ups:
            x = torch.cat([up(x), relu(levels.pop())], dim=1)
        return self.head(x)


class Judges:
    """Both networks, ready to judge pictures [b h w 3]."""

    def __init__(self, parser: Parser, pose: PoseDetector):
        self.parser, self.pose = parser.eval(), pose.eval()

    @torch.no_grad()
    def parse(self, images: ImageBytes) -> LabelBytes:
        """The parsing maps that the parser sees."""
        parts = [to_labels(self.parser(to_float(part))) for part in images.split(SCORED_AT_ONCE)]
        return torch.cat(parts)

    @torch.no_grad()
    def pose_errors(self, images: ImageBytes, joints: Joints) -> Float[Tensor, "b"]:
        """Mean distance in px between the wanted joints and where the pose detector sees them."""
        places = []
        for part in images.split(SCORED_AT_ONCE):
            peaks = self.pose(to_float(part)).flatten(2).argmax(2)
            places.append(torch.stack([peaks % images.shape[2], peaks // images.shape[2]], dim=-1))
        visible = joints[..., 2] > 0
        distances = (torch.cat(places) - joints[..., :2]).norm(dim=-1) * visible
        return distances.sum(1) / visible.sum(1).clamp(min=1)


def load_or_train(folder: Path, size: tuple[int, int], progress: Callable[[int, int], object]) -> Judges:
    """The judges in `folder`, trained for pictures of `size` (height, width) where they are not there yet."""
    networks: dict[str, nn.Module] = {"parser": Parser(), "pose": PoseDetector(POSE)}
    files = {name: folder / f"{name}_{size[0]}x{size[1]}.safetensors" for name in networks}
    if not all(file.exists() for file in files.values()):
        folder.mkdir(parents=True, exist_ok=True)
        people, done, total = _draw_people(size), 0, sum(IMAGES.values())
        for name, file in files.items():
            torch.manual_seed(SEED)
            networks[name] = Parser() if name == "parser" else PoseDetector(POSE)
            for images in _train(networks[name], people, name):
                progress(done + images, total)
            done += IMAGES[name]
            write_tensors(networks[name].state_dict(), file)
    for name, file in files.items():
        networks[name].load_state_dict(load_file(file))
    parser, pose = networks["parser"], networks["pose"]
    assert isinstance(parser, Parser)
    assert isinstance(pose, PoseDetector)
    return Judges(parser, pose)


def _draw_people(size: tuple[int, int]) -> Batch:
    samples = []
    for index in range(PEOPLE):
        rng = np.random.default_rng((SEED, index))
        samples.append(Sample(str(index), *draw(sample_person(rng), sample_pose(rng), size)))
    return collate(samples)


def _train(network: nn.Module, people: Batch, task: str) -> Iterator[int]:
    """Adam with a linear decay; yields how many images have been seen."""
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    rng = torch.Generator().manual_seed(SEED)
    for images in range(0, IMAGES[task], BATCH):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - images / IMAGES[task])
        chosen = torch.randint(len(people.ids), (BATCH,), generator=rng)
        batch = Batch([people.ids[index] for index in chosen.tolist()], *(tensor[chosen] for tensor in people[1:]))
        batch = batch.flip(torch.rand(BATCH, generator=rng) < 0.5)
        seen = network(to_float(batch.images))
        if task == "parser":
            loss = cross_entropy(seen, batch.labels.long())
        else:
            loss = losses.pose(seen, heatmaps(batch.joints, (batch.labels.shape[1], batch.labels.shape[2]), SIGMA_PX))
        optimizer.zero_grad()
        (loss * (1 if task == "parser" else len(Joint))).backward()
        optimizer.step()
        yield images + BATCH
