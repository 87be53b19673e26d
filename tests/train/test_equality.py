"""DeepSpeed engines on one to three processes train every phase exactly as plain torch does on the whole batch."""

import json
from itertools import product
from pathlib import Path

import pytest
from processes import run_ranks

WORKER = Path(__file__).with_name("equality_worker.py")
BRIEFLY = {(0, 2, 1), (1, 2, 1), (2, 2, 1), (3, 2, 1), (1, 3, 1), (3, 3, 2), (1, 2, 3), (2, 1, 2)}
DIVISIONS = ((1, 1), (1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2))  # of a batch of 6: processes, micro-batches
ALL = [(zero, *division) for zero, division in product((0, 1, 2, 3), DIVISIONS)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("zero", "world", "accumulate", "precision"),
    [pytest.param(*each, "fp32", marks=() if each in BRIEFLY else pytest.mark.cluster) for each in ALL]
    + [(1, 1, 1, "bf16")],  # the whole batch at once: a part's gradients are rounded otherwise
)
def test_deepspeed_equals_plain_torch(zero, world, accumulate, precision):
    words = (f"--zero={zero}", f"--accumulate={accumulate}", f"--precision={precision}")
    printed = run_ranks(WORKER, world, *words)
    (line,) = [line for line in printed.splitlines() if line.startswith("{")]
    results = json.loads(line)
    assert len(results) == 11 + 4  # every phase of every stage, and the averages
    for phase, result in results.items():
        assert result["moved"] > 1e-4, (phase, result)  # it was trained
        assert result["difference"] < 1e-6, (phase, result)
