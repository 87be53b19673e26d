"""DeepSpeed engines on one and two processes train every phase exactly as plain torch does on the whole batch."""

import json
from pathlib import Path

import pytest
from processes import run_ranks

WORKER = Path(__file__).with_name("equality_worker.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("zero", "world", "accumulate", "precision"),
    [
        (0, 2, 1, "fp32"),
        (1, 2, 1, "fp32"),
        (2, 2, 1, "fp32"),
        (3, 2, 1, "fp32"),
        (1, 3, 1, "fp32"),
        (1, 2, 3, "fp32"),
        (2, 1, 2, "fp32"),
        (1, 1, 1, "bf16"),  # the whole batch at once: a part's gradients are rounded otherwise
    ],
)
def test_deepspeed_equals_plain_torch(zero, world, accumulate, precision):
    words = (f"--zero={zero}", f"--accumulate={accumulate}", f"--precision={precision}")
    printed = run_ranks(WORKER, world, *words)
    (line,) = [line for line in printed.splitlines() if line.startswith("{")]
    results = json.loads(line)
    assert len(results) == 11  # every phase of every stage
    for phase, result in results.items():
        assert result["moved"] > 1e-4, (phase, result)  # it was trained
        assert result["difference"] < 1e-6, (phase, result)
