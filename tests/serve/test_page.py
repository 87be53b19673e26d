"""The page's files, and the gallery from samples to addresses."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from spt_dist.body import LABEL_COLOURS, Joint, Label
from spt_dist.serve import page
from spt_dist.serve.api import build_api
from spt_dist.serve.request import read_labels


@dataclass(frozen=True)
class Sample:
    id: str
    image: np.ndarray
    labels: np.ndarray
    joints: np.ndarray
    identity: str | None = None


def sample(name: str, pixels, labels, identity: str | None = None, visible: int = 18) -> Sample:
    joints = np.full((18, 3), -1, np.float32)
    joints[:, 2] = 0
    joints[:visible] = (2.123456, 3, 1)
    return Sample(name, pixels, labels, joints, identity)


@pytest.fixture
def client(connect, studio, tmp_path, limits):
    return connect(build_api(studio, tmp_path, limits))


def test_gallery_holds_one_sample_per_person_and_passes_over_hidden_ones(client, tmp_path, pixels, labels):
    samples = [
        sample("a/1", pixels, labels, "a"),
        sample("a/2", pixels, labels, "a"),
        sample("b", pixels, labels, visible=11),
        sample("c", pixels, labels),
        sample("d", pixels, labels),
    ]
    unread = iter(samples)
    assert page.export_gallery(tmp_path, unread, people=2) == 2
    assert [left.id for left in unread] == ["d"]
    people = client.get("/v1/gallery").json()["people"]
    assert [person["id"] for person in people] == ["a/1", "c"]
    assert people[0]["size"] == [12, 7]
    assert people[0]["joints"][5] == [2.12, 3, 1]
    parsing = client.get(people[1]["parsing"])
    assert parsing.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(read_labels(parsing.content, max_pixels=1_000), labels)
    assert client.get(people[1]["image"]).content[:2] == b"\xff\xd8"


def test_export_replaces_an_earlier_gallery(tmp_path, pixels, labels):
    page.export_gallery(tmp_path, [sample(name, pixels, labels) for name in "abc"])
    page.export_gallery(tmp_path, [sample("z", pixels, labels)])
    assert sorted(path.name for path in (tmp_path / "gallery").iterdir()) == ["00.jpg", "00.png", "gallery.json"]


def test_run_without_gallery(client):
    assert client.get("/v1/gallery").json() == {"people": []}


@pytest.mark.parametrize("name", ["gallery.json", "..%2Fconfig.json", "%2E%2E%2Fconfig.json", "00.jpg"])
def test_gallery_gives_nothing_but_its_pictures(client, tmp_path, name):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / "gallery.json").write_text('{"people": []}')
    assert client.get(f"/v1/gallery/{name}").status_code == 404


def test_body_tables(client):
    body = client.get("/v1/body").json()
    assert body["joints"][14] == "l_eye"
    assert len(body["joints"]) == len(Joint)
    assert body["labels"][Label.SKIRT] == {"name": "skirt", "colour": list(LABEL_COLOURS[Label.SKIRT])}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_and_their_files_come_from_here_alone(client, path):
    answer = client.get(path)
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    waiting, read = re.findall(r'(?:src|href)="(assets/[^"]+)"', answer.text), {}
    assert len(waiting) >= 2
    while waiting:
        name = waiting.pop()
        found = client.get("/" + name)
        assert found.status_code == 200, name
        assert found.headers["content-type"].startswith("text/css" if name.endswith(".css") else "text/javascript")
        read[name] = found.text
        imports = {"assets/" + other for other in re.findall(r'from "\./([\w.]+)"', found.text)}
        waiting += imports - read.keys() - set(waiting)
    for text in (answer.text, *read.values()):
        hosts = set(re.findall(r"https?://[^/\"'`]+", text))
        assert hosts <= {"http://www.w3.org", "http://127.0.0.1:8000"}, hosts
    assert client.get("/assets/page.html").status_code == 404


def test_every_element_that_the_scripts_look_for_is_on_the_page():
    scripts = "".join(path.read_text() for path in page.WEB.glob("*.js"))
    wanted = set(re.findall(r'find\("([\w-]+)"\)', scripts)) | set(
        re.findall(r'"((?:pose|paint|save|problem)-[\w]+)"', scripts)
    )
    assert len(wanted) > 30
    assert wanted <= set(re.findall(r'id="([\w-]+)"', page.html("page.html")))


def test_files_of_the_page_are_small_and_belong_to_the_package():
    files = sorted(page.WEB.iterdir())
    assert {path.name: count for path in files if (count := len(path.read_text().splitlines())) > 300} == {}
    data = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]
    globs = [name for package in ("*", "spt_dist.serve") for name in data.get(package, ())]
    assert set(files) - {path for name in globs for path in page.WEB.parent.glob(name)} == set()
