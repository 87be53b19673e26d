"""Protocols side by side: intervals, what is missing and why, the files of a run, the page of definitions."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from spt_dist import config
from spt_dist.data.pipeline import read_split
from spt_dist.evaluation import evaluate
from spt_dist.held_out import COPIED, FLAT, GENERATED, REAL, read_references
from spt_dist.models.pose_detector import PoseDetector
from spt_dist.protocols.definition import RESAMPLES, Case, Interval, Statistic, UndefinedError, interval
from spt_dist.protocols.judges import Judges
from spt_dist.protocols.page import page
from spt_dist.protocols.pixels import FLAT_51, GAUSSIAN_11, ssim
from spt_dist.protocols.scoring import Outcome, chosen, score_protocols, show
from spt_dist.protocols.sets import frechet, inception_score
from spt_dist.protocols.table import PROTOCOLS
from spt_dist.scripted import MissingNetworkError

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


class Channels(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        means = x.float().flatten(2).mean(2)
        return means, means / 8


def test_an_interval_is_the_percentile_bootstraps_and_the_same_each_time():
    values = torch.linspace(0, 1, 400) ** 2
    found = interval(Statistic(400, lambda chosen: values[chosen].mean().item(), "-"))
    assert found == interval(Statistic(400, lambda chosen: values[chosen].mean().item(), "-"))
    half = 1.96 * values.std().item() / 20
    assert found.value == pytest.approx(values.mean().item())
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=0.12)
    assert str(Interval(0.8371, 0.829, 0.8449)) == "0.837 [0.829, 0.845]"


def test_the_interval_of_a_set_holds_its_number():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(40, 6, generator=generator), torch.randn(50, 6, generator=generator) + 0.2
    statistic = frechet(ours, theirs, "-", "")
    plain = [statistic.of(torch.randint(40, (40,), generator=generator)) for _ in range(200)]
    assert np.mean(plain) > statistic.of(torch.arange(40))  # repeats move FID away: hence the correction
    found = interval(statistic)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("dimensions", [3, 60])  # fewer and more than there are pictures
def test_fid_of_a_resample(dimensions):
    generator = torch.Generator().manual_seed(1)
    ours, theirs = (torch.randn(n, dimensions, generator=generator) for n in (20, 90))
    chosen_rows = torch.randint(20, (20,), generator=generator)
    a, b = ours[chosen_rows].double().numpy(), theirs.double().numpy()
    ca, cb = np.cov(a.T), np.cov(b.T)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(ca @ cb).real, 0)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca) + np.trace(cb) - 2 * roots
    assert frechet(ours, theirs, "-", "").of(chosen_rows) == pytest.approx(expected, rel=1e-6)


def test_what_has_no_meaning_says_so():
    pictures = torch.zeros(2, 40, 60, 3, dtype=torch.uint8)
    with pytest.raises(UndefinedError, match=r"window of 51 px does not fit into pictures of \(40, 60\) px"):
        ssim(pictures, pictures, FLAT_51)
    assert ssim(pictures, pictures, GAUSSIAN_11).isnan().all()  # one colour has no range of its own
    with pytest.raises(UndefinedError, match="3 pictures cannot be split into 10 parts"):
        inception_score(torch.zeros(3, 4), 10, "")
    with pytest.raises(UndefinedError, match="1 pictures and 3 of reference have no covariance"):
        frechet(torch.zeros(1, 4), torch.zeros(3, 4), "-", "")


def test_protocols_are_named():
    assert chosen(["gfla", "clean", "gfla"]) == ["gfla", "clean"]
    assert chosen(["gfla", "all"]) == list(PROTOCOLS)
    assert chosen([]) == []
    with pytest.raises(ValueError, match=r"no protocol `glfa`; give spt, defgan, patn, gfla, cfld, clean or all"):
        chosen(["glfa"])


def test_a_run_by_every_protocol(tiny_run, tiny_shards, tmp_path, capsys):
    torch.jit.script(Channels()).save(str(tmp_path / "inception.pt"))
    sets = (f"evaluation.inception={tmp_path / 'inception.pt'}", "evaluation.references=5")
    found = evaluate(tiny_run, config.load_run(tiny_run, sets), protocols=["all"])
    outcome = found.by_protocol
    written = json.loads((tiny_run / "evaluation" / "metrics.json").read_text())
    assert len(written["protocols"]["rows"]) == len(outcome.rows)
    asked = {(name, metric.name) for name, protocol in PROTOCOLS.items() for metric in protocol.metrics}
    got = {(row.protocol, row.metric) for row in outcome.rows}
    lacking = {(missing.protocol, missing.metric): missing.reason for missing in outcome.missing}
    assert got | set(lacking) == asked
    assert not got & set(lacking)
    assert "its window of 51 px does not fit" in lacking["gfla", "SSIM"]
    assert "4 pictures cannot be split into 10 parts" in lacking["defgan", "IS"]
    assert "set evaluation.inception_torchvision to" in lacking["gfla", "FID"]
    assert "set evaluation.lpips to" in lacking["clean", "LPIPS"]
    assert "the run has not finished" in lacking["clean", "PCKh"]
    rows = {(row.protocol, row.metric, row.variant): row for row in outcome.rows}
    ours = {(row.variant, row.metric): row for row in found.rows}
    for variant in (GENERATED, COPIED, FLAT):
        assert rows["clean", "SSIM", variant].value == pytest.approx(ours[variant, "SSIM"].value, abs=1e-6)
    assert rows["clean", "IS", GENERATED].value == pytest.approx(ours[GENERATED, "IS"].value, rel=1e-4)
    assert rows["clean", "IS", REAL].value == pytest.approx(ours[REAL, "IS"].value, rel=1e-4)
    assert rows["clean", "FID", GENERATED].against == "5 training pictures"
    assert "SHA-256" in rows["clean", "FID", REAL].definition
    assert all(row.low <= row.value <= row.high or row.metric == "FID" for row in outcome.rows)
    report = (tiny_run / "evaluation" / "report.html").read_text()
    assert "By protocol" in report
    assert report.count("half-width 4 px, below 128 px") >= 3
    show(outcome, GENERATED)
    printed = " ".join(capsys.readouterr().out.split())
    assert "[inception.pt," in printed.replace("│", "")
    assert "gfla SSIM: its window of 51 px does not fit" in printed
    assert str(Interval(*(getattr(rows["clean", "SSIM", GENERATED], n) for n in ("value", "low", "high")))) in printed


def test_without_a_protocol_nothing_changes(tiny_run):
    found = evaluate(tiny_run, config.load_run(tiny_run))
    assert found.by_protocol == Outcome()
    assert set(json.loads((tiny_run / "evaluation" / "metrics.json").read_text())) == {"rows", "remarks"}
    assert "By protocol" not in (tiny_run / "evaluation" / "report.html").read_text()


def test_references_are_the_training_pictures(tiny_shards):
    pictures = torch.from_numpy(np.stack([sample.image for sample in read_split(tiny_shards, "train")]))
    torch.testing.assert_close(torch.cat(list(read_references(str(tiny_shards)))), pictures)
    torch.testing.assert_close(torch.cat(list(read_references(str(tiny_shards), 17))), pictures[:17])


def detecting(tiny_config, run: Path, **evaluation) -> Judges:
    settings = replace(tiny_config, evaluation=config.Evaluation(**evaluation))
    return Judges(settings, run, lambda: iter(()))


def test_the_runs_own_pose_detector_is_named(tiny_config, tmp_path):
    torch.manual_seed(0)
    network = PoseDetector(tiny_config.networks.pose_detector)
    (tmp_path / "networks").mkdir()
    save_file(network.state_dict(), tmp_path / "networks" / "pose_detector.safetensors")
    images = torch.randint(0, 256, (3, 32, 16, 3), dtype=torch.uint8)
    joints, origin = detecting(tiny_config, tmp_path).joints(images)
    assert origin.startswith("the run's own pose detector, which judged it in training too and flatters it")
    with torch.no_grad():
        heat = network.eval()(images.permute(0, 3, 1, 2).float() / 127.5 - 1).numpy()
    for picture in range(3):
        for joint in range(18):
            y, x = np.unravel_index(heat[picture, joint].argmax(), (32, 16))
            assert joints[picture, joint].tolist() == [x, y, heat[picture, joint].max() >= 0.1]
    (tmp_path / "networks" / "pose_detector.safetensors").write_bytes(b"no")
    with pytest.raises(MissingNetworkError, match="does not fit its run's configuration"):
        detecting(tiny_config, tmp_path).joints(images)


def test_another_runs_pose_detector_can_judge(tiny_config, tmp_path):
    (tmp_path / "other" / "networks").mkdir(parents=True)
    file = tmp_path / "other" / "networks" / "pose_detector.safetensors"
    save_file(PoseDetector(tiny_config.networks.pose_detector).state_dict(), file)
    (tmp_path / "other" / "config.json").write_text(json.dumps(config.to_tree(tiny_config)))
    judges = detecting(tiny_config, tmp_path, pose_detector=str(tmp_path / "other"))
    assert judges.joints(torch.zeros(1, 32, 16, 3, dtype=torch.uint8))[1].startswith("the pose detector of other")
    pinned = detecting(tiny_config, tmp_path, pose_detector=str(tmp_path / "other"), sha256={"pose_detector": "0" * 64})
    with pytest.raises(MissingNetworkError, match=r"--set evaluation\.sha256\.pose_detector="):
        pinned.joints(torch.zeros(1, 32, 16, 3, dtype=torch.uint8))
    judges = detecting(tiny_config, tmp_path, pose_detector="nowhere")
    with pytest.raises(MissingNetworkError, match="`nowhere` is not a file"):
        judges.joints(torch.zeros(1, 32, 16, 3, dtype=torch.uint8))


def test_a_black_set_is_not_computed_but_listed(tiny_config, tmp_path):
    black = torch.zeros(4, 64, 64, 3, dtype=torch.uint8)
    case = Case(black, black, torch.zeros(4, 18, 3))
    outcome = score_protocols(["defgan"], {GENERATED: case}, GENERATED, REAL, detecting(tiny_config, tmp_path))
    reasons = {missing.metric: missing.reason for missing in outcome.missing}
    assert "no picture has a score" in reasons["SSIM"]
    assert outcome.rows == []


def test_a_file_that_is_another_network_costs_its_own_metrics_only(tiny_config, tmp_path):
    torch.jit.script(Channels()).save(str(tmp_path / "two.pt"))  # takes one batch, not two
    pictures = torch.randint(0, 256, (3, 40, 40, 3), dtype=torch.uint8)
    case = Case(pictures, pictures, torch.zeros(3, 18, 3))
    judges = detecting(tiny_config, tmp_path, lpips=str(tmp_path / "two.pt"))
    outcome = score_protocols(["gfla"], {GENERATED: case}, GENERATED, REAL, judges)
    reasons = {missing.metric: missing.reason for missing in outcome.missing}
    assert reasons["LPIPS"].startswith("LPIPS is not computed: evaluation.lpips failed: ")
    assert "two float batches" in reasons["LPIPS"]
    assert {row.metric for row in outcome.rows} == {"SSIM 256"}


def test_resamples_are_counted_to_the_end(tiny_config, tmp_path):
    pictures = torch.randint(0, 256, (3, 40, 40, 3), dtype=torch.uint8)
    case, told = Case(pictures, pictures, torch.zeros(3, 18, 3)), []
    judges = detecting(tiny_config, tmp_path)
    asked = ["gfla", "clean"]
    outcome = score_protocols(
        asked, {GENERATED: case}, GENERATED, REAL, judges, lambda done, total: told.append((done, total))
    )
    total = RESAMPLES * sum(1 if each.by_pair else 2 for name in asked for each in PROTOCOLS[name].metrics)
    assert outcome.missing  # what is not computed counts as done
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len({done for done, _ in told}) > RESAMPLES


def test_the_page_is_the_table():
    written = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert written.read_text() == page(), "renew it: python -m spt_dist.protocols.page docs/metrics.md"
    for protocol in PROTOCOLS.values():
        for metric in protocol.metrics:
            assert f"| {metric.name} |" in page()
            assert metric.words in page()
