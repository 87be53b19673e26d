"""What every test shares: checked shapes, the interpreter for kernels, and the recorded data, if it is there."""

import os
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before triton is first imported
os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")

install_import_hook(["spt_dist", "spt_kernels"], "beartype.beartype")
torch.set_num_threads(int(os.environ.get("SPT_TEST_THREADS", "1")))


def _folder(variable: str, default: str) -> Path:
    path = Path(os.environ.get(variable, default))
    if not path.is_dir():
        pytest.skip(f"`{path}` is absent; set ${variable} to the folder that holds the recorded data")
    return path


@pytest.fixture(scope="session")
def golden() -> Path:
    """Numbers recorded from the published implementation."""
    return _folder("SPT_GOLDEN", "../shared/golden")


@pytest.fixture(scope="session")
def data() -> Path:
    """Real photos and the pretrained backbone."""
    return _folder("SPT_DATA", "../shared/data")


@pytest.fixture
def nan_filled_memory():
    """Uninitialised memory reads as NaN, so that a kernel which leaves an output unwritten is caught."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)
