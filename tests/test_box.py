"""The model in the box: it is there, it is small, it says what it is, and it draws people it has never seen."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spt_dist import box
from spt_dist.body import Label
from spt_dist.data.importers import read_folder
from spt_dist.data.synthetic import draw_folder
from spt_dist.evaluation import score_pairs
from spt_dist.held_out import COPIED, FLAT, GENERATED, draw, make_pairs
from spt_dist.infer import Predictor
from spt_dist.models.blocks import UpConv
from spt_dist.serve.page import PEOPLE, read_gallery

MOST_BYTES = 16_000_000
SPT = str(Path(sys.executable).with_name("spt"))


def picture_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Drawn with another seed than those that it learned from."""
    folder = tmp_path_factory.mktemp("box") / "people"
    draw_folder(folder, 1, (128, 64), seed=77, test_people=24)
    return folder


def test_it_is_small_enough_for_the_repository():
    sizes = [path.stat().st_size for path in box.WEIGHTS.glob("*.safetensors")]
    assert len(sizes) == 2
    assert sum(sizes) <= MOST_BYTES


def test_its_card_says_what_a_user_must_know():
    card = (box.RUN / "README.md").read_text()
    for heading in ("Data", "Licence", "Budget", "Scores", "Limits"):
        assert f"\n## {heading}\n" in card
    made = json.loads((box.WEIGHTS / "card.json").read_text())
    assert f"{made['images']:,}" in card
    assert made["data_hash"][:12] in card
    assert not [word for word in json.dumps(made).split('"') if word.startswith("/")]  # no machine's paths


def test_it_draws_people_it_has_never_seen_better_than_flat_colours(people):
    predictor = Predictor.load()
    predictor.how = "whole"
    pairs = list(make_pairs(list(read_folder(people, "test"))))
    drawn = draw(predictor, pairs)
    found = {variant: score_pairs([drawn], variant) for variant in (GENERATED, COPIED, FLAT)}
    means = {variant: {name: float(values.nanmean()) for name, values in s.items()} for variant, s in found.items()}
    for worse in (COPIED, FLAT):
        assert means[GENERATED]["masked SSIM"] > means[worse]["masked SSIM"], means
        assert means[GENERATED]["L1 inside"] < means[worse]["L1 inside"], means


def test_its_gallery_is_whole():
    shown = read_gallery(box.RUN).people
    assert len(shown) == PEOPLE
    for person in shown:
        picture, labels = (picture_of(box.RUN / "gallery" / Path(name).name) for name in (person.image, person.parsing))
        assert picture.shape[:2] == labels.shape == tuple(person.size) == (128, 64)
        assert labels.max() < len(Label)


@pytest.mark.parametrize("run", [(), ("box",)])
def test_it_draws_without_a_run(run, people, tmp_path):
    photo = "test_00000_0"
    words = (
        "--image", people / "img" / f"{photo}.jpg", "--keypoints", f"{people}/keypoints.csv:{photo}.jpg",
        "--parsing", people / "parsing" / f"{photo}.png", "--pose", f"{people}/keypoints.csv:test_00001_0.jpg",
    )  # fmt: skip
    said = subprocess.run(
        [SPT, "generate", *run, *map(str, words), "-o", str(tmp_path / "out.png")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert picture_of(tmp_path / "out.png").shape == (128, 64, 3)


def test_it_is_prepared_only_to_draw():
    predictor = Predictor.load()
    prepared = [name for name, buffer in predictor.appearance.named_buffers() if buffer is not None]
    assert prepared
    up = next(module for module in predictor.appearance.modules() if isinstance(module, UpConv))
    x = torch.rand(1, up.in_channels, 32, 32)
    with_gradient = up(x)
    (gradient,) = torch.autograd.grad(with_gradient.sum(), up.weight)
    assert gradient.abs().max() > 0
    with torch.no_grad():
        torch.testing.assert_close(up(x), with_gradient, rtol=0, atol=1e-5 * float(with_gradient.detach().abs().max()))
    predictor.appearance.train()
    assert not [name for name, buffer in predictor.appearance.named_buffers() if buffer is not None]
    assert all(p.requires_grad for p in predictor.appearance.parameters())
