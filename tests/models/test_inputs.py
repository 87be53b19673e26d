import torch
from torch.testing import assert_close

from spt_dist.body import Joint, Label
from spt_dist.geometry import heatmaps
from spt_dist.models.inputs import (
    halve_heatmaps,
    halve_image,
    halve_parsing,
    one_hot,
    parsing_to_read,
    to_bytes,
    to_float,
    to_labels,
    view,
)


def test_bytes_survive_the_way_in_and_out() -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).repeat(2, 1, 1, 3)
    inside = to_float(images)
    assert inside.shape == (2, 3, 16, 16)
    assert inside.is_contiguous()
    assert_close(inside[0, 0, 0, :2], torch.tensor([-1.0, 1 / 127.5 - 1]))
    assert torch.equal(to_bytes(inside), images)


def test_bytes_are_clipped_and_rounded() -> None:
    pixels = torch.tensor([-3.0, 3.0, 0.0, 100.4 / 127.5 - 1])[None, None, None].repeat(1, 3, 1, 1)
    assert to_bytes(pixels)[0, 0, :, 0].tolist() == [0, 255, 128, 100]


def test_the_likeliest_label_is_the_first_of_equals() -> None:
    parsing = torch.rand(2, len(Label), 5, 3, generator=torch.Generator().manual_seed(0))
    parsing[0, [4, 7], 0, 0] = 2.0
    labels = to_labels(parsing)
    assert labels.dtype == torch.uint8
    assert labels[0, 0, 0] == 4
    assert torch.equal(labels.long(), parsing.argmax(1))


def test_a_smooth_parsing_has_no_single_pixels() -> None:
    logits = torch.zeros(1, len(Label), 6, 6)
    logits[:, 3] = 2.0
    logits[0, 5, 2, 2] = 5.0  # one pixel of another label
    assert to_labels(parsing_to_read(logits, smooth=False))[0, 2, 2] == 5
    smooth = parsing_to_read(logits, smooth=True)
    assert (to_labels(smooth) == 3).all()
    assert_close(smooth.sum(1), torch.ones(1, 6, 6))
    assert_close(smooth[..., 0, 0], logits[..., :2, :2].mean((2, 3)).softmax(1))  # at the border, of what there is


def test_each_label_has_its_channel() -> None:
    labels = torch.tensor([[[0, 9], [3, 3]]], dtype=torch.uint8)
    parsing = one_hot(labels)
    assert parsing.shape == (1, len(Label), 2, 2)
    assert torch.equal(parsing.argmax(1), labels.long())
    assert_close(parsing.sum(1), torch.ones(1, 2, 2))


def test_a_view_holds_what_the_networks_read() -> None:
    joints = torch.full((1, len(Joint), 3), -1.0)
    joints[..., 2] = 0
    joints[0, Joint.NOSE] = torch.tensor([2.0, 3.0, 1.0])
    seen = view(
        torch.full((1, 8, 6, 3), 255, dtype=torch.uint8), torch.zeros(1, 8, 6, dtype=torch.uint8), joints, sigma_px=1.5
    )
    assert seen.image.min() == 1
    assert torch.equal(seen.parsing[0, Label.BACKGROUND], torch.ones(8, 6))
    assert seen.heatmaps[0, Joint.NOSE, 3, 2] == 1
    assert_close(seen.heatmaps[0, Joint.NOSE, 3, 4], torch.tensor(-(2.0**2) / (2 * 1.5**2)).exp())
    assert seen.heatmaps[0, Joint.NECK :].max() == 0


def test_halved_heat_maps_are_those_of_the_halved_joints() -> None:
    joints = torch.full((1, len(Joint), 3), -1.0)
    joints[..., 2] = 0
    joints[0, :3] = torch.tensor([[20.0, 30.0, 1.0], [0.0, 2.0, 1.0], [46.0, 62.0, 1.0]])
    half = torch.where(joints[..., 2:] > 0, joints * torch.tensor([0.5, 0.5, 1.0]), joints)
    assert_close(halve_heatmaps(heatmaps(joints, (64, 48))), heatmaps(half, (32, 24)), atol=1e-6, rtol=0)


def test_halving_keeps_flat_pictures_flat_and_maps_one_hot() -> None:
    assert_close(halve_image(torch.full((1, 3, 8, 6), 0.25)), torch.full((1, 3, 4, 3), 0.25))
    parsing = one_hot(torch.randint(0, 10, (2, 8, 6), dtype=torch.uint8))
    assert torch.equal(halve_parsing(parsing).sum(1), torch.ones(2, 4, 3))
    assert torch.equal(halve_parsing(parsing)[:, :, 1, 2], parsing[:, :, 2, 4])
