"""The page in Chromium: people, poses, and a skeleton whose joints are dragged."""

import base64
import json

import numpy as np
import pytest

from spt_dist.body import FLIP_JOINTS, Joint
from spt_dist.data.frame import window
from spt_dist.joints import parse_pose
from spt_dist.provenance import read

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def target(job) -> np.ndarray:
    return job.order.target_joints


def drag(visit, joint: str, dx: float, dy: float, steps: int = 6) -> None:
    x, y = visit.centre(f"[data-joint={joint}] .dot")
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x + dx, y + dy, steps=steps)
    visit.page.mouse.up()


def moved(before: np.ndarray, after: np.ndarray) -> set[str]:
    return {joint.name.lower() for joint in Joint if (before[joint] != after[joint]).any()}


def test_people_and_poses_that_are_picked_are_drawn(visit, painted):
    opened = visit()
    page = opened.settled()
    assert len(painted.jobs) == 1
    people = page.evaluate("fetch('v1/gallery').then((answer) => answer.json())")["people"]
    page.get_by_role("radio", name="Person 3", exact=True).check(force=True)
    opened.settled()
    opened.until("document.querySelector('#hero img')?.alt.startsWith('Person 3')")
    np.testing.assert_allclose(painted.jobs[-1].order.source.joints, np.array(people[2]["joints"]), atol=1e-4)
    before = opened.picture()
    page.get_by_role("radio", name="Pose of Person 6").check(force=True)
    opened.until_another(before)
    np.testing.assert_allclose(target(painted.jobs[-1]), np.array(people[5]["joints"]), atol=1e-4)
    assert "the networks" in page.locator("#status").inner_text()


def test_dragging_moves_one_joint_and_the_picture_follows(visit, painted):
    opened = visit()
    page = opened.settled()
    before, picture = target(painted.jobs[-1]), opened.picture()
    drag(opened, "r_wrist", 40, 60)
    opened.settled()
    opened.until_another(picture)
    after = target(painted.jobs[-1])
    assert moved(before, after) == {"r_wrist"}
    assert len(painted.jobs) <= 8  # and the pose of the end is drawn once
    scale = page.evaluate("document.querySelector('#skeleton svg').getScreenCTM().a")
    np.testing.assert_allclose((after - before)[Joint.R_WRIST, :2], np.array((40, 60)) / scale, atol=0.02)


def test_fast_dragging_has_one_request_under_way_and_ends_with_the_last_pose(visit, painted):
    painted.delay_s = 0.15
    opened = visit()
    page = opened.settled()
    drag(opened, "l_wrist", -50, 80, steps=60)
    opened.settled()
    shown = [page.locator(f"[data-joint={name}]").get_attribute("aria-label") for name in ("l_wrist", "r_wrist")]
    after = target(painted.jobs[-1])
    x, y, _ = after[Joint.L_WRIST]
    assert f"x {np.floor(x + 0.5):.0f}, y {np.floor(y + 0.5):.0f}" in shown[0]
    assert painted.most_inside == 1
    assert 3 <= len(painted.jobs) < 15  # of the 60 steps the newest, each time somebody was free


def test_keys_move_choose_hide_and_take_back(visit, painted):
    opened = visit()
    page = opened.settled()
    start = target(painted.jobs[-1])
    page.locator("#skeleton [tabindex='0']").focus()
    seen = []
    for _ in Joint:
        seen.append(page.evaluate("document.activeElement.dataset.joint"))
        page.keyboard.press("]")
    assert seen == [joint.name.lower() for joint in Joint]
    assert page.locator("#skeleton [tabindex='0']").count() == 1
    for key in ("n", "ArrowRight", "Shift+ArrowDown"):
        page.keyboard.press(key)
    chosen = page.evaluate("document.activeElement.dataset.joint")
    assert chosen == "neck"
    opened.settled()
    after = target(painted.jobs[-1])
    assert moved(start, after) == {"neck"}
    np.testing.assert_allclose((after - start)[Joint.NECK], (1, 5, 0), atol=1e-4)
    page.keyboard.press("h")
    opened.settled()
    assert target(painted.jobs[-1])[Joint.NECK, 2] == 0
    assert "hidden" in page.locator("[data-joint=neck]").get_attribute("aria-label")
    for key in ("Control+z", "Control+z", "Control+z"):
        page.keyboard.press(key)
    opened.settled()
    np.testing.assert_array_equal(target(painted.jobs[-1]), start)
    page.keyboard.press("Control+Shift+z")
    opened.settled()
    np.testing.assert_allclose((target(painted.jobs[-1]) - start)[Joint.NECK], (1, 0, 0), atol=1e-4)


def test_mirror_whole_and_reset(visit, painted):
    opened = visit()
    page = opened.settled()
    start = target(painted.jobs[-1])
    page.get_by_role("button", name="Mirror").click()
    opened.settled()
    expected = start[list(FLIP_JOINTS)]
    expected[:, 0] = np.where(expected[:, 2] > 0, 63 - expected[:, 0], -1)
    np.testing.assert_allclose(target(painted.jobs[-1]), expected, atol=0.011)
    page.get_by_role("button", name="Reset").click()
    page.get_by_role("button", name="Move whole").click()
    page.locator("#skeleton [tabindex='0']").focus()
    page.keyboard.press("Shift+ArrowLeft")
    opened.settled()
    shift = (target(painted.jobs[-1]) - start)[start[:, 2] > 0]
    np.testing.assert_allclose(shift, np.tile((-5, 0, 0), (len(shift), 1)), atol=0.011)


def test_the_picture_lies_where_its_window_is(visit, painted, loaded):
    opened = visit()
    page = opened.settled()
    drag(opened, "l_ankle", 30, 20)
    opened.settled()
    order = painted.jobs[-1].order
    top, left, height, width = window(order.target_joints, order.target_size, loaded.predictor.size, "person")
    assert width != 64  # the foot has come out, so the frame is wider than the photo
    opened.until(f"document.querySelector('#skeleton image').getAttribute('width') === '{width}'")
    picture = [float(page.locator("#skeleton image").get_attribute(name)) for name in ("x", "y", "height")]
    assert picture == [left - 0.5, top - 0.5, height]
    framed = loaded.predictor.frame_target(order.target_joints, order.target_size)
    there = (order.target_joints[:, :2] - (left, top) + 0.5) * np.array((64 / width, 128 / height)) - 0.5
    inside = framed[:, 2] > 0
    np.testing.assert_allclose(there[inside], framed[inside, :2], atol=1e-3)


def test_downloads_are_what_was_sent_and_read_back(visit, painted, tmp_path):
    opened = visit()
    page = opened.settled()
    with page.expect_response("**/v1/generate") as caught:
        drag(opened, "r_elbow", -20, 10, steps=1)
    opened.settled()
    sent = caught.value.json()
    opened.until("!document.querySelector('#downloads').hidden")
    files = {}
    for name in ("save-picture", "save-pose", "save-map"):
        with page.expect_download() as download:
            page.locator(f"#{name}").click()
        files[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[name])
    picture = files["save-picture"].read_bytes()
    assert picture == base64.b64decode(sent["image"])
    found = read(picture)
    assert (found.seal, found.origin["operation"]) == ("whole", "generate")
    pose = parse_pose(files["save-pose"].read_text())
    np.testing.assert_array_equal(pose.joints, target(painted.jobs[-1]))
    assert pose.size == (128, 64)
    assert files["save-map"].read_bytes() == base64.b64decode(sent["parsing"])


def test_a_pose_from_a_file_is_drawn_or_refused_beside_the_skeleton(visit, painted, tmp_path):
    opened = visit()
    page, picture = opened.settled(), opened.picture()
    (tmp_path / "bad.json").write_text("[[1, 2]]")
    page.set_input_files("#pose-file", tmp_path / "bad.json")
    opened.until("document.querySelector('#problem-pose').textContent !== ''")
    assert "holds 1 joints" in page.locator("#problem-pose").inner_text()
    assert opened.picture() == picture
    joints = [[20 + 2 * index, 30 + 5 * index] for index in range(17)] + [None]
    (tmp_path / "mine.json").write_text(json.dumps({"joints": joints, "size": [160, 80]}))
    page.set_input_files("#pose-file", tmp_path / "mine.json")
    opened.until_another(picture)
    order = painted.jobs[-1].order
    assert order.target_size == (160, 80)
    np.testing.assert_array_equal(order.target_joints[:17, :2], joints[:17])
    assert page.locator("#problem-pose").inner_text() == ""


def test_a_finger_drags_joints_and_does_not_scroll(visit, painted):
    opened = visit({"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True})
    page = opened.settled()
    before = target(painted.jobs[-1])
    page.locator("#skeleton").scroll_into_view_if_needed()
    x, y = opened.centre("[data-joint=l_ankle] .dot")
    session = opened.context.new_cdp_session(page)
    scrolled = page.evaluate("scrollY")
    for kind, dy in (("touchStart", 0), ("touchMove", -20), ("touchMove", -45), ("touchEnd", None)):
        points = [] if dy is None else [{"x": x, "y": y + dy}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    opened.settled()
    assert moved(before, target(painted.jobs[-1])) == {"l_ankle"}
    assert page.evaluate("scrollY") == scrolled
