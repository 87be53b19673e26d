"""The paper's criterion against a naive loop over parts and pixels."""

import itertools

import numpy as np
import pytest
import torch

from spt_dist.body import FOREGROUND_LABELS, MISSING, WARP_PARTS, Joint, Label
from spt_dist.data.importers import read_folder
from spt_dist.data.schema import collate, flip_joints, flip_labels
from spt_dist.data.search.criterion import Figures, mismatch
from spt_dist.data.search.people import reduce
from spt_dist.data.synthetic import draw, sample_person
from spt_dist.data.synthetic_poses import sample_pose
from spt_dist.geometry import NO_PART_PX, part_masks, part_quads, part_transforms


def people(count: int, size=(32, 18), seed: int = 0) -> Figures:
    rng = np.random.default_rng(seed)
    drawings = [draw(sample_person(rng), sample_pose(rng), size) for _ in range(count)]
    return Figures(
        torch.from_numpy(np.stack([one.labels for one in drawings])),
        torch.from_numpy(np.stack([one.joints for one in drawings])),
    )


def inside(quad: np.ndarray, x: float, y: float) -> bool:
    """Whether a point lies in a convex quadrilateral, its border aside."""
    sides = []
    for a, b in zip(quad, np.roll(quad, -1, axis=0), strict=True):
        sides.append((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]))
    return all(side > 0 for side in sides) or all(side < 0 for side in sides)


def bilinear(labels: np.ndarray, label: int, x: float, y: float) -> float:
    """The label's plane at a point, zero outside."""
    left, top = int(np.floor(x)), int(np.floor(y))
    total = 0.0
    for column, row in itertools.product((left, left + 1), (top, top + 1)):
        if 0 <= row < labels.shape[0] and 0 <= column < labels.shape[1]:
            total += (labels[row, column] == label) * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


def naive(source: Figures, candidate: Figures) -> float:
    """sum_j || B_j(p) S - f_j(B_j(p_s) S_s) ||^2, pixel by pixel: a pixel goes back to where it came from."""
    height, width = source.labels.shape[1:]
    size = (height, width)
    maps, total = [figures.labels[0].numpy() for figures in (source, candidate)], 0.0
    source_quads = part_quads(source.joints, size)[0].numpy()
    masks = [part_masks(figures.joints, size)[0].numpy() for figures in (source, candidate)]
    transforms = part_transforms(candidate.joints.double(), source.joints.double(), size)[0].numpy()
    for part, name in enumerate(one.name for one in WARP_PARTS):
        seen = [mask[part].any() for mask in masks]
        aligned = all(seen) and transforms[part, :, 2].min() < NO_PART_PX
        if not aligned:
            total += sum((mask[part] & (labels > 0)).sum() for mask, labels in zip(masks, maps, strict=True))
            continue
        for y, x in itertools.product(range(height), range(width)):
            u, v = transforms[part] @ (x, y, 1)
            came = name == "body" or inside(source_quads[part], u, v)
            for label in FOREGROUND_LABELS:
                own = float(masks[1][part, y, x] and maps[1][y, x] == label)
                total += (own - (bilinear(maps[0], label, u, v) if came else 0.0)) ** 2
    return total


@pytest.mark.parametrize("seed", range(4))
def test_the_criterion_is_the_papers_sum(seed):
    figures = people(2, seed=seed)
    source, candidate = figures.take(torch.tensor([0])), figures.take(torch.tensor([1]))
    if seed == 3:  # a part that only one shows
        source.joints[0, Joint.R_WRIST] = torch.tensor(MISSING)
        candidate.joints[0, Joint.L_KNEE] = torch.tensor(MISSING)
    expected = naive(source, candidate)
    assert expected > 20
    assert mismatch(source, candidate).item() == pytest.approx(expected, rel=2e-3)


def test_oneself_fits_and_so_does_oneself_elsewhere():
    figures = people(6)
    np.testing.assert_allclose(mismatch(figures, figures), 0, atol=0.01)
    moved = Figures(torch.zeros_like(figures.labels), figures.joints.clone())
    moved.labels[:, :, 1:] = figures.labels[:, :, :-1]  # nobody reaches the border
    moved.joints[..., 0] += figures.joints[..., 2]
    alone = (figures.labels[:, :, -1] > 0).flatten(1).sum(1) == 0
    assert alone.any()
    apart = Figures(figures.labels.flip(0), figures.joints)
    assert (mismatch(figures, moved)[alone] < 0.2 * mismatch(figures, apart)[alone]).all()


def test_a_pair_does_not_depend_on_its_batch():
    figures = people(6)
    other = figures.take(torch.tensor([3, 4, 5, 0, 1, 2]))
    together = mismatch(figures, other)
    for row in range(6):
        one = torch.tensor([row])
        assert mismatch(figures.take(one), other.take(one)).item() == together[row].item()


def test_mirrored_pairs_score_alike():
    figures, width = people(8), 18
    other = figures.take(torch.arange(8).roll(1))
    turned = [Figures(flip_labels(one.labels), flip_joints(one.joints, width)) for one in (figures, other)]
    np.testing.assert_allclose(mismatch(*turned), mismatch(figures, other), rtol=0.1)


def test_an_empty_candidate_is_no_bargain():
    source = people(1)
    nobody = Figures(torch.zeros_like(source.labels), torch.tensor(MISSING).expand(1, 18, 3).clone())
    dressed = (source.labels > 0).sum().item()
    parts = part_masks(source.joints, (32, 18))[0] & (source.labels[0] > 0)
    assert mismatch(source, nobody).item() == pytest.approx(dressed + parts[1:].sum().item())


def test_reduced_maps_keep_what_covers_most():
    labels = torch.zeros(1, 64, 8, dtype=torch.uint8)
    labels[0, :32, :4], labels[0, 32:, 4:] = Label.UPPER, Label.PANTS
    joints = torch.tensor(MISSING).expand(1, 18, 3).clone()
    joints[0, Joint.NECK] = torch.tensor([2.5, 12.5, 1])
    small = reduce(Figures(labels, joints), 16)
    expected = torch.zeros(16, 2, dtype=torch.uint8)
    expected[:8, 0], expected[8:, 1] = Label.UPPER, Label.PANTS
    assert torch.equal(small.labels[0], expected)
    assert small.joints[0, Joint.NECK].tolist() == [0.25, 2.75, 1]
    assert small.joints[0, Joint.NOSE].tolist() == list(MISSING)


def test_reduced_maps_rank_as_large_ones_do(data):
    """On real photos at 64 rows: rank correlation, and what choosing by the small maps costs of the gain."""
    batch = collate(list(itertools.islice(read_folder(data / "ccp256", "val"), 40)))
    full = reduce(Figures(batch.labels, batch.joints), 64)
    small = reduce(full, 32)
    correlations, lost, gain = [], 0.0, 0.0
    for row in range(4):
        source, others = torch.full((36,), row), torch.arange(4, 40)
        large, reduced = (mismatch(one.take(source), one.take(others)).numpy() for one in (full, small))
        ranks = [scores.argsort().argsort() for scores in (large, reduced)]
        correlations.append(np.corrcoef(*ranks)[0, 1])
        lost += large[reduced.argmin()] - large.min()
        gain += large.mean() - large.min()
    assert np.mean(correlations) > 0.95
    assert lost < 0.1 * gain
