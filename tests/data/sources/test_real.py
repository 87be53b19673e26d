"""Real data: published annotations row by row, and street photos whose maps exist in our labels already."""

import json
from collections import Counter

import cv2
import numpy as np
from PIL import Image

from spt_dist.body import CLOTHING_LABELS, MISSING, Label
from spt_dist.data.importers import Unreadable, annotation, read_folder
from spt_dist.data.sources.label_maps import read_label_map
from spt_dist.data.sources.merges import merge

# Rows of each file, and those dropped of them. Of the junk rows 3,065 have no joints either; 590 names with joints
# stand in both test files of one lineage.
POSE_BANK = {
    "fashion-resize-annotation-test.csv": (4038, {"no joints": 619}),
    "fasion-annotation-test.csv": (4061, {"no joints": 640}),
    "fasion-annotation-test_new_split.csv": (8146, {"no joints": 292, "duplicate": 590}),
    "market-annotation-test.csv": (19732, {"junk identity": 6617, "no joints": 380}),
    "market-annotation-train.csv": (12936, {"no joints": 419}),
}


def test_each_published_row_is_accounted_for(do, data):
    account, out = do("poses", data / "pose_bank")
    assert account.read == sum(rows for rows, _ in POSE_BANK.values()) == 48_913
    assert account.imported == 39_356
    assert account.reasons == {"junk identity": 6617, "duplicate": 590, "no joints": 2350}
    assert json.loads((out / "import.json").read_text())["rows"]["dropped"] == account.reasons
    dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    by_file = {
        name: Counter(one["reason"] for one in dropped if one["where"].startswith(f"{name}:")) for name in POSE_BANK
    }
    assert by_file == {name: reasons for name, (_, reasons) in POSE_BANK.items()}
    kept = {name: rows - sum(reasons.values()) for name, (rows, reasons) in POSE_BANK.items()}
    assert sum(kept.values()) == len((out / "keypoints.csv").read_text().splitlines()) - 1 == 39_356


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
