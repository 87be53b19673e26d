"""The page in Chromium: what it says while it waits, is refused, or is asked for a key; files that a user brings."""

import json

import numpy as np
import pytest
from browser import Painted
from endpoint import raising
from mirror import stand_in
from PIL import Image

from spt_dist import box
from spt_dist.body import Joint, Label
from spt_dist.serve.keys import add_key
from spt_dist.serve.orders import BusyError, Look, Replicas
from spt_dist.serve.page import read_gallery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def files(tmp_path) -> dict[str, str]:
    """A photo of another size than the networks', its map with a palette, and its joints."""
    entry = read_gallery(box.RUN).people[8]
    photo = Image.open(box.RUN / "gallery" / "08.jpg").resize((96, 192))
    labels = Image.open(box.RUN / "gallery" / "08.png").resize((96, 192), Image.Resampling.NEAREST)
    labels.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    photo.save(tmp_path / "me.jpg")
    labels.save(tmp_path / "me.png", bits=4)
    joints = [[1.5 * x, 1.5 * y] if visible else None for x, y, visible in entry.joints]
    (tmp_path / "me.json").write_text(json.dumps(joints))
    return {kind: str(tmp_path / f"me.{kind}") for kind in ("jpg", "png", "json")}


def test_a_photo_alone_is_annotated_shown_and_corrected(visit, painted, files):
    opened = visit()
    page = opened.settled()
    page.get_by_text("Your own photo").click()
    page.set_input_files("#own-files", files["jpg"])
    opened.until("document.querySelector('#hero img')?.alt.startsWith('me.jpg')")
    opened.settled()
    photo = np.asarray(Image.open(files["jpg"]))
    found = stand_in(Look("image", photo, 0.0, ""))
    source = painted.jobs[-1].order.source
    np.testing.assert_array_equal(source.labels, found.labels)
    np.testing.assert_allclose(source.joints, found.joints, atol=0.01)
    assert page.locator("#skeleton image").get_attribute("href").startswith("blob:")
    assert page.locator("[data-joint=l_ear]").get_attribute("aria-label").endswith("hidden")
    page.locator("[data-joint=nose]").focus()
    page.keyboard.press("Shift+ArrowRight")
    opened.settled()
    opened.until("document.querySelector('#pose-joint').textContent.includes('x 10')")
    order = painted.jobs[-1].order
    moved = found.joints.copy()
    moved[Joint.NOSE, 0] += 5
    np.testing.assert_allclose(order.source.joints, moved, atol=0.01)  # not the wanted joints alone
    np.testing.assert_allclose(order.target_joints, moved, atol=0.01)
    page.get_by_role("tab", name="Parsing").click()
    page.locator("#brush-size").fill("1")
    page.locator("#palette input[value='5']").check()
    page.mouse.click(*opened.pixel("#painter canvas", (96, 192), 80, 150))
    page.get_by_role("button", name="Keep as the photo's map").click()
    page.get_by_role("tab", name="Pose").click()
    opened.settled()
    opened.until("document.querySelector('#result').getAttribute('aria-busy') === 'false'")
    corrected = painted.jobs[-1].order.source.labels
    assert corrected[150, 80] == Label.SKIRT
    assert (corrected != found.labels).sum() == 1


def test_a_photo_without_a_person_says_so(visit, tmp_path):
    Image.new("RGB", (40, 60)).save(tmp_path / "black.png")
    opened = visit()
    page = opened.settled()
    page.get_by_text("Your own photo").click()
    page.set_input_files("#own-files", str(tmp_path / "black.png"))
    opened.until("document.querySelector('#problem-own').textContent.includes('no person found')")
    opened.complaints.clear()  # the browser's own line about the status 422


def test_ones_own_photo_is_drawn_painted_and_dressed(visit, painted, files):
    opened = visit()
    page = opened.settled()
    page.get_by_text("Your own photo").click()
    page.set_input_files("#own-files", [files["json"], files["jpg"]])
    opened.until("document.querySelectorAll('#own-slots .there').length === 2")
    page.set_input_files("#own-files", files["png"])
    opened.until("document.querySelector('#hero img')?.alt.startsWith('me.jpg')")
    with Image.open(files["png"]) as palette:
        assert palette.mode == "P"
        own = np.array(palette)
    source = painted.jobs[-1].order.source
    np.testing.assert_array_equal(source.labels, own)
    assert source.image.shape == (192, 96, 3)
    page.get_by_role("tab", name="Parsing").click()
    page.get_by_role("button", name="pants to shorts").click()
    opened.settled()
    edited = painted.jobs[-1].order.new_labels
    assert (edited != own).sum() > 100
    page.locator("#brush-size").fill("1")
    page.mouse.click(*opened.pixel("#painter canvas", (96, 192), 40, 3))
    opened.settled()
    painted_on = painted.jobs[-1].order.new_labels
    assert painted_on[3, 40] == 3
    painted_on[3, 40] = edited[3, 40]
    # The edit came back at the networks' size: its borders are as fine as that, everything else is the user's own.
    assert (painted_on != edited).mean() < 0.01
    assert (painted_on == own).mean() > (edited == own).mean() - 0.01
    page.get_by_role("tab", name="Clothes").click()
    opened.until("document.querySelector('#hero img')?.alt.includes('in the clothes of')")
    np.testing.assert_array_equal(painted.jobs[-1].order.source.labels, own)


def test_a_refusal_stands_beside_what_it_concerns_and_the_picture_stays(visit, painted, files, tmp_path):
    opened = visit()
    page, picture = opened.settled(), opened.picture()
    page.get_by_text("Your own photo").click()
    Image.new("L", (50, 60), 3).save(tmp_path / "small.png")
    page.set_input_files("#own-files", [files["jpg"], str(tmp_path / "small.png"), files["json"]])
    opened.until("document.querySelector('#problem-own').textContent !== ''")
    assert "small.png is 50 × 60 px but me.jpg is 96 × 192 px" in page.locator("#problem-own").inner_text()
    assert opened.picture() == picture
    far = json.loads((tmp_path / "me.json").read_text())
    far[Joint.NECK] = [500, 20]
    (tmp_path / "me.json").write_text(json.dumps(far))
    page.set_input_files("#own-files", list(files.values()))
    opened.until("document.querySelector('#problem-person').textContent !== ''")
    assert "joint 1 (neck) lies at [500.0, 20.0], outside the photo" in page.locator("#problem-person").inner_text()
    assert opened.picture() == picture
    page.get_by_role("radio", name="Person 2", exact=True).check(force=True)
    opened.until_another(picture)
    assert page.locator("#problem-person").inner_text() == ""
    opened.complaints.clear()  # the browser notes every refusal


def test_a_key_is_asked_for_and_sent(visit, painted, tmp_path):
    secret = add_key(tmp_path / "keys.json", "shop")
    opened = visit(keys=str(tmp_path / "keys.json"))
    page = opened.page
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Use this key").click()
    opened.until("document.querySelector('#problem-result').textContent.includes('does not know')")
    assert not painted.jobs
    page.get_by_label("API key").fill(secret)
    page.get_by_role("button", name="Use this key").click()
    opened.settled()
    assert not page.locator("#key-form").is_visible()
    assert page.locator("#problem-result").inner_text() == ""
    opened.complaints.clear()


def test_a_busy_endpoint_is_asked_again_and_a_failure_by_the_user(visit, painted):
    opened = visit(studio=raising(painted, BusyError(retry_after_s=1), ValueError("a bug")))
    page = opened.page
    opened.until("document.querySelector('#status').textContent.includes('busy')")
    assert "asking again in 1 s (the queue is full)" in page.locator("#status").inner_text()
    opened.until("document.querySelector('#problem-result').textContent !== ''")
    assert "the endpoint failed" in page.locator("#problem-result").inner_text()
    page.get_by_role("button", name="Try again").click()
    opened.settled()
    assert page.locator("#problem-result").inner_text() == ""
    assert len(painted.jobs) == 1
    assert len([url for url in opened.asked if url.endswith("/v1/generate")]) == 3
    opened.complaints.clear()


def test_waiting_is_said_with_a_clock_and_not_chattered(visit, painted):
    painted.found, painted.delay_s = Replicas(0, 0), 1.6
    opened = visit()
    opened.until("document.querySelector('#clock').textContent > '0.5'")
    assert "asleep: the first picture wakes it" in opened.page.locator("#status").inner_text()
    opened.page.evaluate(
        "window.spoken = []; new MutationObserver(() => spoken.push(document.querySelector('#live').textContent))"
        ".observe(document.querySelector('#live'), { childList: true, subtree: true, characterData: true })"
    )
    opened.settled()
    opened.until("window.spoken.at(-1)?.startsWith('Drawn in')")
    assert len(opened.page.evaluate("window.spoken")) <= 2
    assert opened.page.locator("#live").get_attribute("aria-live") == "polite"


def test_of_several_models_one_is_picked_and_the_document_is_a_click_away(visit, loaded):
    studio = Painted(loaded, "first", "second")
    opened = visit(studio=studio)
    page, picture = opened.settled(), opened.picture()
    page.get_by_label("Model").select_option("second")
    opened.until_another(picture)
    assert [job.model.id for job in studio.jobs] == ["first", "second"]
    page.get_by_role("link", name="API document").click()
    page.locator("#post-v1-generate").wait_for()
    assert page.locator("article").count() > 8
    assert "window" in page.locator("#post-v1-generate").inner_text()


def test_a_run_without_people_asks_for_ones_own(visit, painted, tmp_path, files):
    opened = visit(run=tmp_path)
    page = opened.page
    opened.until("document.querySelector('#people .strip').dataset.wait.includes('bring your own')")
    page.set_input_files("#own-files", list(files.values()))
    opened.settled()
    order = painted.jobs[-1].order
    np.testing.assert_allclose(order.target_joints, order.source.joints)  # the pose of the photo, to begin with
