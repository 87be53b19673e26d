"""What a further pose of one person costs, against drawing from the photo each time.

    python -m spt_dist.bench_poses configs/demo.toml --poses 8

A full pass is `Predictor.generate`: frame, view, both encoders, both decoders, bytes. A further pose is
`Predictor.poses` on a person encoded before, one at a time and several together. The networks are the config's with
random weights: time does not depend on them. The three are timed in turn, round by round, in this one process, which
keeps freed memory as a replica does, so that whatever else the machine does falls on all of them; numbers are medians.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from spt_kernels import keep_memory

from spt_dist import config
from spt_dist.body import Joint, Label
from spt_dist.infer import Predictor
from spt_dist.joints import Keypoints
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.blocks import prepare
from spt_dist.models.semantic import SemanticGenerator
from spt_dist.person import Person

PLACES = np.array(
    [(24, 9), (24, 16), (17, 17), (14, 26), (13, 34), (31, 17), (34, 26), (35, 34), (20, 36), (19, 47), (19, 58),
     (28, 36), (29, 47), (29, 58), (26, 8), (22, 8), (28, 9), (20, 9)], np.float32
)  # fmt: skip  # a standing person in 64 x 48 px, in the order of `body.Joint`
assert len(PLACES) == len(Joint)


class Cost(NamedTuple):
    """Median seconds of a full pass, of a further pose alone, and of one among `poses` drawn together."""

    full_s: float
    alone_s: float
    together_s: float
    poses: int

    @property
    def text(self) -> str:
        """The two ratios as the command prints them."""
        alone, together = self.alone_s / self.full_s, self.together_s / self.full_s
        return (
            f"full pass {1e3 * self.full_s:.1f} ms; a further pose alone {1e3 * self.alone_s:.1f} ms, ratio "
            f"{alone:.2f}; among {self.poses} {1e3 * self.together_s:.1f} ms, ratio {together:.2f}"
        )


def measure(settings: config.Config, poses: int, rounds: int, seed: int = 0, device: str = "cpu") -> Cost:
    """Time full passes and further poses in turn, `rounds` times after one that does not count."""
    torch.manual_seed(seed)
    semantic = SemanticGenerator(settings.networks.semantic).to(device)
    appearance = AppearanceGenerator(settings.networks.appearance).to(device)
    predictor = Predictor(prepare(semantic), prepare(appearance), settings, "whole")
    person, targets = _scene(predictor.size, poses, seed)
    encoded = predictor.encode(person)

    def full() -> object:
        return predictor.generate(*person, targets[0].joints)

    def alone() -> object:
        return predictor.poses(encoded, targets[:1])

    def together() -> object:
        return predictor.poses(encoded, targets)

    calls = (full, alone, together)
    times = [[_seconds(call) for call in calls] for _ in range(1 + rounds)][1:]
    full_s, alone_s, together_s = (median(column) for column in zip(*times, strict=True))
    return Cost(full_s, alone_s, together_s / poses, poses)


def _scene(size: tuple[int, int], poses: int, seed: int) -> tuple[Person, list[Keypoints]]:
    """A person of noise who stands, and poses near that."""
    random = np.random.default_rng(seed)
    scale = np.array((size[1] / 48, size[0] / 64))
    image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    labels = random.integers(0, len(Label), size, dtype=np.uint8)
    standing = [(PLACES + random.normal(0, 2, PLACES.shape)) * scale for _ in range(1 + poses)]
    joints = [np.column_stack((places, np.ones(len(Joint)))).astype(np.float32) for places in standing]
    return Person(image, labels, joints[0]), [Keypoints(each, None) for each in joints[1:]]


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()  # its pictures are NumPy arrays: whatever the device had to do is done
    return time.perf_counter() - began


def main() -> None:
    """Print the ratios for one config."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("config", nargs="?", help="a TOML file; without one the default networks, 256x256")
    parser.add_argument("--poses", type=int, default=8, help="how many to draw together")
    parser.add_argument("--rounds", type=int, default=10, help="how many times to time each")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    keep_memory()
    settings = config.load(chosen.config) if chosen.config else config.Config()
    cost = measure(settings, chosen.poses, chosen.rounds, device=chosen.device)
    size = "x".join(map(str, settings.data.image_size))
    print(f"{size}, {chosen.device}, {chosen.threads} threads, median of {chosen.rounds}: {cost.text}")


if __name__ == "__main__":
    main()
