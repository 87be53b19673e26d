"""The annotator's network: what its two answers mean, and that it fits in the box."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from spt_dist import config, losses
from spt_dist.body import Joint, Label
from spt_dist.geometry import heatmaps
from spt_dist.models.annotator import SEEN, AnnotatorNetwork, Peaks, heatmap_peaks, seen_joints

SMALL = config.Annotator(size=(32, 24), widths=(4, 6, 8), blocks=1)


@pytest.fixture
def joints():
    """Two people, every joint at a broken place of 40x30 px; the second's last five are missing."""
    rng = np.random.default_rng(3)
    places = rng.uniform((8, 8), (22, 32), (2, len(Joint), 2))
    made = torch.from_numpy(np.concatenate([places, np.ones((2, len(Joint), 1))], 2)).float()
    made[1, -5:] = torch.tensor([-1.0, -1.0, 0.0])
    return made


def test_peaks_are_found_between_pixels_and_missing_joints_are_missing(joints):
    wanted = heatmaps(joints, (40, 30), 1.5)
    peaks = heatmap_peaks(torch.log(wanted.clamp(min=1e-12)) + 4.0)
    seen = joints[..., 2] > 0
    assert_close(peaks.xy[seen], joints[..., :2][seen], rtol=0, atol=0.05)
    assert (peaks.confidence[seen] > 0.95).all()
    assert (peaks.confidence[~seen] < 1e-6).all()
    assert_close(seen_joints(peaks), joints, rtol=0, atol=0.05)


def test_a_confidence_is_what_lies_round_the_peak_of_all_there_is():
    logits = torch.full((1, 1, 40, 30), -torch.inf)
    logits[0, 0, 5, 5], logits[0, 0, 35, 25] = torch.tensor([3.0, 2.0]).log()  # 'nowhere' weighs 1
    peaks = heatmap_peaks(logits.expand(1, len(Joint), 40, 30))
    assert_close(peaks.confidence, torch.full((1, len(Joint)), 3 / 6))
    assert_close(peaks.xy[0, 0], torch.tensor([5.0, 5.0]))


def test_joints_below_the_threshold_are_missing():
    confidence = torch.tensor([[SEEN - 0.01, SEEN + 0.01] * 9])
    found = seen_joints(Peaks(torch.ones(1, 18, 2), confidence))
    assert found[0, 0].tolist() == [-1, -1, 0]
    assert found[0, 1].tolist() == [1, 1, 1]


def test_the_loss_of_places_is_the_cross_entropy_over_pixels_and_nowhere(joints):
    logits = torch.randn(2, len(Joint), 40, 30, generator=torch.Generator().manual_seed(0)).requires_grad_()
    wanted = heatmaps(joints, (40, 30), 1.5)
    rows, targets = [], []
    for person, joint in np.ndindex(2, len(Joint)):
        rows.append(torch.cat([logits[person, joint].flatten(), torch.zeros(1)]))
        shares = wanted[person, joint].flatten()
        somewhere = joints[person, joint, 2]
        targets.append(torch.cat([shares / shares.sum() if somewhere else shares, 1 - somewhere[None]]))
    expected = cross_entropy(torch.stack(rows), torch.stack(targets))
    found = losses.places(logits, wanted)
    assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(loss, logits)[0] for loss in (found, expected))
    assert_close(ours, theirs)


def test_the_network_answers_at_the_pictures_size_whatever_that_is():
    network = AnnotatorNetwork(SMALL).eval()
    for size in ((32, 24), (48, 40)):
        assert network(torch.zeros(2, 3, *size)).shape == (2, len(Label) + len(Joint), *size)
    with pytest.raises(ValueError, match=r"cannot take 30x24 px.*multiples of 4"):
        network(torch.zeros(1, 3, 30, 24))


def test_at_first_a_joint_is_as_likely_nowhere_as_somewhere():
    torch.manual_seed(0)
    network = AnnotatorNetwork(SMALL).eval()
    with torch.no_grad():
        network.head.weight.zero_()
        places = network(torch.zeros(1, 3, 32, 24))[:, len(Label) :].flatten(2)
    nowhere = 1 / (1 + places.exp().sum(2))
    assert_close(nowhere, torch.full_like(nowhere, 0.5))


def test_the_networks_weights_fit_in_12_mb():
    parameters = AnnotatorNetwork(config.Annotator()).parameters()
    assert sum(each.numel() for each in parameters) <= 3_000_000
