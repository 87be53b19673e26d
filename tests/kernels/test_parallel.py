"""The ops under DistributedDataParallel: two processes of one sample each learn what one process learns from both."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

WORKER = Path(__file__).with_name("parallel_worker.py")


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_one(tmp_path):
    processes = [subprocess.Popen([sys.executable, str(WORKER), str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    spec = importlib.util.spec_from_file_location("parallel_worker", WORKER)
    assert spec is not None
    assert spec.loader is not None
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    layer = worker.Layer()
    layer(*worker.batch()).backward()
    assert layer.conv.weight.grad.abs().max() > 0
    for rank in range(2):
        assert_close(torch.load(tmp_path / f"{rank}.pt"), layer.conv.weight.grad, rtol=1e-4, atol=1e-6)
