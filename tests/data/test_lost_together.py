"""Two processes that lose shards on the way: nobody waits for ever."""

import json
import shutil
import time
from pathlib import Path

import pytest
from processes import run_ranks, start_ranks

WORKER = Path(__file__).with_name("lost_worker.py")
ENDS_S = 60

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def folder(shards_of_64, tmp_path):
    return shutil.copytree(shards_of_64, tmp_path / "copy")


def test_above_the_limit_every_rank_ends(folder):
    """The rank that finds it says so and leaves; the other fails at the next collective, or has found it as well."""
    ranks = start_ranks(WORKER, 2, str(folder), "0.1")
    end = time.monotonic() + ENDS_S
    try:
        codes = [rank.wait(max(1, end - time.monotonic())) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    said = [rank.said() for rank in ranks]
    assert 0 not in codes
    assert any(code == 3 and "lost 8 of 64" in words for code, words in zip(codes, said, strict=True)), said
    assert any("raise `data.max_lost`:\n  8 x shard" in words for words in said)


def test_below_the_limit_both_read_on(folder):
    said = run_ranks(WORKER, 2, str(folder), "0.5", timeout_s=ENDS_S)
    assert "lost 8 of 64 samples of `train`, 32 may be; others stand in: 8 x shard" in said
    assert "lost 16 of 64" in said
    assert [len(names) for names in json.loads(said.splitlines()[-1])] == [2] * 40
