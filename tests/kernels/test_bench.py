"""The benchmark's command: rows, pictures and tables; a red op and a wrong name are refused in one line."""

import json
import time

import numpy as np
import pytest
import torch
from spt_kernels.bench import __main__ as command
from spt_kernels.bench import cases, rows
from spt_kernels.bench.scene import FIELDS, PEOPLE, load
from spt_kernels.bench.timing import interleaved, peak_extra_bytes
from typer import Typer
from typer.testing import CliRunner

from spt_dist.bench_scene import drawn, make_scene

SMALLEST = ("norm_act", "--shape", "64x48_b8", "--rounds", "2", "--threads", "1")
KEYS = {"name", "pass", "shape", "ours", "published", "eager", "unit", "ratio", "bytes", "flops", "versions", "commit"}


def bench(*arguments):
    app = Typer()
    app.command()(command.main)
    command.ERRORS.width = 400
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_rows_picture_and_table_are_written(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- bench -->\nold\n<!-- /bench -->\n")
    outputs = ("--json", tmp_path / "new/rows.json", "--plot", tmp_path / "rows.png", "--markdown", page)
    done = bench(*SMALLEST, *outputs)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "new/rows.json").read_text())
    assert [row["pass"] for row in found] == ["forward", "forward + backward"]
    for row in found:
        assert row.keys() >= KEYS
        assert row["ratio"] == pytest.approx(row["published"] / row["ours"])
        assert row["quantiles"]["ours"][0] <= row["ours"] <= row["quantiles"]["ours"][1]
    assert (tmp_path / "rows.png").read_bytes().startswith(b"\x89PNG")
    assert "| norm_act | forward |" in page.read_text()
    assert "old" not in page.read_text()


def test_a_red_op_is_refused_and_not_timed(monkeypatch, tmp_path):
    make = cases.make

    def wrong(*arguments):
        case = make(*arguments)
        ours = case.spellings["ours"]
        return case._replace(spellings=case.spellings | {"ours": lambda: 1.001 * ours()})

    monkeypatch.setattr(rows, "make", wrong)
    done = bench(*SMALLEST, "--json", tmp_path / "rows.json")
    assert done.exit_code == 1
    assert "norm_act is red: result 0 of ours is 1.0e-03 of its largest value off the definition" in done.output
    assert not (tmp_path / "rows.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("no_such_op",), 2, "op `no_such_op` is unknown; use one of semantic_style_loss"),
        (("part_warp", "--shape", "no"), 2, "shape `no` is unknown to part_warp; use one of 128x64_c64_b16"),
        (("part_warp", "--dtype", "int8"), 2, "use cpu or cuda, and one of float32"),
        ((*SMALLEST, "--scene", "no.npz"), 1, "`no.npz` holds no people"),
        ((*SMALLEST, "--base", "no-such-revision"), 1, "`--base no-such-revision`: git has no such revision here"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments, code, said):
    done = bench(*arguments)
    assert done.exit_code == code
    assert said in done.output
    assert len(done.output.strip().splitlines()) == 1


def test_shapes_are_listed():
    done = bench("list")
    assert done.exit_code == 0
    assert "128x64_c64_b16" in done.output


@pytest.mark.thorough
def test_a_revision_with_another_interface_is_named():
    done = bench("semantic_style_loss", "--shape", "64x48_b8", "--rounds", "1", "--base", "1f9d670")
    assert done.exit_code == 1
    assert "the other revision's `semantic_style_loss` cannot be timed: its interface differs" in done.output


@pytest.mark.gpu
@pytest.mark.parametrize("op", cases.CASES)
def test_every_op_is_timed_on_a_gpu(op, tmp_path):
    for dtype in ("float32", "bfloat16"):
        done = bench(op, "--device", "cuda", "--dtype", dtype, "--rounds", "5", "--json", tmp_path / "rows.json")
        assert done.exit_code == 0, done.output
        assert all(row["ours"] > 0 for row in json.loads((tmp_path / "rows.json").read_text()))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_nothing_is_measured_on_one():
    done = bench("part_warp", "--device", "cuda")
    assert done.exit_code == 2
    assert "there is no CUDA device here, so nothing is measured" in done.output


def test_spellings_take_turns_and_the_median_is_reported():
    order, seconds = [], {"a": iter((9.0, 1.0, 3.0, 2.0)), "b": iter((9.0, 5.0, 5.0, 5.0))}

    def call(name):
        order.append(name)
        return next(seconds[name])

    times = interleaved({name: lambda name=name: call(name) for name in seconds}, 3, lambda: None)
    assert order == ["a", "b"] * 4
    assert times["a"].median == 2.0
    assert times["b"] == (5.0, 5.0, 5.0)


def test_peak_memory_counts_what_is_freed_again():
    def call():
        torch.ones(2**24)  # 64 MiB, freed at once
        time.sleep(0.01)
        return torch.ones(2**10)

    call()
    assert 60e6 < peak_extra_bytes(call, "cpu") < 90e6


def test_scenes_scale_and_repeat(tmp_path):
    assert make_scene(drawn(2, seed=1), tmp_path / "two.npz") == 2
    whole, small = load(tmp_path / "two.npz", 3, (256, 256)), load(tmp_path / "two.npz", 3, (128, 64))
    assert torch.equal(whole.labels[0], whole.labels[2])
    assert small.labels.shape == (3, 128, 64)
    assert torch.equal(small.labels, whole.labels[:, ::2, ::4])
    corner = torch.tensor([100.0, 60.0, 1.0])
    source, small_corner = whole.transforms[0, 0] @ corner, torch.tensor([25.0, 30.0, 1.0])
    torch.testing.assert_close(small.transforms[0, 0] @ small_corner, source * torch.tensor([0.25, 0.5]))


def test_the_bundled_people_are_whole():
    with np.load(PEOPLE) as file:
        assert {name: (file[name].dtype, file[name].shape[1:]) for name in file} == {
            name: (np.dtype(dtype), shape) for name, (dtype, shape) in FIELDS.items()
        }
        assert len(file["labels"]) == 8
        assert file["labels"].any(axis=(1, 2)).all()
    assert PEOPLE.stat().st_size < 200_000
