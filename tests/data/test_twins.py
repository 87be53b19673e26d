import pytest
import torch
from torch.testing import assert_close

from spt_dist.data.importers import read_folder
from spt_dist.data.schema import DataError, collate
from spt_dist.data.synthetic import draw_folder
from spt_dist.data.twins import Twins


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twins") / "people"
    draw_folder(folder, 4, (32, 16), seed=1, twins=True)
    return list(read_folder(folder, "train")), list(read_folder(folder, "twin"))


def test_every_person_has_a_twin_in_another_pose(samples):
    train, twins = samples
    assert [sample.identity for sample in train] == [sample.identity for sample in twins]
    assert not {sample.id for sample in train} & {sample.id for sample in twins}
    assert all((one.joints != other.joints).any() for one, other in zip(train, twins, strict=True))


def test_twins_leave_the_training_pictures_as_they_were(samples, tmp_path):
    draw_folder(tmp_path / "people", 4, (32, 16), seed=1)
    alone = list(read_folder(tmp_path / "people", "train"))
    assert all((one.image == other.image).all() for one, other in zip(alone, samples[0], strict=True))


def test_a_pair_is_a_picture_and_its_twin_mirrored_alike(samples):
    train, twins = samples
    flipped = torch.tensor([False, True, False, True])
    source, truth = collate(train).flip(flipped), collate(twins).flip(flipped)
    pairs = Twins(train, twins).pair(source)
    assert pairs.source is source
    assert_close(pairs.target.joints, truth.joints)
    assert (pairs.target.labels == truth.labels).all()


def test_a_person_without_a_twin_is_named(samples):
    train, twins = samples
    with pytest.raises(DataError, match=f"{train[3].id}.*--twins"):
        Twins(train, twins[:3])
