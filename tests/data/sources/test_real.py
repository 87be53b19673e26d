"""Real data: published annotations row by row, and street photos whose maps exist in our labels already."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from spt_dist.body import CLOTHING_LABELS, MISSING, Label
from spt_dist.data.importers import Unreadable, annotation, read_folder
from spt_dist.data.sources.label_maps import read_label_map
from spt_dist.data.sources.merges import merge

# File: rows, imported, junk, no joints. Of the junk rows 3,065 have no joints either.
POSE_BANK = {
    "fashion-resize-annotation-test.csv": (4038, 3419, 0, 619),
    "fasion-annotation-test.csv": (4061, 3421, 0, 640),
    "fasion-annotation-test_new_split.csv": (8146, 7854, 0, 292),
    "market-annotation-test.csv": (19732, 12735, 6617, 380),
    "market-annotation-train.csv": (12936, 12517, 0, 419),
}


@pytest.mark.parametrize("name", POSE_BANK)
def test_each_published_row_is_accounted_for(do, data, name):
    rows, imported, junk, nobody = POSE_BANK[name]
    account, out = do("poses", data / "pose_bank" / name)
    assert (account.read, account.imported) == (rows, imported)
    assert account.reasons == {
        reason: count for reason, count in (("junk identity", junk), ("no joints", nobody)) if count
    }
    assert len((out / "keypoints.csv").read_text().splitlines()) == imported + 1
    assert len((out / "dropped.jsonl").read_text().splitlines()) == junk + nobody


def test_the_pose_bank_as_one(do, data):
    """590 names with joints stand in both test files of one lineage."""
    account, out = do("poses", data / "pose_bank")
    assert account.read == sum(rows for rows, *_ in POSE_BANK.values()) == 48_913
    assert account.reasons == {"junk identity": 6617, "duplicate": 590, "no joints": 2350}
    assert account.imported == 39_356
    assert json.loads((out / "import.json").read_text())["rows"]["imported"] == 39_356


def test_the_published_demo_imports(do, data):
    demo = data / "spt_demo"
    account, out = do("folder", demo / "imgs", keypoints=(demo / "imgs" / "keypoints.csv",), parsing=demo / "parsing")
    assert account.imported == 4
    for sample in read_folder(out, "train"):
        assert not isinstance(sample, Unreadable)
        np.testing.assert_array_equal(sample.labels, np.load(demo / "parsing" / f"{sample.id}.npy"))


def placed(raw: np.ndarray, small: np.ndarray) -> tuple[float, int, int]:
    """Where a photo lies in its smaller version: scale, and the left and top px that were cut; by its middle."""
    template, best = small[20:236, 96:160], (-1.0, 1.0, 0, 0)
    for height in range(236, 276, 2):
        shrunk = cv2.resize(raw, (round(raw.shape[1] * height / raw.shape[0]), height), interpolation=cv2.INTER_AREA)
        _, score, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(shrunk, template, cv2.TM_CCOEFF_NORMED))
        best = max(best, (score, height / raw.shape[0], x - 96, y - 20))
    assert best[0] > 0.9
    return best[1:]


def test_ccp_originals_agree_with_the_maps_in_our_labels(do, data, tmp_path):
    """Joints of the small photos, carried to the originals, let `skin` find its limbs; then both maps say the same."""
    small = {sample.id: sample for sample in read_folder(data / "ccp256", "test") if not isinstance(sample, Unreadable)}
    places, lines = {}, []
    for path in sorted((data / "ccp_raw" / "photos").glob("*.jpg")):
        raw, sample = np.array(Image.open(path).convert("L")), small[f"ccp_{path.stem}"]
        scale, left, top = places[path.stem] = placed(raw, cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY))
        joints = sample.joints.copy()
        joints[:, :2] = (joints[:, :2] + (left, top) + 0.5) / scale - 0.5
        joints[sample.joints[:, 2] == 0] = MISSING
        lines.append(annotation(path.name, joints))
    keypoints = tmp_path / "keypoints.csv"
    keypoints.write_text("\n".join(lines))
    account, out = do("ccp", data / "ccp_raw", keypoints=(keypoints,))
    assert (account.imported, len(account.dropped)) == (60, 0)
    table = np.zeros((len(Label), len(Label)), int)
    for sample in read_folder(out, "train"):
        assert not isinstance(sample, Unreadable)
        ours = small[f"ccp_{sample.id}"].labels
        scale, left, top = places[sample.id]
        y, x = (np.round((np.arange(256) + cut + 0.5) / scale - 0.5).astype(int) for cut in (top, left))
        inside = np.ix_((y >= 0) & (y < sample.labels.shape[0]), (x >= 0) & (x < sample.labels.shape[1]))
        seen = sample.labels[np.ix_(y[inside[0].ravel()], x[inside[1].ravel()])]
        table += np.bincount(len(Label) * ours[inside].ravel() + seen.ravel(), minlength=100).reshape(table.shape)
    agreed = table.diagonal() / (table.sum(0) + table.sum(1) - table.diagonal())
    print("IoU by label:", {label.name: round(float(agreed[label]), 3) for label in Label})
    assert all(agreed[label] > 0.9 for label in CLOTHING_LABELS)
    assert agreed[Label.BACKGROUND] > 0.95
    assert agreed[Label.HAIR] > 0.8
    assert all(agreed[label] > 0.7 for label in (Label.FACE, Label.L_ARM, Label.R_ARM, Label.L_LEG, Label.R_LEG))


def test_ccp_without_joints_keeps_skin_where_clothes_tell(data):
    """Without joints skin goes to what is labelled next to it, and never to clothes."""
    path = sorted((data / "ccp_raw" / "annotations").glob("*.mat"))[0]
    found = read_label_map(path)
    merged = merge(found, "ccp-59")
    assert not np.isin(merged[found == 41], CLOTHING_LABELS).any()
