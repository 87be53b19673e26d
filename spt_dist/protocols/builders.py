"""From a definition's particulars to the function that computes it: what protocols are put together from.

Each takes what lineages differ in (frame, mask, window, splits, batches) and gives a function of a case and the judges.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import torch

from spt_dist import metrics
from spt_dist.models.inputs import to_float
from spt_dist.protocols.definition import Case, Statistic, UndefinedError
from spt_dist.protocols.joints import Rule, pckh
from spt_dist.protocols.judges import REFERENCE, Judges
from spt_dist.protocols.pixels import AS_THEY_ARE, Frames, Window, masked, ssim, ssim_in_mask
from spt_dist.protocols.sets import frechet, inception_score
from spt_dist.scripted import BATCH, INCEPTION, TORCHVISION

Compute = Callable[[Case, Judges], Statistic]
TARGETS = "the true pictures"


def of_pairs(scores: torch.Tensor, origin: str = "") -> Statistic:
    """The mean over pairs; a score without a meaning is left out."""
    if scores.isnan().all():
        raise UndefinedError("no picture has a score: all are of one colour, or no target shows a joint")
    return Statistic(len(scores), lambda chosen: scores[chosen].nanmean().item(), TARGETS, origin)


def ssim_by(window: Window, frames: Frames = AS_THEY_ARE, inside: bool = False) -> Compute:
    """SSIM of framed pictures, `inside`: of pictures that are black outside the pose mask."""

    def compute(case: Case, judges: Judges) -> Statistic:
        scores = []
        for batch in _batches(case):
            images, truth = _framed(batch, frames)
            if inside:
                images, truth = (masked(each, batch.joints) for each in batch[:2])
            scores.append(ssim(images, truth, window))
        return of_pairs(torch.cat(scores))

    return compute


def plain_ssim(case: Case, judges: Judges) -> Statistic:
    """SSIM as every evaluation without a protocol has it."""
    return of_pairs(torch.cat([metrics.ssim(batch.images, batch.truth) for batch in _batches(case)]))


def mask_ssim(case: Case, judges: Judges) -> Statistic:
    """The SSIM map's mean over the pose mask."""
    return of_pairs(torch.cat([ssim_in_mask(*batch) for batch in _batches(case)]))


def is_by(splits: int, frames: Frames = AS_THEY_ARE, inside: bool = False) -> Compute:
    """IS of framed pictures, `inside`: of pictures that are black outside the pose mask."""

    def compute(case: Case, judges: Judges) -> Statistic:
        shown = masked(case.images, case.joints) if inside else _framed(case, frames)[0]
        logits, origin = judges.logits(shown)
        return inception_score(logits, splits, origin)

    return compute


def fid_by(key: Literal["inception", "inception_torchvision"], frames: Frames = AS_THEY_ARE, whole: int = 1) -> Compute:
    """FID of framed pictures against the training pictures; only as many as fill batches of `whole`."""
    assert key in (INCEPTION, TORCHVISION)

    def compute(case: Case, judges: Judges) -> Statistic:
        kept = _fill(len(case.images), whole)
        features, origin = judges.features(map(frames.drawn, case.images[:kept].split(BATCH)), key)
        reference = judges.features_of_references(frames.true, key)
        reference = reference[: _fill(len(reference), whole)]
        return frechet(features, reference, f"{len(reference)} {REFERENCE}", origin)

    return compute


def lpips_by(frames: Frames = AS_THEY_ARE, inside: bool = False, whole: int = 1) -> Compute:
    """LPIPS of framed pictures in [-1, 1]; `inside`: times the pose mask, so that the rest is grey."""

    def compute(case: Case, judges: Judges) -> Statistic:
        kept = _fill(len(case.images), whole)
        scores, origin = [], ""
        for batch in _batches(Case(*(each[:kept] for each in case))):
            pair = [to_float(each) for each in _framed(batch, frames)]
            if inside:
                mask = masked(torch.ones_like(batch.images), batch.joints).permute(0, 3, 1, 2).float()
                pair = [each * mask for each in pair]
            found, origin = judges.distances(pair[0], pair[1])
            scores.append(found)
        return of_pairs(torch.cat(scores), origin)

    return compute


def pckh_by(rule: Rule) -> Compute:
    """PCKh of the joints that the pose detector finds."""

    def compute(case: Case, judges: Judges) -> Statistic:
        found, origin = judges.joints(case.images)
        return pckh(found, case.joints, rule, origin)

    return compute


def _framed(case: Case, frames: Frames) -> tuple[torch.Tensor, torch.Tensor]:
    return frames.drawn(case.images), frames.true(case.truth)


def _batches(case: Case) -> Iterable[Case]:
    return (Case(*parts) for parts in zip(*(each.split(BATCH) for each in case), strict=True))


def _fill(count: int, whole: int) -> int:
    """The most pictures that fill batches of `whole`; all of them where they do not fill one."""
    return count - count % whole if count >= whole else count
