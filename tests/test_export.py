"""An exported file draws what the networks draw, for any batch, and a file that does not is refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spt_dist import export
from spt_dist.export import INPUTS, MismatchError, export_generators, framed, open_file
from spt_dist.infer import Predictor
from spt_dist.person import Person

pytestmark = pytest.mark.slow


def person(seed: int) -> Person:
    rng = np.random.default_rng(seed)
    image, labels = rng.integers(0, 256, (90, 70, 3), dtype=np.uint8), rng.integers(0, 10, (90, 70), dtype=np.uint8)
    joints = np.column_stack((rng.uniform((5, 5), (64, 84), (18, 2)), rng.random(18) < 0.8)).astype(np.float32)
    return Person(image, labels, joints)


@pytest.fixture(scope="module")
def predictor(tiny_run):
    return Predictor.load(tiny_run / "weights")


def test_an_onnx_file_draws_what_the_networks_draw_and_says_what_it_takes(predictor, tmp_path):
    import onnx

    written = export_generators(predictor, tmp_path, "onnx", [person(seed) for seed in range(3)])
    assert written.apart <= 1
    assert written.other_labels < 0.01
    picture, parsing = open_file(written.path)(framed(predictor, [person(seed) for seed in range(10, 15)]))
    assert (picture.shape, parsing.shape) == ((5, 32, 16, 3), (5, 32, 16))
    assert picture.dtype == parsing.dtype == np.uint8
    made = onnx.load(written.path)
    assert tuple(each.name for each in made.graph.input) == INPUTS
    assert all(
        each.type.tensor_type.shape.dim[0].dim_param == "batch" for each in (*made.graph.input, *made.graph.output)
    )
    assert {each.domain for each in made.opset_import} == {""}
    assert {"frame": "whole", "size": "32x16"}.items() <= {prop.key: prop.value for prop in made.metadata_props}.items()


def test_a_file_that_draws_otherwise_is_refused(predictor, tmp_path, monkeypatch):
    def black(inputs):
        return [np.zeros_like(inputs["image"]), inputs["labels"]]

    monkeypatch.setattr(export, "write", lambda *_: None)
    monkeypatch.setattr(export, "open_file", lambda _: black)
    with pytest.raises(MismatchError, match=r"generator\.pt2` draws pictures that differ by \d+ of 255"):
        export_generators(predictor, tmp_path, "torch", [person(0), person(1)])


def test_the_verb_writes_a_program_and_compares(tiny_run, predictor, tmp_path):
    spt = Path(sys.executable).with_name("spt")
    words = [spt, "export", tiny_run, "-o", tmp_path / "out", "--format", "torch"]
    said = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=os.environ)
    assert (said.returncode, said.stderr) == (0, "")
    assert "the greatest difference" in said.stdout
    written = tmp_path / "out" / "generator.pt2"
    parameters = [*predictor.semantic.parameters(), *predictor.appearance.parameters()]
    assert written.stat().st_size < sum(each.nbytes for each in parameters) + 3_000_000  # nothing that `prepare` keeps
    words[2] = tmp_path
    assert subprocess.run(words, capture_output=True, timeout=120, check=False, env=os.environ).returncode == 2
