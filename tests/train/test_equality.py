"""DeepSpeed engines on one and two processes train every phase exactly as plain torch does on the whole batch."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("equality_worker.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("zero", "world", "accumulate", "precision"),
    [
        (0, 2, 1, "fp32"),
        (1, 2, 1, "fp32"),
        (2, 2, 1, "fp32"),
        (1, 2, 2, "fp32"),
        (2, 1, 2, "fp32"),
        (1, 1, 1, "bf16"),  # the whole batch at once: a part's gradients are rounded otherwise
    ],
)
def test_deepspeed_equals_plain_torch(zero, world, accumulate, precision):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shared = {"PATH": path, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    shared |= {"MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(WORKER), f"--zero={zero}", f"--accumulate={accumulate}", f"--precision={precision}"],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    outputs = [rank.communicate(timeout=240) for rank in ranks]
    assert all(rank.returncode == 0 for rank in ranks), outputs[0][1][-3000:] + outputs[-1][1][-3000:]
    (line,) = [line for line in outputs[0][0].splitlines() if line.startswith("{")]
    results = json.loads(line)
    assert len(results) == 11  # every phase of every stage
    for phase, result in results.items():
        assert result["moved"] > 1e-4, (phase, result)  # it was trained
        assert result["difference"] < 1e-6, (phase, result)
