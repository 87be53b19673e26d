"""Packing in blocks: resumed, shared out, balanced, and on storage that is no disk."""

import dataclasses
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from storage import s3_bucket

from spt_dist.data import pack as packing
from spt_dist.data.importers import read_folder, read_rows
from spt_dist.data.manifest import Manifest
from spt_dist.data.pack import pack, pack_rows
from spt_dist.data.packing import deal
from spt_dist.data.packing.deal import cut
from spt_dist.data.pipeline import read_split
from spt_dist.data.schema import DataError
from spt_dist.data.search.run import here
from spt_dist.data.storage import Storage

SIZE = (32, 16)
TAR_RECORD = 10_240  # a tar is filled up to a multiple of it


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(packing, "BLOCK", 8)


def rows(folder):
    return [row for split in ("train", "val") for row in read_rows(folder, split)]


def content(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


def breaking(after):
    """A mapper that works off its last task first, and breaks off after some calls."""
    calls = iter(range(after))

    def mapper(function, tasks):
        for at, task in reversed(list(enumerate(tasks))):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            yield at, function(task)

    return mapper


@pytest.mark.parametrize("wave", [1, 3])
def test_a_resumed_packing_gives_the_bytes_of_an_unbroken_one(people40, tmp_path, small_blocks, wave):
    given = rows(people40)
    pack_rows(given, tmp_path / "whole", SIZE, "whole", duplicates="drop")
    with pytest.raises(KeyboardInterrupt):
        pack_rows(given, tmp_path / "out", SIZE, "whole", duplicates="drop", mapper=breaking(4), wave=wave)
    assert not (tmp_path / "out").exists()
    worked, seen = [], []

    def counting(function, tasks):
        worked.extend(task.number for task in tasks)
        yield from here(function, tasks)

    pack_rows(
        given, tmp_path / "out", SIZE, "whole", duplicates="drop", mapper=counting, wave=wave, resume=True,
        total=len(given), progress=lambda done, total: seen.append(done),
    )  # fmt: skip
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert len(worked) == -(-len(given) // 8) - 4
    assert sorted(seen) == seen
    assert seen[-1] == len(given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


def test_rows_and_samples_give_the_same_bytes(people40, tmp_path, small_blocks):
    pack_rows(rows(people40), tmp_path / "rows", SIZE, "whole")
    pack(
        (sample for split in ("train", "val") for sample in read_folder(people40, split)), tmp_path / "s", SIZE, "whole"
    )
    assert content(tmp_path / "rows") == content(tmp_path / "s")


def test_other_settings_and_changed_pictures_are_not_resumed(people40, tmp_path, small_blocks):
    own = tmp_path / "own"
    own.mkdir()
    for path in people40.rglob("*"):
        target = own / path.relative_to(people40)
        target.mkdir(exist_ok=True) if path.is_dir() else target.write_bytes(path.read_bytes())
    with pytest.raises(KeyboardInterrupt):
        pack_rows(rows(own), tmp_path / "out", SIZE, "whole", mapper=breaking(2))
    with pytest.raises(DataError, match=r"begun with size \[32, 16\], now it is \[64, 48\]"):
        pack_rows(rows(own), tmp_path / "out", (64, 48), "whole", resume=True)
    with pytest.raises(DataError, match="begun with look False, now it is True"):
        pack_rows(rows(own), tmp_path / "out", SIZE, "whole", duplicates="drop", resume=True)
    cut_off = tmp_path / ".out.blocks" / "blocks" / "000001.bin"
    cut_off.write_bytes(cut_off.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"000001\.bin` ends early"):
        pack_rows(rows(own), tmp_path / "out", SIZE, "whole", resume=True)
    name = rows(own)[3].name
    (own / "img" / name).write_bytes((own / "img" / rows(own)[9].name).read_bytes())
    with pytest.raises(DataError, match=f"`{name}` of .* changed since"):
        pack_rows(rows(own), tmp_path / "out", SIZE, "whole", resume=True)
    with pytest.raises(DataError, match="changed since"):
        pack_rows(rows(own)[1:], tmp_path / "out", SIZE, "whole", resume=True)
    pack_rows(rows(own), tmp_path / "out", SIZE, "whole")  # without `resume`: from the start


@pytest.mark.slow
@pytest.mark.faults
def test_a_killed_packing_goes_on(people40, tmp_path, small_blocks):
    """SIGKILL in mid-pack, at whatever instruction it meets."""
    out, work = tmp_path / "out", tmp_path / ".out.blocks" / "blocks"
    script = (
        "import sys; from spt_dist.data import pack as p; from spt_dist.data.importers import read_rows\n"
        "p.BLOCK = 8\n"
        "rows = [row for split in ('train', 'val') for row in read_rows(sys.argv[1], split)]\n"
        "p.pack_rows(rows, sys.argv[2], (32, 16), 'whole', duplicates='drop')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(people40), str(out)])
    while process.poll() is None and len(list(work.glob("*.json"))) < 2:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    pack_rows(rows(people40), out, SIZE, "whole", duplicates="drop", resume=True)
    pack_rows(rows(people40), tmp_path / "whole", SIZE, "whole", duplicates="drop")
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_ray_gives_the_bytes_of_one_process_on_disk_and_on_s3(people40, tmp_path, monkeypatch, small_blocks):
    from spt_dist.data.search.distributed import ray_mapper

    pack_rows(rows(people40), tmp_path / "here", SIZE, "whole", duplicates="drop")
    with s3_bucket(monkeypatch) as address, ray_mapper(2) as mapper:
        out = address("shards")
        for place in (tmp_path / "ray", out):
            pack_rows(rows(people40), place, SIZE, "whole", duplicates="drop", mapper=mapper, wave=packing.WAVE)
        wanted, there = content(tmp_path / "here"), Storage(out)
        assert content(tmp_path / "ray") == wanted
        assert {name: hashlib.sha256(there.read(name)).hexdigest() for name in wanted} == wanted


def test_shards_of_very_unequal_samples_weigh_the_same(person, tmp_path):
    """Noise does not compress: samples of 1 to 25 kB."""
    rng = np.random.default_rng(0)
    given = []
    for seed in range(96):
        size = (96, 64)
        sample = person(f"p{seed}", seed, size)
        noisy = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
        rough = np.arange(96)[:, None, None] < rng.choice([0, 0, 10, 96])
        given.append(dataclasses.replace(sample, image=np.where(rough, noisy, sample.image)))
    manifest = pack(given, tmp_path / "out", (96, 64), "whole")
    shards = manifest.splits["train"].shards
    sizes = np.array([shard.bytes for shard in shards])
    counts = [shard.samples for shard in shards]
    assert len(shards) == 8
    assert max(counts) - min(counts) > 1, "these samples are too equal to test anything"
    assert np.abs(sizes - sizes.mean()).max() <= 30_000 + TAR_RECORD
    assert len(list(read_split(tmp_path / "out", "train"))) == 96


def test_blocks_that_are_forgotten_are_closed(people40, tmp_path, monkeypatch):
    """Or a million samples end in `Too many open files`."""
    monkeypatch.setattr(packing, "BLOCK", 1)
    monkeypatch.setattr(deal, "OPEN_BLOCKS", 2)
    opened, write = [], Storage.write
    monkeypatch.setattr(Storage, "write", lambda *words: opened.append(_opened_below(tmp_path)) or write(*words))
    pack_rows(rows(people40), tmp_path / "out", SIZE, "whole", shard_samples=5)
    assert 1 <= max(opened) <= 4


def _opened_below(folder):
    """How many of this process's descriptors are files there."""
    links = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    return sum(str(link.readlink()).startswith(str(folder)) for link in links if link.is_symlink())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_cuts_are_within_one_sample_of_the_mean(seed, count):
    weights = (np.random.default_rng(seed).pareto(1.5, 40) * 1000 + 1).astype(np.int64)
    bounds = cut(weights, count)
    assert (bounds[0], bounds[-1], len(bounds)) == (0, 40, count + 1)
    assert all(before < after for before, after in itertools.pairwise(bounds))
    shards = np.add.reduceat(weights, bounds[:-1])
    assert np.abs(shards - weights.sum() / count).max() <= max(weights.max(), weights.sum() / count)


def test_equal_samples_are_cut_by_count():
    assert cut(np.full(67, 3072), 8) == [67 * number // 8 for number in range(9)]


def test_a_million_is_the_largest_run_by_a_factor(people40):
    from spt_dist.data.packing.cost import Cost, Point, repeated

    found = list(repeated(people40, 100))
    assert len({row.id for row in found}) == 100
    assert found[40].files == found[0].files
    points = [Point(1000, 4.0, 3.0, 50, 90_000, 1), Point(9000, 30.0, 18.0, 50, 170_000, 1)]
    cost = Cost(points, 0.001, 0.04)
    assert cost.core_hours == pytest.approx(1e6 * 0.003 / 3600)
    assert cost.growth_bytes == 10


def test_a_manifest_of_before_loads(packed):
    folder = packed(3)
    tree = json.loads((folder / "manifest.json").read_text())
    del tree["duplicates"], tree["leaks"]
    (folder / "manifest.json").write_text(json.dumps(tree))
    assert Manifest.load(folder).duplicates is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_shards_on_s3_are_the_same_and_are_read_from_there(people40, tmp_path, monkeypatch, small_blocks):
    monkeypatch.setenv("SPT_CACHE", str(tmp_path / "cache"))
    local = pack_rows(rows(people40), tmp_path / "local", SIZE, "whole", duplicates="drop")
    with s3_bucket(monkeypatch) as address:
        out = address("data/shards")
        with pytest.raises(KeyboardInterrupt):
            pack_rows(rows(people40), out, SIZE, "whole", duplicates="drop", mapper=breaking(3))
        with pytest.raises(DataError, match=r"no shards at `s3://"):
            Manifest.load(out)
        pack_rows(rows(people40), out, SIZE, "whole", duplicates="drop", resume=True)
        there, wanted = Storage(out), content(tmp_path / "local")
        assert {name: hashlib.sha256(there.read(name)).hexdigest() for name in wanted} == wanted
        assert not there.hidden(".blocks").exists()
        with pytest.raises(DataError, match="exists"):
            pack_rows(rows(people40), out, SIZE, "whole")

        manifest = Manifest.load(out)
        assert manifest.data_hash == local.data_hash
        assert [sample.id for sample in read_split(out, "val")] == [s.id for s in read_split(tmp_path / "local", "val")]
        assert not list(manifest.folder.glob("train-*"))  # a split is fetched when it is read
        manifest.verify()
        (manifest.folder / "train-000000.tar").unlink()
        there.write("train-000000.tar", b"something else")
        with pytest.raises(DataError, match=r"`train-000000.tar` at .* is damaged"):
            manifest.split("train")


def test_what_is_no_storage_is_named(tmp_path):
    for place, message in (
        ("s3://key@secret/x", "holds keys"),
        ("s3://bucket", "names no folder"),
        ("ftp://host/x", "no storage that is"),
    ):
        with pytest.raises(DataError, match=message):
            pack([], place, SIZE)
