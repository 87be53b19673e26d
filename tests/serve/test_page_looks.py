"""How the page looks and reads: widths, names, contrast. $SPT_PAGE_SHOTS names a folder to keep pictures of it in."""

import os
import re
from pathlib import Path

import pytest

from spt_dist.serve import page as served

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
TABLET = {"viewport": {"width": 900, "height": 1100}}
CONTROLS = {
    "button",
    "link",
    "radio",
    "checkbox",
    "slider",
    "textbox",
    "combobox",
    "tab",
    "application",
    "image",
    "img",
}


def look(opened, name: str) -> None:
    """Nothing may reach beyond the page or its card, every control needs a name; and here the pictures are made."""
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    beyond = page.evaluate(
        "const scrolls = (strip) => strip && getComputedStyle(strip).overflowX !== 'visible';"
        "[...document.querySelectorAll('.card')].flatMap((card) =>"
        " [...card.querySelectorAll('button, .button, label, p')].filter((one) => !scrolls(one.closest('.strip'))"
        " && one.offsetWidth > 1 && one.getBoundingClientRect().right > card.getBoundingClientRect().right + 1)"
        ".map((one) => one.outerHTML.slice(0, 80)))"
    )
    assert beyond == []
    nodes = opened.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    found = [node for node in nodes if not node["ignored"] and node["role"]["value"] in CONTROLS]
    assert len(found) > 30
    assert [node for node in found if not node.get("name", {}).get("value")] == []
    if folder := os.environ.get("SPT_PAGE_SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(200)  # the picture under the skeleton
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=page.evaluate("innerWidth") < 1000)


def to_mode(opened, mode: str) -> None:
    opened.page.get_by_role("tab", name=mode).click()


def edit(opened) -> None:
    to_mode(opened, "Parsing")
    opened.page.get_by_role("button", name="short sleeves").click()
    opened.settled()
    opened.page.locator("#painter canvas").focus()
    opened.page.keyboard.press("ArrowUp")


def dress(opened) -> None:
    to_mode(opened, "Clothes")
    opened.settled()
    opened.page.get_by_role("checkbox", name="Dress the giver").check()
    opened.settled()


def show(opened, view: str) -> None:
    opened.page.get_by_role("radio", name=view, exact=True).check(force=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_a_desk(visit):
    opened = visit()
    page = opened.settled()
    look(opened, "pose-light")
    wide = page.viewport_size
    for width in (1000, 1180, 1280, 1300, 1366):
        page.set_viewport_size({"width": width, "height": wide["height"]})
        for aspect in ("0.5", "0.75"):
            page.evaluate("(aspect) => document.querySelector('.easel').style.setProperty('--aspect', aspect)", aspect)
            look(opened, f"pose-{width}-{aspect}")
    page.set_viewport_size(wide)
    page.locator("#skeleton [tabindex='0']").focus()
    for key in ("n", "n", "n", "n", "h"):
        page.keyboard.press(key)
    opened.settled()
    look(opened, "pose-keys")
    page.keyboard.press("h")
    opened.settled()
    to_mode(opened, "Parsing")
    look(opened, "parsing-empty")
    edit(opened)
    look(opened, "parsing-light")
    dress(opened)
    look(opened, "clothes-light")
    page.emulate_media(color_scheme="dark")
    look(opened, "clothes-dark")
    show(opened, "Both")
    to_mode(opened, "Pose")
    opened.settled()
    look(opened, "pose-dark")
    to_mode(opened, "Parsing")
    page.get_by_label("See the photo").check()
    look(opened, "parsing-dark")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_a_tablet(visit):
    opened = visit(TABLET)
    opened.settled().get_by_text("Your own photo").click()
    look(opened, "own-tablet")
    edit(opened)
    look(opened, "parsing-tablet")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_a_phone(visit):
    opened = visit(PHONE)
    opened.settled()
    look(opened, "pose-phone")
    dress(opened)
    look(opened, "clothes-phone")
    opened.page.emulate_media(color_scheme="dark")
    edit(opened)
    look(opened, "parsing-phone")
    shown = "document.querySelector('#painter canvas')"
    ratio = opened.page.evaluate(f"{shown}.width / {shown}.getBoundingClientRect().width")
    assert ratio == pytest.approx(2, abs=0.02)  # as many pixels as the screen has
    low = opened.page.evaluate(
        "[...document.querySelectorAll('button, a.button, select, .choice, summary')].filter((one) => one.offsetHeight)"
        ".filter((one) => one.getBoundingClientRect().height < 40).map((one) => one.id || one.outerHTML)"
    )
    assert low == []  # a finger needs as much


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_tabs_follow_the_arrows(visit):
    page = visit().settled()
    page.get_by_role("tab", name="Pose").focus()
    for key, name in (("ArrowRight", "parsing"), ("ArrowRight", "clothes"), ("ArrowRight", "pose"), ("End", "clothes")):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.id") == f"tab-{name}"
        assert page.locator("[role=tabpanel]:visible").get_attribute("id") == f"panel-{name}"
    assert page.locator("[role=tab][tabindex='0']").count() == 1


def test_words_can_be_read_in_light_and_dark():
    css = (served.WEB / "page.css").read_text()
    colours = dict(re.findall(r"--([\w-]+): light-dark\((.*?)\);", css))
    pairs = [
        *(("ink", back, 4.5) for back in ("paper", "card")),
        *(("pale", back, 4.5) for back in ("paper", "card")),
        *(("accent", back, 4.5) for back in ("paper", "card")),
        ("on-accent", "accent", 4.5),
        ("bad", "bad-back", 4.5),
        ("bad", "card", 4.5),
        ("line", "card", 3.0),
    ]
    for front, back, least in pairs:
        for scheme, one, other in zip(
            ("light", "dark"), *(colours[name].split(",") for name in (front, back)), strict=True
        ):
            found = contrast(one.strip(), other.strip())
            assert found >= least, f"{front} on {back} in {scheme}: {found:.2f}"


def contrast(one: str, other: str) -> float:
    """By WCAG 2: 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    shares = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
