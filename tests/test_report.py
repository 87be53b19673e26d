"""The report's parts: curves by stage, frames of the film, and a page with or without them."""

import base64
import json
import re
import shutil

import cv2
import numpy as np
import pytest

from spt_dist.curves import STAGE_COLOURS, Curve, curves, draw_curves
from spt_dist.report import FRAMES_PER_STAGE, Findings, choose_frames, write_report
from spt_dist.run_log import tell_event

ROW = {"against": "true target", "definition": "as one sees", "better": "higher", "n": 4, "metric": "beauty"}
FINDINGS = Findings([ROW | {"variant": "generated", "value": 0.5}], ["FID is not computed"], [], (), {})


def colours_in(png):
    picture = cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return {
        stage
        for stage, colour in STAGE_COLOURS.items()
        if (np.abs(picture.astype(int) - [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).max(2) < 6).sum() > 20
    }


def test_a_curve_has_the_points_of_its_name():
    log = [
        {"stage": "pose", "all_images": 4, "terms": {"a/x": 3.0}},
        {"stage": "semantic", "all_images": 8, "terms": {"a/x": 2.0, "b/y": 1.0}},
    ]
    assert curves(log, "terms") == [
        Curve("a/x", [("pose", 4, 3.0), ("semantic", 8, 2.0)]),
        Curve("b/y", [("semantic", 8, 1.0)]),
    ]


def test_each_stage_is_drawn_in_its_colour():
    points = [("pose", 4, 1.0), ("pose", 8, 0.5), ("appearance", 12, 0.7), ("appearance", 16, 0.1)]
    assert colours_in(draw_curves([Curve("a/x", points)])) == {"pose", "appearance"}
    plain, ringed = (
        cv2.imdecode(np.frombuffer(draw_curves([Curve("a/x", points, best)]), np.uint8), cv2.IMREAD_GRAYSCALE)
        for best in (None, (16, 0.1))
    )
    assert (plain != ringed).any()


def write_frames(run, numbers):
    (run / "previews").mkdir(exist_ok=True)
    for images in numbers:
        cv2.imwrite(str(run / "previews" / f"{images:012d}.jpg"), np.full((8, 8, 3), images % 256, np.uint8))
    cv2.imwrite(str(run / "previews" / "people.jpg"), np.zeros((8, 8, 3), np.uint8))


def test_frames_are_few_evenly_apart_and_end_with_the_stages_last(tmp_path):
    write_frames(tmp_path, range(10, 201, 10))
    reached = {40: "pose", 100: "semantic", 160: "semantic", 200: "appearance"}
    frames = choose_frames(tmp_path, reached)
    assert FRAMES_PER_STAGE == 3
    assert [(frame["stage"], frame["images"]) for frame in frames] == [
        ("semantic", 80), ("semantic", 120), ("semantic", 160), ("appearance", 170), ("appearance", 180),
        ("appearance", 200),
    ]  # fmt: skip
    assert {frame["colour"] for frame in frames} == {STAGE_COLOURS["semantic"], STAGE_COLOURS["appearance"]}
    shown = base64.b64decode(frames[0]["image"].partition(",")[2])
    assert cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR).mean() == pytest.approx(80, abs=3)


def test_the_page_shows_what_a_run_kept_and_nothing_that_it_did_not(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    out = run / "evaluation"
    out.mkdir(exist_ok=True)
    cv2.imwrite(str(out / "grid.png"), np.zeros((8, 8, 3), np.uint8))
    plain = write_report(run, out, run / "weights", FINDINGS).read_text()
    assert "Validation scores" not in plain
    assert "The same people" not in plain
    assert "What happened to it" not in plain
    write_frames(run, (4, 8, 16))
    with (run / "log.jsonl").open("a") as log:
        for images in (12, 16):
            log.write(
                json.dumps({"stage": "semantic", "all_images": images, "terms": {"semantic/parsing": 1.0}}) + "\n"
            )
        scores = {"stage": "semantic", "all_images": 16, "against": "true target", "pairs": 3, "scores": {"mIoU": 0.5}}
        log.write(json.dumps(scores) + "\n")
    tell_event(run, "rank 1 failed: <killed>", rank=1)
    page = write_report(run, out, run / "weights", FINDINGS).read_text()
    assert re.search(
        r"What happened to it.*<time>20\d\d-.* UTC</time> rank 1 failed: &lt;killed&gt;</li>", page, re.DOTALL
    )
    assert "3 pairs of the validation split, against the true target" in page
    assert len(re.findall(r'<figure class="semantic"', page)) == 1  # at 16; 4 and 8 belong to the pose detector
    assert '<figure class="still">' in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert not re.search(r"<script|@import|url\(", page)
