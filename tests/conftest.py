"""What every test shares: checked shapes, the interpreter for kernels, and the recorded data, if it is there."""

import os
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before triton is first imported
os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")

install_import_hook(["spt_dist", "spt_kernels"], "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")
torch.set_num_threads(int(os.environ.get("SPT_TEST_THREADS", "1")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of kernels on a GPU say so where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no CUDA device: this kernel's run on a GPU is unmeasured"))


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


@pytest.fixture(scope="session")
def tiny_shards(tmp_path_factory) -> Path:
    """Shards of a few small synthetic people: 24 to learn from, 3 x 2 to validate, 3 x 2 to test."""
    from spt_dist.data.importers import read_folder, splits
    from spt_dist.data.pack import pack
    from spt_dist.data.synthetic import draw_folder

    folder = tmp_path_factory.mktemp("people")
    draw_folder(folder / "drawn", 24, (32, 16), seed=0, val_people=3, test_people=3)
    samples = (sample for split in splits(folder / "drawn") for sample in read_folder(folder / "drawn", split))
    pack(samples, folder / "shards", (32, 16), "whole")
    return folder / "shards"


@pytest.fixture(scope="session")
def tiny_config(tiny_shards):
    """The smallest run that trains every network: two steps a stage."""
    return make_tiny_config(tiny_shards)


def make_tiny_config(shards: Path):
    from spt_dist import config

    stage = config.Stage(images=8, learning_rate=1e-3, discriminator_learning_rate=1e-3, warm_up=0.5)
    return config.Config(
        data=config.Data(shards=str(shards), image_size=(32, 16), heatmap_sigma_px=2.0, batch=4, shuffle_buffer=16),
        networks=config.Networks(
            semantic=config.Semantic(widths=(4, 6, 8), warped_input=True),
            appearance=config.Appearance(widths=(4, 6, 8), warped_levels=2, flat_colour_input=True, max_stretch=2.0),
            discriminator=config.Discriminator(widths=(4, 8)),
            pose_detector=config.PoseDetector(width=4, blocks=1),
            features=config.PerceptualFeatures(normalise=True),
        ),
        losses=config.LossWeights(pose=100, content=10, style=10, region_colour=20, reconstruction=10),
        stages=config.Stages(pose=stage, semantic=stage, appearance=stage, end_to_end=stage),
        train=config.Train(report_every_imgs=4, picture_every_imgs=16, checkpoint_every_imgs=8, ema_half_life_imgs=20),
    )


@pytest.fixture(scope="session")
def tiny_run(tiny_shards, tmp_path_factory) -> Path:
    """A run folder as training leaves it, with generators that have learned nothing."""
    import json
    from dataclasses import replace

    from spt_dist import config
    from spt_dist.data.manifest import Manifest
    from spt_dist.models.weights import save_weights
    from spt_dist.train.checkpoint import versions
    from spt_dist.train.state import build_networks

    run, settings = tmp_path_factory.mktemp("run"), make_tiny_config(tiny_shards)
    settings = replace(settings, evaluation=config.Evaluation(pairs=4))
    networks, manifest = build_networks(settings.networks, seed=0), Manifest.load(tiny_shards)
    card = {
        "config": config.to_tree(settings),
        "versions": versions(),
        "data_hash": manifest.data_hash,
        "frame": "whole",
        "images": 8,
    }
    save_weights(run / "weights", {name: networks[name] for name in ("semantic", "appearance")}, card)
    (run / "config.json").write_text(json.dumps(config.to_tree(settings)))
    lines = [{"stage": "pose", "all_images": n, "terms": {"pose_detector/pose": 1 / n}} for n in (4, 8)]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


@pytest.fixture
def tiny_toml(tiny_config, tmp_path) -> Path:
    """`tiny_config` as a file."""
    from run_folders import write_toml

    return write_toml(tiny_config, tmp_path / "tiny.toml")
