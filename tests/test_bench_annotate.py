"""`spt bench annotate`: who annotates rightly scores all, and costs a drawn picture nothing."""

import numpy as np
import pytest
import torch

from spt_dist import bench_annotate
from spt_dist.annotate.annotation import Annotation, nobody
from spt_dist.data.importers import read_folder
from spt_dist.data.synthetic import draw_folder
from spt_dist.infer import Predictor


class Knows:
    """Has been told what is in each photo, and sees nobody in the last one."""

    name = "told"

    def __init__(self, samples):
        self.told = {sample.image.tobytes(): sample for sample in samples[:-1]}

    def annotate(self, photo):
        sample = self.told.get(photo.tobytes()) or nobody("I was not told")
        return Annotation(sample.joints, sample.labels, np.ones(18, np.float32), (0.0, 0.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "people"
    draw_folder(folder, 1, (96, 64), seed=5, test_people=2)
    return folder


def test_what_is_found_rightly_scores_all_and_draws_the_same(folder):
    samples = list(read_folder(folder, "test"))
    found = list(bench_annotate.find(Knows(samples), folder, "test", None))
    assert [bool(each.refused) for each in found] == [False, False, False, True]
    wanted = torch.tensor([int((sample.joints[:, 2] > 0).sum()) for sample in samples])
    scored = bench_annotate.score_found(found)
    assert scored.pck[0.1]["all"] == pytest.approx((wanted[:-1].sum() / wanted.sum()).item())
    drawn = bench_annotate.draw_found(Predictor.load(), found)
    assert drawn.pictures == 3
    assert drawn.each_other == pytest.approx(1.0, abs=1e-4)
    assert drawn.by_source[bench_annotate.GIVEN] == pytest.approx(drawn.by_source[bench_annotate.FOUND])
    said = []
    tree = bench_annotate.to_tree(found, scored, drawn, said.append)
    assert said == [
        f"{samples[-1].id}: no person found in the photo: I was not told; give its joints and its parsing map"
    ]
    assert tree["drawn"]["pictures"] == 3
    assert [table.row_count for table in bench_annotate.to_tables(found, scored, drawn)] == [2, 1, 2]


def test_a_folder_that_cannot_be_read_is_named(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "people")
    broken = next((tmp_path / "people" / "img").glob("test_*"))
    broken.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{broken.stem}.*take it off the list"):
        list(bench_annotate.find(Knows([None]), tmp_path / "people", "test", None))
