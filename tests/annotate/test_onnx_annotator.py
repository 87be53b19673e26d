"""Real ONNX models, exported for this, whose answers are known: dots by colour, a blob, classes by colour."""

import hashlib

import cv2
import numpy as np
import pytest
from annotators import BLOCK, GROUND, declaration, paint

from spt_dist.annotate.onnx_annotator import OnnxAnnotator
from spt_dist.body import Joint, Label
from spt_dist.config import ConfigError
from spt_dist.data.schema import DataError
from spt_dist.data.sources.orders import ORDERS, to_field

SCENES = {  # height and width of the photo; the person's box by its edges
    "portrait": ((240, 180), (50, 30, 120, 200)),
    "odd landscape": ((181, 333), (100, 20, 171, 171)),
    "at the upper left border": ((150, 150), (0, 0, 70, 150)),
    "at the lower right border": ((220, 200), (110, 55, 200, 220)),
    "large": ((400, 310), (120, 100, 250, 390)),
}


@pytest.mark.parametrize("kind", ["simcc", "heatmaps", "detector"])
@pytest.mark.parametrize("scene", SCENES)
def test_joints_and_labels_are_where_they_were_painted(models, kind, scene):
    photo, dots = paint(*SCENES[scene])
    found = OnnxAnnotator.load(models / f"{kind}.toml").annotate(photo)
    wanted = to_field(np.column_stack((dots, np.ones(len(dots)))), "coco-17")
    np.testing.assert_array_equal(found.joints[:, 2], wanted[:, 2])
    np.testing.assert_allclose(found.joints[:, :2], wanted[:, :2], atol=0.5)
    np.testing.assert_allclose(found.confidence, 0.9, atol=0.05)
    cell = np.ones((15, 15), np.uint8)  # more than a cell of the parser, within which an edge may fall to either side
    for colour, label in ((BLOCK, Label.UPPER), (GROUND, Label.BACKGROUND)):
        there = (photo == colour).all(-1).astype(np.uint8)
        inner = cv2.erode(there, cell, borderType=cv2.BORDER_CONSTANT, borderValue=0.0) > 0
        assert inner.sum() > 1000
        assert (found.labels[inner] == label).all()
    assert found.labels.shape == photo.shape[:2]


def test_the_detectors_box_is_the_person_and_not_the_larger_car(models):
    photo, _ = paint((240, 180), (50, 30, 120, 200))
    box = OnnxAnnotator.load(models / "detector.toml").annotate(photo).box
    np.testing.assert_allclose(box, (50, 30, 119, 199), atol=240 / 160)  # of a look at 160 px


def test_without_a_detector_the_box_is_that_of_the_joints_with_a_margin(annotator):
    photo, dots = paint((240, 180), (50, 30, 120, 200))
    x0, y0, x1, y1 = annotator.annotate(photo).box
    reach = 0.16 * np.ptp(dots[:, 1])
    np.testing.assert_allclose((x0, y0, x1, y1), (*(dots.min(0) - reach), *(dots.max(0) + reach)), atol=1)


def test_joints_that_are_not_shown_are_missing_and_the_neck_is_between_the_shoulders(annotator):
    photo, dots = paint((240, 180), (50, 30, 120, 200))
    x, y = dots[ORDERS["coco-17"].joints.index("left hip")].astype(int)
    photo[y - 8 : y + 9, x - 8 : x + 9] = BLOCK
    found = annotator.annotate(photo)
    assert found.joints[Joint.L_HIP].tolist() == [-1, -1, 0]
    assert found.confidence[Joint.L_HIP] == 0
    shoulders = found.joints[[Joint.L_SHOULDER, Joint.R_SHOULDER], :2]
    np.testing.assert_allclose(found.joints[Joint.NECK, :2], shoulders.mean(0), atol=1e-4)


@pytest.mark.parametrize("kind", ["simcc", "detector"])
def test_nobody_is_found_in_an_empty_photo(models, kind):
    annotator = OnnxAnnotator.load(models / f"{kind}.toml")
    with pytest.raises(DataError, match=r"no person found.*(sure of 0 joints|no box of class 0 reaches)"):
        annotator.annotate(np.full((90, 70, 3), GROUND, np.uint8))


def test_its_name_says_which_files(models, annotator):
    digest = hashlib.sha256((models / "pose.onnx").read_bytes()).hexdigest()[:12]
    declared = hashlib.sha256((models / "simcc.toml").read_bytes()).hexdigest()[:12]
    assert annotator.name.startswith(f"simcc.toml:{declared} pose:{digest} parsing:")


BROKEN = {
    "size = [192, 144]": ("size = [192]", "`pose.size.1` is missing"),
    'order = "coco-17"': ('order = "coco"', "`pose.order` = 'coco': give one of spt, .*openpose-18"),
    'output = "simcc"': ('output = "points"', "`pose.output` = 'points': .*'simcc' or 'heatmaps'"),
    'labels = "lip-20"': ('labels = "lip"', "`parsing.labels` = 'lip': give one of spt, lip-20"),
    "[parsing]": ("[parser]", "`parsing` is missing"),
    'file = "pose.onnx"': ('files = "pose.onnx"', "`pose.files` is no key; there are file, sha256, size"),
    "std = [50.0": ("std = [0.0", "`pose.std.0` = 0.0"),
    "[pose]": ("[pose", "is not valid TOML"),
}


@pytest.mark.parametrize("line", BROKEN)
def test_a_declaration_that_cannot_be_used_is_refused_by_its_key(models, tmp_path, line):
    text = declaration("simcc")
    assert line in text
    other, words = BROKEN[line]
    (tmp_path / "models.toml").write_text(text.replace(line, other, 1))
    with pytest.raises(ConfigError, match=words):
        OnnxAnnotator.load(tmp_path / "models.toml")


UNFIT = {
    'file = "pose.onnx"': ('file = "none.onnx"', "cannot read `pose.file`"),
    'file = "look.onnx"': ('file = "simcc.toml"', "is no model that ONNX Runtime opens"),
    "size = [192, 144]": ("size = [96, 72]", r"takes picture .*\[1, 3, 192, 144\]; `pose.size` = \[96, 72\]"),
    'tensors = ["scores"]': ('tensors = ["logits"]', r"no output \['logits'\] .* it has scores, classes, rows"),
    'output = "simcc"': ('sha256 = "00ff"\noutput = "simcc"', "has the SHA-256 .*, but `pose.sha256` is 00ff"),
    'order = "coco-17"': ('order = "mediapipe-33"', r"wants x \[1, 33, bins\]"),
    'labels = "lip-20"': ('labels = "atr-18"', r"wants scores \[1, 18, h, w\] of atr-18"),
}


@pytest.mark.parametrize("line", UNFIT)
def test_a_model_that_is_not_what_is_declared_is_refused(models, line):
    other, words = UNFIT[line]
    path = models / "unfit.toml"
    path.write_text(declaration("simcc").replace(line, other, 1))
    with pytest.raises(DataError, match=words):
        OnnxAnnotator.load(path).annotate(paint((240, 180), (50, 30, 120, 200))[0])


def test_a_hash_that_is_right_is_accepted(models):
    digest = hashlib.sha256((models / "pose.onnx").read_bytes()).hexdigest()
    path = models / "sealed.toml"
    path.write_text(declaration("simcc").replace('output = "simcc"', f'sha256 = "{digest}"\noutput = "simcc"'))
    assert OnnxAnnotator.load(path).annotate(paint((240, 180), (50, 30, 120, 200))[0]).labels.any()
