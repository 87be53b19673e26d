"""The cluster's runs: whole, honest about what was measured, and fit for the pods and the command that name them."""

import re
import shlex

import pytest
import typer
from manifests import ROOT, cluster, documents, gpus

from spt_dist import config
from spt_dist.cli import app
from spt_dist.plan.planner import Planner, device_named
from spt_dist.plan.table import in_short

CONFIGS = sorted((ROOT / "configs/cluster").glob("*.toml"))
each_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


def train_command(words: list[str]) -> dict:
    """What `spt train` makes of its words; an option that it does not know is an error."""
    group = typer.main.get_command(app)
    return group.commands["train"].make_context("train", list(words)).params


def test_there_is_a_run_for_each_size():
    assert [config.load(path).train.workers for path in sorted(CONFIGS, key=lambda path: len(path.stem))] == [1, 8, 64]


@each_config
def test_configs_say_what_they_are_and_what_is_not_known(path):
    header = path.read_text().split("\n\n")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    for word in ("Reproduces:", "Hardware:", "Hours: unmeasured", "Expected numbers: unmeasured", "Command: spt train"):
        assert word in header


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=() if p.stem == "8gpu" else pytest.mark.cluster, id=p.stem) for p in CONFIGS]
)
def test_heads_quote_the_plan(path):
    settings = config.load(path)
    made = Planner(settings, device_named("h100"), say=print).plan(settings.train.workers, None)
    words = " ".join(line.removeprefix("#").strip() for line in path.read_text().split("\n\n")[0].splitlines())
    assert f"Plan, unmeasured: {in_short(made, settings.train.zero_stage)}" in words


@each_config
def test_the_batch_divides_by_every_number_of_workers(path):
    settings = config.load(path)
    train = settings.train
    assert f"{train.workers}gpu" == path.stem
    for workers in range(train.min_workers or train.workers, train.workers + 1):
        assert settings.data.batch % (workers * train.accumulate) == 0


@each_config
def test_networks_and_losses_are_the_paper_runs(path):
    settings, paper = config.load(path), config.load(ROOT / "configs/deepfashion_256.toml")
    assert settings.losses == paper.losses
    assert settings.networks.appearance == paper.networks.appearance
    assert settings.data.image_size == paper.data.image_size
    for name in ("pose", "semantic", "appearance", "end_to_end"):
        ours, theirs = getattr(settings.stages, name), getattr(paper.stages, name)
        assert ours.images % theirs.images == 0
        assert (ours.decay, ours.fade_in, ours.learning_rate) == (theirs.decay, theirs.fade_in, theirs.learning_rate)


@each_config
def test_runs_use_the_gpus_and_keep_what_was_best(path):
    train = config.load(path).train
    assert (train.use_gpu, train.precision, train.zero_stage) == (True, "bf16", 1)
    assert train.keep_best > 0
    assert train.evaluate_every_imgs > 0  # else nothing is ever the best
    assert train.evaluate_every_imgs % train.checkpoint_every_imgs == 0  # `prepare_run` refuses anything else


@each_config
def test_paths_are_where_the_pods_mount_them(path):
    settings = config.load(path)
    assert settings.data.shards.startswith("/data/")
    assert settings.networks.features.weights.startswith("/data/")


@each_config
def test_the_headers_command_is_one(path):
    (command,) = re.findall(r"Command: (spt train .*)", path.read_text())
    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("spt", "train")
    found = train_command(words)
    assert found["config"] == path.relative_to(ROOT)
    assert str(found["out"]).startswith("/runs/")


def test_the_jobs_command_is_one_and_its_config_fits_its_pods():
    (job,) = documents("rayjob.yaml")
    program, verb, *words = shlex.split(job["spec"]["entrypoint"])
    assert (program, verb) == ("spt", "train")
    found = train_command(words)
    assert found["resume"] is True
    assert found["force"] is False
    settings = config.load(ROOT / found["config"])
    assert settings.train.workers == gpus("rayjob.yaml")
    (group,) = cluster("rayjob.yaml")["workerGroupSpecs"]
    cpus = group["replicas"] * int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert settings.train.workers <= cpus


def test_an_option_that_nobody_knows_is_found():
    with pytest.raises(Exception, match="No such option: --resumee"):
        train_command(["configs/demo.toml", "--resumee"])
