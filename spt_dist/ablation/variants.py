"""What is compared: runs that are trained, and rows of the table that show them.

A *run* is one `spt train` with a configuration and some overrides. *Roots* train what several runs share, the pose
detector and H_S; the runs behind them train H_A, and all get the same number of images. A *row* shows a run with the
map that H_A is given: predicted by H_S, the true one, or the one that the pseudo-pair search finds. *Timed* runs are
runs again, with as many images as fit into the CPU seconds of our preset: equal time beside equal images.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

PAPER, OURS = "configs/ablation/paper.toml", "configs/ablation/ours.toml"
Maps = Literal["predicted", "true", "pseudo"]
Stages = tuple[tuple[str, float], ...]  # stage -> share of the run's images

TIMED_LIKE = "ours"
POSE_IMAGES, SEMANTIC_IMAGES = 3_000, 7_000
TWO_STAGES: Stages = (("appearance", 1.0),)
END_TO_END: Stages = (("appearance", 0.7), ("end_to_end", 0.3))


class Run(NamedTuple):
    """A training: `start` says which root gives which network; a root has a number of images of its own.

    `times` is the run that this one repeats in the time of `TIMED_LIKE`, if it does.
    """

    config: str
    overrides: Mapping[str, object] = MappingProxyType({})
    start: Mapping[str, str] = MappingProxyType({})
    stages: Stages = TWO_STAGES
    root_images: int | None = None
    times: str = ""

    def settings(self, images: int) -> dict[str, object]:
        """The overrides of the configuration, without those that name files."""
        total = self.root_images or images
        planned = {f"stages.{name}.images": 0 for name in ("pose", "semantic", "appearance", "end_to_end")}
        planned |= {f"stages.{name}.images": round(total * share) for name, share in self.stages}
        return planned | dict(self.overrides)


class Row(NamedTuple):
    """A line of the table: a run, drawn with predicted, true or found maps."""

    title: str
    run: str
    maps: Maps = "predicted"


_POSE: Stages = (("pose", 1.0),)
_SEMANTIC: Stages = (("semantic", 1.0),)
_TRUE = {"data.true_targets": True}

ROOTS = {
    "pose": Run(PAPER, stages=_POSE, root_images=POSE_IMAGES),
    "semantic": Run(PAPER, stages=_SEMANTIC, root_images=SEMANTIC_IMAGES),
    "semantic_paired": Run(PAPER, _TRUE, stages=_SEMANTIC, root_images=SEMANTIC_IMAGES),
    "ours_semantic": Run(OURS, stages=_SEMANTIC, root_images=SEMANTIC_IMAGES),
    "ours_semantic_paired": Run(OURS, _TRUE, stages=_SEMANTIC, root_images=SEMANTIC_IMAGES),
}


def _from(semantic: str) -> dict[str, str]:
    return {"pose_detector": "pose", "semantic": semantic, "parsing_discriminator": semantic}


def _style(kind: str) -> Run:
    return Run(PAPER, {"networks.features.style": kind}, _from("semantic"))


EQUAL_IMAGES = {
    "baseline": Run(
        PAPER,
        {"networks.appearance.reads_parsing": False, "networks.features.style": "patch"},
        _from("semantic"),
    ),
    "two_stages": Run(PAPER, start=_from("semantic")),
    "end_to_end": Run(PAPER, start=_from("semantic"), stages=END_TO_END),
    "no_style": Run(PAPER, {"losses.style": 0}, _from("semantic")),
    "global_style": _style("global"),
    "masked_style": _style("masked"),
    "patch_style": _style("patch"),
    "paired": Run(PAPER, {**_TRUE, "losses.reconstruction": 10}, _from("semantic_paired")),
    "ours": Run(OURS, start=_from("ours_semantic")),
    "ours_paired": Run(OURS, {**_TRUE, "stages.appearance.warm_up": 0}, _from("ours_semantic_paired")),
}

TIMED = {f"{name}_timed": EQUAL_IMAGES[name]._replace(times=name) for name in ("two_stages", "end_to_end", "paired")}
RUNS = ROOTS | EQUAL_IMAGES | TIMED

ROWS = (
    Row("Baseline, no parsing", "baseline"),
    Row("TS-Pred", "two_stages"),
    Row("TS-Pseudo", "two_stages", "pseudo"),
    Row("TS-GT", "two_stages", "true"),
    Row("E2E", "end_to_end"),
    Row("TS-Pred, no style loss", "no_style"),
    Row("TS-Pred, global style", "global_style"),
    Row("TS-Pred, masked style", "masked_style"),
    Row("TS-Pred, patch style", "patch_style"),
    Row("TS-Pred, semantic-aware style", "two_stages"),
    Row("Paired, the paper's networks", "paired"),
    Row("Ours", "ours"),
    Row("Ours, true map", "ours", "true"),
    Row("Paired, our networks", "ours_paired"),
    Row("TS-Pred, in the time of ours", "two_stages_timed"),
    Row("E2E, in the time of ours", "end_to_end_timed"),
    Row("Paired, the paper's networks, in the time of ours", "paired_timed"),
)


def required(names: Collection[str]) -> set[str]:
    """`names` and every run that must be finished for them: roots, and what timed runs take their time from."""
    found, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        run = RUNS[name]
        waiting += [*run.start.values(), *((run.times, TIMED_LIKE) if run.times else ())]
    return found


_BY_TITLE = {row.title: row for row in ROWS}
# Whose predicted maps are also filled with flat colours: the hurdle that needs no H_A.
FLAT_ROWS = {
    _BY_TITLE["TS-Pred"]: "flat colours, H_S map (paper's)",
    _BY_TITLE["Ours"]: "flat colours, H_S map (ours)",
}
