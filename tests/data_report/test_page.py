"""The page: well-formed, alone, readable by others than eyes, and proof against hostile names."""

import base64
import json
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from spt_dist.data_report.rejected import ACCOUNT, DROPPED, IDENTITIES

VOID = {"meta", "img", "br", "circle"}


class Reading(HTMLParser):
    """Checks that tags nest, and keeps them with their text."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def source(tmp_path_factory, shards):
    """A folder as `spt import` leaves it, with the photo of a sample that `spt pack` rejected."""
    folder = tmp_path_factory.mktemp("import") / "planted"
    (folder / "img").mkdir(parents=True)
    cv2.imwrite(str(folder / "img" / "few.png"), np.full((30, 20, 3), 200, np.uint8))
    (folder / "img" / "torn.jpg").write_bytes(b"no picture")
    (folder / IDENTITIES).write_text("name,identity\na.jpg,anna\nb.jpg,anna\nc.jpg,berta\n")
    line = {"name": "<b>x</b>", "where": "k.csv:3", "reason": "photo missing", "detail": "no img"}
    (folder / DROPPED).write_text(json.dumps(line) + "\n")
    account = {"kind": "folder", "rows": {"read": 4, "imported": 3, "dropped": {"photo missing": 1}}}
    (folder / ACCOUNT).write_text(json.dumps(account | {"splits": {"train": 3}, "notes": {"photos linked": 3}}))
    return folder


@pytest.fixture(scope="module")
def page(shards, source, tmp_path_factory, report):
    out = tmp_path_factory.mktemp("page")
    report(shards, "-o", out / "page.html", "--source", source, "--json", out / "numbers.json")
    return (out / "page.html").read_text(), json.loads((out / "numbers.json").read_text())


def test_it_is_whole_and_asks_nobody(page):
    read = Reading(page[0])
    assert {name for name, _ in read.tags} & {"script", "link", "iframe", "object"} == set()
    for image in read.all("img"):
        assert image["src"].startswith("data:image/")
        data = np.frombuffer(base64.b64decode(image["src"].partition(",")[2]), np.uint8)
        assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape[0] >= 100
        assert image["alt"].strip()
    sections = {attributes["id"] for attributes in read.all("h2")}
    assert {link["href"] for link in read.all("a")} == {f"#{section}" for section in sections}
    assert all(heading["scope"] in ("col", "row") for heading in read.all("th"))
    assert "default-src 'none'" in next(meta["content"] for meta in read.all("meta") if "http-equiv" in meta)
    assert "prefers-color-scheme: dark" in page[0]
    assert "url(" not in page[0]


def test_names_are_text_and_never_tags(page):
    assert "<script" not in page[0]
    assert "onerror=alert(2)>" not in page[0]
    assert "<b>x</b>" not in page[0]
    read = Reading(page[0])
    assert any("<script>alert(1)</script>" in image["alt"] for image in read.all("img"))
    assert any("<b>x</b>" in text for text in read.text)


def test_what_was_planted_can_be_seen(page):
    html, _ = page
    read = Reading(html)
    alts = [image["alt"] for image in read.all("img")]
    assert "p5 and p5-in-test side by side" in alts or "p5-in-test and p5 side by side" in alts
    assert "The pose of handstand" in alts
    assert "The rejected photo few" in alts
    assert "The rejected photo torn" not in alts  # it cannot be read
    assert "torn, torn2" in html
    assert sum(alt.endswith("picture, joints over it, parsing map over it") for alt in alts) == 6 + 5 + 6
    assert sum(alt.startswith("Heat map over the frame") for alt in alts) == 18
    assert len(read.all("circle")) == 27


def test_a_source_folder_tells_what_it_knows(page):
    html, tree = page
    (told,) = tree["sources"]
    assert (told["identities"], told["pictures_of_an_identity"]) == (2, {"1": 1, "2": 1})
    assert [(each["reason"], each["count"]) for each in told["dropped"]] == [("photo missing", 1)]
    assert "4 rows read, 3 imported" in html
    assert "2 identities: 1 with 1 picture, 1 with 2 pictures" in html
