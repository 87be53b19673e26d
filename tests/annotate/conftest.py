"""The models of `annotators`, written once; what is painted, and whom they find in it."""

import pytest
from annotators import write_models

from spt_dist.annotate.onnx_annotator import OnnxAnnotator


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder with `simcc.toml`, `heatmaps.toml` and `detector.toml`."""
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def annotator(models):
    """Without a detector."""
    return OnnxAnnotator.load(models / "simcc.toml")
