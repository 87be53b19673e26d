"""The page in Chromium: parsing maps that are painted, named edits, and clothes that change hands."""

import numpy as np
import pytest
from PIL import Image

from spt_dist import box
from spt_dist.body import Label
from spt_dist.edits import edit_labels
from spt_dist.serve.page import read_gallery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def labels_of(number: int) -> np.ndarray:
    return np.array(Image.open(box.RUN / "gallery" / f"{number - 1:02d}.png"))


def open_mode(visit, mode: str, person: int = 9):
    opened = visit()
    page = opened.settled()
    page.get_by_role("radio", name=f"Person {person}", exact=True).check(force=True)
    opened.until(f"document.querySelector('#hero img')?.alt.startsWith('Person {person} ')")
    page.get_by_role("tab", name=mode).click()
    return opened


def place(opened, column: int, row: int) -> tuple[float, float]:
    return opened.pixel("#painter canvas", (64, 128), column, row)


def disc(column: int, row: int, diameter: int) -> np.ndarray:
    rows, columns = np.indices((128, 64))
    return (rows - row) ** 2 + (columns - column) ** 2 < (diameter / 2) ** 2


def set_brush(page, diameter: int, label: str) -> None:
    page.locator("#brush-size").fill(str(diameter))
    page.locator("#palette").get_by_text(label, exact=True).click()


def test_painting_changes_the_painted_pixels_and_no_others(visit, painted):
    opened = open_mode(visit, "Parsing")
    page, own = opened.page, labels_of(9)
    set_brush(page, 5, "skirt")
    page.mouse.click(*place(opened, 30, 70))
    opened.settled()
    opened.until("document.querySelector('#hero img')")
    expected = np.where(disc(30, 70, 5), Label.SKIRT, own)
    np.testing.assert_array_equal(painted.jobs[-1].order.new_labels, expected)
    set_brush(page, 1, "hair")
    page.mouse.move(*place(opened, 10, 20))
    page.mouse.down()
    page.mouse.move(*place(opened, 19, 20), steps=2)
    page.mouse.up()
    opened.settled()
    expected[20, 10:20] = Label.HAIR
    np.testing.assert_array_equal(painted.jobs[-1].order.new_labels, expected)
    page.keyboard.press("Control+z")
    opened.settled()
    np.testing.assert_array_equal(painted.jobs[-1].order.new_labels, np.where(disc(30, 70, 5), Label.SKIRT, own))
    page.get_by_role("button", name="Reset").click()
    assert "Paint on the map" in page.locator("#hero").inner_text()


def test_keys_paint_and_fill(visit, painted):
    opened = open_mode(visit, "Parsing")
    page, own = opened.page, labels_of(9)
    page.locator("#painter canvas").focus()
    for key in ("[", "[", "3", *["Shift+ArrowUp"] * 2, "ArrowLeft", "9", "Space"):
        page.keyboard.press(key)
    opened.until("document.querySelector('#hero img')")
    expected = own.copy()
    expected[54, 31] = Label.R_LEG
    np.testing.assert_array_equal(painted.jobs[-1].order.new_labels, expected)
    assert "x 31, y 54: right leg" in page.locator("#painter canvas").get_attribute("aria-label")
    for key in ("f", "0", *["Shift+ArrowUp"] * 30, *["Shift+ArrowLeft"] * 30, "4", "Space"):
        page.keyboard.press(key)
    opened.settled()
    found = painted.jobs[-1].order.new_labels
    assert found[0, 0] == found[127, 63] == Label.PANTS  # all that hangs together
    assert (found != expected).sum() == (expected[found != expected] == Label.BACKGROUND).sum() > 1000


def test_a_named_edit_is_asked_for_and_can_be_painted_on(visit, painted, tmp_path):
    opened = open_mode(visit, "Parsing")
    page, own = opened.page, labels_of(9)
    joints = np.array(read_gallery(box.RUN).people[8].joints, np.float32)
    page.get_by_role("button", name="pants to skirt").click()
    opened.until("document.querySelector('#hero img')")
    edited = edit_labels("pants-to-skirt", own, joints)
    np.testing.assert_array_equal(painted.jobs[-1].order.new_labels, edited)
    set_brush(page, 3, "upper")
    page.mouse.click(*place(opened, 30, 80))
    opened.settled()
    expected = np.where(disc(30, 80, 3), Label.UPPER, edited)
    np.testing.assert_array_equal(painted.jobs[-1].order.new_labels, expected)
    with page.expect_download() as download:
        page.locator("#save-map").click()
    download.value.save_as(tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as saved:
        assert saved.mode == "L"
        np.testing.assert_array_equal(np.array(saved), expected)


def test_an_edit_that_cannot_be_done_is_said_beside_the_edits_and_the_picture_stays(visit, painted):
    opened = open_mode(visit, "Parsing")
    page = opened.page
    page.get_by_role("button", name="pants to skirt").click()
    opened.until("document.querySelector('#hero img')")
    picture = opened.picture()
    page.get_by_role("button", name="dress to pants").click()
    opened.until("document.querySelector('#problem-parsing').textContent")
    assert "`dress-to-pants` cannot be done" in page.locator("#problem-parsing").inner_text()
    assert opened.picture() == picture
    assert "picture before" in page.locator("#status").inner_text()
    opened.complaints.clear()  # the browser notes every answer of 422


def test_clothes_of_the_ticked_labels_go_over(visit, painted):
    opened = open_mode(visit, "Clothes")
    page = opened.page
    page.get_by_role("radio", name="Person 10 gives the clothes").check(force=True)
    opened.until("document.querySelector('#hero img')?.alt.includes('clothes of Person 10')")
    assert painted.jobs[-1].order.labels == {Label.UPPER, Label.PANTS, Label.SKIRT}
    page.get_by_role("checkbox", name="pants").uncheck()
    page.get_by_role("checkbox", name="skirt").uncheck()
    opened.settled()
    order = painted.jobs[-1].order
    assert order.labels == {Label.UPPER}
    np.testing.assert_array_equal(order.source.labels, labels_of(9))
    np.testing.assert_array_equal(order.giver.labels, labels_of(10))
    page.get_by_role("checkbox", name="Dress the giver").check()
    opened.until("document.querySelectorAll('#hero img').length === 2")
    np.testing.assert_array_equal(painted.jobs[-1].order.source.labels, labels_of(10))
    page.get_by_role("checkbox", name="upper").uncheck()
    assert "Tick a garment" in page.locator("#problem-clothes").inner_text()
