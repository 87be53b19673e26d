"""Every kernel builds for GPUs that are not there, without spills, on matrix units, with 16-byte loads."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from spt_kernels.proof.pages import replace_between

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
PLANTED = """
    import json, torch, triton, triton.language as tl
    from spt_kernels.proof.binaries import report
    from spt_kernels.proof.launches import recorded

    @triton.jit
    def spilling(x, result, N: tl.constexpr):
        n = tl.arange(0, N)
        rows = tl.load(x + n[:, None] * N + n[None, :])
        tl.store(result + n[:, None] * N + n[None, :], tl.cumsum(rows, axis=0) + tl.cumsum(rows, axis=1) * rows)

    @triton.jit
    def without_matrix_units(x, result, N: tl.constexpr):
        n = tl.arange(0, N)
        rows = tl.load(x + n[:, None] * N + n[None, :])
        tl.store(result + n[:, None] * N + n[None, :], tl.dot(rows, rows, input_precision="ieee"))

    @triton.jit
    def narrow(x, result, stride, N: tl.constexpr):
        n = tl.arange(0, N)
        tl.store(result + n, tl.load(x + n * stride))

    @triton.jit
    def broken(x, result, N: tl.constexpr):
        tl.store(result + tl.arange(0, N), tl.load(x + tl.arange(0, N + 1)))

    square, maps = torch.empty(128, 128, device="meta"), torch.empty(1, 8, 4, 4, device="meta")
    maps = maps.to(memory_format=torch.channels_last)
    calls = [
        lambda: spilling[1,](square, square, N=128, num_warps=4),
        lambda: without_matrix_units[1,](square, square, N=32),
        lambda: narrow[1,](maps, maps, 3, N=64),
        lambda: broken[1,](square, square, N=16),
    ]
    for call in calls:
        print(json.dumps(report(recorded(call, "planted", "fp32", "sm_90", "nhwc")[0]).faults))
"""


def compiled(tmp_path, *options):
    """What the command wrote, and how it ended."""
    command = [sys.executable, "-m", "spt_kernels.proof.cubins", *options, "--json", str(tmp_path / "cubins.json")]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((tmp_path / "cubins.json").read_text())


def test_every_kernel_builds_well(tmp_path):
    rows = compiled(tmp_path, "--largest", "--target", "sm_90", "--dtype", "fp32", "--dtype", "bf16")
    assert {row["op"] for row in rows} == {"semantic_gram", "part_warp", "part_masks", "pose_heatmaps", "norm_act"}
    assert all(row["registers"] > 0 and row["instructions"] > 0 for row in rows)


@pytest.mark.thorough
@pytest.mark.timeout(7200)
def test_every_kernel_builds_well_for_every_target_type_and_shape(tmp_path):
    rows = compiled(tmp_path)
    assert {row["target"] for row in rows} == {"sm_80", "sm_90", "sm_100", "gfx942"}


def test_faults_are_found(tmp_path):
    (tmp_path / "planted.py").write_text(textwrap.dedent(PLANTED))
    done = subprocess.run([sys.executable, tmp_path / "planted.py"], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    spilling, slow, narrow, broken = map(json.loads, done.stdout.splitlines())
    assert any("spills" in fault for fault in spilling)
    assert slow == ["multiplies without matrix units"]
    assert narrow == ["has no 16-byte load though the layout allows it"]
    assert "does not build" in broken[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("no_such_op",), "op `no_such_op` is unknown; use one of semantic_gram"),
        (("--target", "sm_1"), "--target `sm_1` is unknown; use one of sm_80"),
    ],
)
def test_a_wrong_name_is_one_line(options, said):
    command = [sys.executable, "-m", "spt_kernels.proof.cubins", *options]
    done = subprocess.run(command, env=ENVIRONMENT | {"COLUMNS": "200"}, capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr


def test_a_table_replaces_only_what_stands_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- cubins -->\nold\n<!-- /cubins -->\nafter\n")
    replace_between(page, "cubins", "new")
    assert page.read_text() == "before\n<!-- cubins -->\nnew\n<!-- /cubins -->\nafter\n"
    with pytest.raises(ValueError, match="lacks the lines `<!-- bench -->`"):
        replace_between(page, "bench", "new")
