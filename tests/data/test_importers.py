import shutil

import numpy as np
import pytest

from spt_dist.body import MISSING
from spt_dist.data.importers import Unreadable, parse_keypoints, read_folder, splits
from spt_dist.data.schema import DataError, Sample


@pytest.fixture
def folder(data, tmp_path):
    """Three real photos in a folder of their own."""
    source = data / "ccp256"
    names = (source / "train.txt").read_text().split()[:3]
    for part in ("img", "parsing"):
        (tmp_path / part).mkdir()
    for name in names:
        shutil.copyfile(source / "img" / name, tmp_path / "img" / name)
        png = name.replace(".jpg", ".png")
        shutil.copyfile(source / "parsing" / png, tmp_path / "parsing" / png)
    shutil.copyfile(source / "keypoints.csv", tmp_path / "keypoints.csv")
    (tmp_path / "train.txt").write_text("\n".join(names) + "\n")
    return tmp_path


def test_reads_images_labels_and_joints(folder):
    samples = list(read_folder(folder, "train"))
    assert splits(folder) == ["train"]
    assert [sample.id for sample in samples] == ["ccp_0001", "ccp_0002", "ccp_0003"]
    first = samples[0]
    assert first.image.shape == (256, 256, 3)
    assert first.labels.max() == 9
    np.testing.assert_array_equal(first.joints[0], (145, 32, 1))  # y comes first in the file
    assert (first.split, first.identity, first.source) == ("train", None, folder.name)


def test_identities_are_read(folder):
    (folder / "identities.csv").write_text("name,identity\nccp_0002.jpg,anna\n")
    assert [sample.identity for sample in read_folder(folder, "train")] == [None, "anna", None]


def test_what_cannot_be_read_is_named_and_passed_on(folder):
    (folder / "img" / "ccp_0001.jpg").write_bytes(b"no image")
    (folder / "parsing" / "ccp_0002.png").unlink()
    (folder / "train.txt").write_text((folder / "train.txt").read_text() + "stranger.jpg\n")
    found = list(read_folder(folder, "train"))
    assert [type(one) for one in found] == [Unreadable, Unreadable, Sample, Unreadable]
    assert "img/ccp_0001.jpg" in found[0].reason
    assert "cannot read `parsing/ccp_0002.png`" in found[1].reason
    assert "keypoints.csv" in found[3].reason


def test_missing_joints_and_bad_lists():
    ys, xs = [7] * 18, [3] * 18
    ys[4] = -1
    joints = parse_keypoints(str(ys), str(xs), "here")
    np.testing.assert_array_equal(joints[4], MISSING)
    np.testing.assert_array_equal(joints[5], (3, 7, 1))
    for bad in ("[1, 2]", "nonsense", '["a"]'):
        with pytest.raises(DataError, match="here: expected two JSON lists of 18"):
            parse_keypoints(bad, str(xs), "here")


def test_a_missing_split_lists_those_there(folder):
    with pytest.raises(DataError, match=r"has the splits \['train'\]"):
        next(read_folder(folder, "val"))
    (folder / "keypoints.csv").unlink()
    with pytest.raises(DataError, match=r"keypoints.csv"):
        next(read_folder(folder, "train"))
