"""The annotator in the box: it is small, it says what it is, and it finds people it has never seen."""

import hashlib
import json

import numpy as np
import pytest
import torch

from spt_dist import box
from spt_dist.annotate.own import OwnAnnotator
from spt_dist.annotate.scoring import hits
from spt_dist.body import Joint
from spt_dist.data.importers import read_folder
from spt_dist.data.schema import DataError
from spt_dist.data.synthetic import draw_folder

MOST_BYTES = 12_000_000
PCK_FLOOR, LABELS_FLOOR = 0.9, 0.85


def test_the_box_is_small_and_its_card_names_it():
    weights = box.ANNOTATOR / "annotator.safetensors"
    assert weights.stat().st_size <= MOST_BYTES
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    card = (box.ANNOTATOR / "README.md").read_text()
    assert digest in card
    for heading in ("Data", "Licence", "Budget", "Scores", "Limits"):
        assert f"\n## {heading}\n" in card
    made = json.loads((box.ANNOTATOR / "card.json").read_text())
    assert f"{made['images']:,}" in card
    assert made["data_hash"][:12] in card
    assert not [word for word in json.dumps(made).split('"') if word.startswith("/")]  # no machine's paths
    assert OwnAnnotator.load().name == f"spt-dist annotator {digest[:12]}"


def test_it_finds_people_that_it_has_never_seen(tmp_path):
    draw_folder(tmp_path / "people", 1, (160, 120), seed=4242, test_people=4)
    people = list(read_folder(tmp_path / "people", "test"))
    annotator = OwnAnnotator.load()
    found = [annotator.annotate(person.image) for person in people]
    field = [*range(14), Joint.R_EYE, Joint.L_EYE, Joint.R_EAR, Joint.L_EAR]  # drawn the other way round
    truth = torch.from_numpy(np.stack([person.joints[field] for person in people]))
    right, wanted = hits(torch.from_numpy(np.stack([each.joints for each in found])), truth, 0.2)
    assert right.sum() / wanted.sum() >= PCK_FLOOR
    same = [
        (each.labels == person.labels)[person.labels > 0].mean() for each, person in zip(found, people, strict=True)
    ]
    assert np.mean(same) >= LABELS_FLOOR


def test_it_finds_nobody_where_nobody_is():
    with pytest.raises(DataError, match="no person found"):
        OwnAnnotator.load().annotate(np.full((300, 200, 3), 128, np.uint8))
