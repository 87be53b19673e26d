"""The annotator's windows: image, labels and joints move alike, and whose rows they are makes no difference."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from spt_dist import config
from spt_dist.body import Joint, Label
from spt_dist.data.frame import frame
from spt_dist.data.schema import Batch
from spt_dist.models.noise import Rows
from spt_dist.train.windows import draw_windows, look_through, random_windows

SIZE = (64, 48)  # of the picture
NETWORK = config.Annotator(size=(32, 24), widths=(4, 6, 8), blocks=0)


@pytest.fixture
def batch():
    """Pictures whose blocks of 8x8 px have a colour, a label and a joint of their own."""
    rng = np.random.default_rng(0)
    blocks = rng.permutation(48)[:18]
    rows, columns = blocks // 6, blocks % 6
    labels = np.zeros(SIZE, np.uint8)
    image = np.zeros((*SIZE, 3), np.uint8)
    joints = np.zeros((18, 3), np.float32)
    for joint, (row, column) in enumerate(zip(rows, columns, strict=True)):
        place = slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8)
        labels[place], image[place] = 1 + joint % 9, (40 + 10 * joint, 250 - 10 * joint, 5 * joint)
        joints[joint] = 8 * column + 3.5, 8 * row + 3.5, 1
    return Batch(
        ["a"] * 3,
        torch.from_numpy(np.stack([image] * 3)),
        torch.from_numpy(np.stack([labels] * 3)),
        torch.from_numpy(np.stack([joints] * 3)),
    )


def test_joints_and_labels_move_alike_and_with_the_picture(batch):
    windows = torch.tensor([[23.5, 31.5, 64.0], [20.0, 30.0, 32.0], [30.3, 24.1, 90.0]])
    seen = look_through(batch, windows, (32, 24))
    shown = 0
    for sample in range(3):
        for joint in Joint:
            x, y, visible = seen.joints[sample, joint].tolist()
            if not visible:
                continue
            shown += 1
            row, column = min(round(y), 31), min(round(x), 23)
            assert seen.labels[sample, row, column] == 1 + joint % 9
            colour = torch.tensor([40 + 10 * joint, 250 - 10 * joint, 5 * joint])
            assert (seen.images[sample, row, column] - colour).abs().max() <= 2
    assert shown > 30


def test_the_whole_picture_at_half_size_is_what_its_pixels_say(batch):
    seen = look_through(batch, torch.tensor([[23.5, 31.5, 64.0]] * 3), (32, 24))
    halved = batch.images[0].float().unflatten(0, (32, 2)).unflatten(2, (24, 2)).mean((1, 3))
    assert (seen.images[0].float() - halved).abs().max() <= 0.5
    assert_close(seen.joints[0, :, :2], (batch.joints[0, :, :2] + 0.5) / 2 - 0.5)


def test_beyond_the_picture_the_frames_rule_holds(batch):
    seen = look_through(batch, torch.tensor([[-30.0, 31.5, 64.0]] * 3), (32, 24))
    assert (seen.labels == Label.BACKGROUND).all()
    assert (seen.joints == torch.tensor([-1.0, -1.0, 0.0])).all()
    assert (seen.images[0] == seen.images[0][:, :1]).all()  # each row repeats the outermost pixel


def test_a_person_who_fills_the_window_lies_as_the_frame_would_put_them(batch):
    network = config.Annotator(size=(32, 24), scales=(1.0, 1.0))
    middle = torch.full((3, 3), 0.5)  # as large as the frame, in the middle
    seen = look_through(batch, draw_windows(batch, network, middle), (32, 24))
    framed = frame(batch.images[0].numpy(), batch.labels[0].numpy(), batch.joints[0].numpy(), (32, 24))
    assert_close(seen.joints[0], torch.from_numpy(framed.joints), rtol=0, atol=0.5)  # the frame lies on whole px


def test_windows_do_not_depend_on_who_computes_which_rows(batch):
    together = random_windows(batch, NETWORK, Rows((1, 8), 3, 0, 3))
    for row in range(3):
        alone = Batch(["a"], *(each[row : row + 1] for each in batch[1:]))
        seen = random_windows(alone, NETWORK, Rows((1, 8), 3, row, 1))
        for ours, theirs in zip(seen[1:], together[1:], strict=True):
            assert_close(ours[0], theirs[row])
    other = random_windows(batch, NETWORK, Rows((1, 11), 3, 0, 3))
    assert not torch.equal(other.images, together.images)


def test_sizes_lie_between_the_scales(batch):
    windows = torch.cat([draw_windows(batch, NETWORK, torch.rand(3, 3)) for _ in range(50)])
    least, most = (draw_windows(batch, NETWORK, torch.full((3, 3), value))[0, 2] for value in (1.0, 0.0))
    assert least < windows[:, 2].min() < windows[:, 2].max() < most
    assert most / least == pytest.approx(NETWORK.scales[1] / NETWORK.scales[0], rel=1e-4)
