"""What is to be imported, and how: the options of `spt import`, completed by what the kind of source says by itself."""

from dataclasses import dataclass, replace
from pathlib import Path

from spt_dist.data.schema import DataError
from spt_dist.data.sources.frames import Size
from spt_dist.data.sources.layouts import CCP_MAPS, KINDS
from spt_dist.data.sources.merges import NEEDS_JOINTS


@dataclass(frozen=True)
class Job:
    """One import; `keypoints` and `pairs` replace the files that the kind's layout has, `photos` those of its folder.

    `frame` is the size of the pictures that keypoints are for; `val` and `test` are shares of the training people.
    """

    kind: str
    source: Path
    keypoints: tuple[Path, ...] = ()
    pairs: tuple[Path, ...] = ()
    order: str = "spt"
    frame: Size | None = None
    parsing: Path | None = None
    labels: str = "spt"
    val: float = 0.0
    test: float = 0.0
    photos: tuple[Path, ...] = ()


def complete(job: Job) -> Job:
    """The job with what its kind says by itself; `DataError` for what does not go together."""
    if job.kind == "ccp" and job.parsing is None:
        maps = next((job.source / place for place in CCP_MAPS if (job.source / place).is_dir()), None)
        if maps is None:
            raise DataError(f"`{job.source}` has no `annotations/`; name the folder of .mat files with --parsing")
        job = replace(job, parsing=maps, labels=KINDS["ccp"].parser or job.labels)
    if job.parsing is not None and not job.parsing.is_dir():
        raise DataError(f"--parsing `{job.parsing}` is not a folder; it holds STEM.png, .npy or .mat for each photo")
    if job.parsing is not None and job.labels in NEEDS_JOINTS and not job.keypoints:
        raise DataError(
            f"{job.labels}'s `skin` becomes face, arms and legs by the joints: name them with --keypoints. "
            "Photos alone: spt import folder"
        )
    if min(job.val, job.test) < 0 or job.val + job.test >= 1:
        raise DataError(f"--val {job.val} and --test {job.test} are shares of the people: 0 or more, together below 1")
    return job
