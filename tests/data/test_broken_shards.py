"""Broken shards of every kind, before and while they are read, by both readers: named, counted, stood in for."""

import errno
import itertools
import os
import re
import shutil
from typing import NamedTuple

import pytest
import torch

from spt_dist import config
from spt_dist.data import dali
from spt_dist.data.files import read_tars
from spt_dist.data.lost import stride
from spt_dist.data.manifest import Manifest
from spt_dist.data.pipeline import open_reader, read_split
from spt_dist.data.schema import DataError
from spt_dist.data.search.people import Settings
from spt_dist.data.search.run import search

SIZE = (24, 16)
COUNT, SHARDS, BATCH = 64, 8, 4
EPOCH = COUNT // BATCH
READERS = ["webdataset", pytest.param("dali", marks=pytest.mark.skipif(not dali.available(), reason="no DALI here"))]

pytestmark = pytest.mark.timeout(60)  # nothing may hang


@pytest.fixture(params=READERS)
def kind(request):
    return request.param


@pytest.fixture
def folder(shards_of_64, tmp_path):
    return shutil.copytree(shards_of_64, tmp_path / "copy")


def reader_of(folder, kind, told=None, rank=0, ranks=1, **changes):
    data = {
        "shards": str(folder),
        "image_size": SIZE,
        "reader": kind,
        "shuffle_buffer": 1,
        "batch": BATCH,
        "flip": False,
    }
    tell = (lambda what: None) if told is None else told.append
    return open_reader(config.Data(**(data | {"max_lost": 0.2} | changes)), "train", rank=rank, ranks=ranks, tell=tell)


def sources(reader, count):
    return [name for pairs in itertools.islice(reader, count) for name in pairs.source.ids]


class Whole(NamedTuple):
    """What undamaged shards give."""

    names: list[str]  # by number
    order: list[str]  # three epochs
    last: int  # the shard that the first epoch comes to last, so that nobody has opened it before


@pytest.fixture(scope="module")
def whole(shards_of_64):
    names = [sample.id for sample in read_split(shards_of_64, "train")]
    order = sources(reader_of(shards_of_64, "webdataset"), 3 * EPOCH)
    return Whole(names, order, names.index(order[COUNT - 1]) // SHARDS)


def tar(folder, shard):
    return folder / f"train-{shard:06d}.tar"


def truncate(folder, shard):
    os.truncate(tar(folder, shard), tar(folder, shard).stat().st_size // 2)


def empty(folder, shard):
    os.truncate(tar(folder, shard), 0)


def zero(folder, shard):
    tar(folder, shard).write_bytes(bytes(tar(folder, shard).stat().st_size))


def flip_a_bit(folder, shard):
    content = bytearray(tar(folder, shard).read_bytes())
    content[700] ^= 1
    tar(folder, shard).write_bytes(content)


def swap(folder, shard):
    shutil.copyfile(tar(folder, (shard + 1) % SHARDS), tar(folder, shard))


def remove(folder, shard):
    tar(folder, shard).unlink()


def remove_index(folder, shard):
    tar(folder, shard).with_suffix(".idx").unlink()


def index(change):
    def damage(folder, shard):
        file = tar(folder, shard).with_suffix(".idx")
        file.write_bytes(change(file.read_bytes()))

    return damage


DAMAGE = {
    "missing": (remove, r"No such file .*train-00000\d.tar.* copy it back or pack again"),
    "truncated": (truncate, r"it has \d+ bytes, \d+ were packed; copy it again"),
    "empty": (empty, r"it has 0 bytes, \d+ were packed; copy it again"),
    "zeroed": (zero, r"its SHA-256 is \w+, packed was \w+; copy it again"),
    "a bit flipped": (flip_a_bit, r"its SHA-256 is \w+, packed was \w+; copy it again"),
    "swapped": (swap, r"its SHA-256 is that of `train-00000\d.tar`, packed was|bytes, \d+ were packed"),
    "no index": (remove_index, r"No such file .*train-00000\d.idx.* copy it back or pack again"),
    "index past the end": (
        index(lambda text: re.sub(rb"jpg \d+ ", b"jpg 99999999 ", text)),
        r"its index says `0+\d+.jpg` at 99999999, where the tar has ``; copy the index again",
    ),
    "index before the start": (
        index(lambda text: re.sub(rb"jpg \d+ ", b"jpg -5 ", text)),
        r"at -5, where the tar has ``",
    ),
    "index of other sizes": (
        index(lambda text: re.sub(rb"jpg (\d+) \d+ ", rb"jpg \1 99 ", text)),
        r"its index says `0+\d+.jpg` at \d+, where the tar has `0+\d+.jpg`",
    ),
    "index of other words": (index(lambda text: re.sub(rb"jpg \d+ ", b"jpg far ", text)), r"its index is broken \(inv"),
    "index of other fields": (index(lambda text: text.replace(b"jpg ", b"")), r"its index"),
    "index cut off": (index(lambda text: text[: len(text) // 2]), r"its index"),
    "empty index": (index(lambda text: b""), r"its index has 0 samples, not 8; copy the index again"),
    "index of bytes": (index(lambda text: b"\xff\xfe\x00" * 50), r"its index is broken"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_shard_lost_in_mid_epoch_is_named_and_stood_in_for(folder, kind, whole, what):
    """Damage after the start: the order of all others stays, and each place of a lost one is taken by the rule."""
    damage, reason = DAMAGE[what]
    told = []
    reader = reader_of(folder, kind, told)
    found = sources(reader, 1)
    damage(folder, whole.last)
    found += sources(reader, 2 * EPOCH - 1)
    assert len(told) == 1
    assert re.search(r"lost 8 of 64 samples of `train`, 12 may be; others stand in: 8 x shard `.*" + reason, told[0])
    assert f"train-{whole.last:06d}" in told[0]
    lost = range(SHARDS * whole.last, SHARDS * (whole.last + 1))
    for name, expected in zip(found, whole.order, strict=False):
        number = whole.names.index(expected)
        while number in lost:
            number = (number + stride(COUNT)) % COUNT
        assert name == whole.names[number]


@pytest.mark.parametrize("what", ["missing", "truncated", "swapped", "index past the end"])
def test_above_the_limit_it_ends_with_the_list(folder, kind, whole, what):
    damage, reason = DAMAGE[what]
    reader = reader_of(folder, kind, max_lost=0.1)
    next(reader)
    damage(folder, whole.last)
    with pytest.raises(DataError, match=r"lost 8 of 64 .*raise `data.max_lost`:\n  8 x shard(?s:.*)") as caught:
        sources(reader, EPOCH)
    assert re.search(reason, str(caught.value))


@pytest.mark.parametrize("what", ["truncated", "empty", "zeroed", "a bit flipped"])
def test_an_open_shard_that_changes_is_found(folder, kind, whole, what):
    """Truncated or overwritten in place while it is being read."""
    told = []
    reader = reader_of(folder, kind, told, shuffle_buffer=COUNT)
    sources(reader, EPOCH // 2)  # all shards are open
    DAMAGE[what][0](folder, 3)
    os.utime(tar(folder, 3), ns=(1, 1))  # a file system's clock may be coarse
    lost = set(whole.names[3 * SHARDS : 4 * SHARDS])
    assert not lost & set(sources(reader, 2 * EPOCH)[4 * BATCH :])  # what was decoded ahead is whole
    assert len(told) == 1


@pytest.mark.parametrize("call", ["pread", "fstat"])
def test_a_disk_that_fails_under_an_open_shard_is_a_lost_shard(folder, kind, whole, monkeypatch, call):
    told, real, inode = [], getattr(os, call), tar(folder, 3).stat().st_ino

    def failing(descriptor, *arguments):
        if os.stat(f"/proc/self/fd/{descriptor}").st_ino == inode:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(descriptor, *arguments)

    reader = reader_of(folder, kind, told, shuffle_buffer=COUNT)
    sources(reader, EPOCH // 2)
    monkeypatch.setattr(os, call, failing)
    assert not set(whole.names[3 * SHARDS : 4 * SHARDS]) & set(sources(reader, 2 * EPOCH)[4 * BATCH :])
    assert len(told) == 1
    assert re.search(r"train-000003.tar` cannot be read: Stale file handle; copy it back", told[0])


def test_a_removed_shard_is_read_to_its_end_while_it_is_open(folder, kind):
    """Linux keeps what somebody has open."""
    reader, told = reader_of(folder, kind, shuffle_buffer=COUNT), []
    expected = sources(reader_of(folder, kind, shuffle_buffer=COUNT), 2 * EPOCH)
    found = sources(reader, EPOCH // 2)
    for shard in range(SHARDS):
        remove(folder, shard)
    assert found + sources(reader, 2 * EPOCH - EPOCH // 2) == expected
    assert not told


def test_ranks_agree_on_who_stands_in(folder, kind):
    """Two ranks that lose a shard are the two halves of one that does."""
    readers = [reader_of(folder, kind), *(reader_of(folder, kind, rank=rank, ranks=2) for rank in range(2))]
    index(lambda text: b"")(folder, 5)
    for _ in range(2 * EPOCH):
        whole, *parts = (next(reader) for reader in readers)
        for side in range(2):
            assert whole[side].ids == [name for part in parts for name in part[side].ids]
            assert torch.equal(whole[side].labels, torch.cat([part[side].labels for part in parts]))


def test_a_run_that_goes_on_elsewhere_takes_the_same_stand_ins(folder, kind):
    index(lambda text: b"")(folder, 2)
    reader = reader_of(folder, kind)
    sources(reader, 5)
    again = reader_of(folder, kind)
    again.load_state_dict(reader.state_dict())
    assert sources(again, 2 * EPOCH) == sources(reader, 2 * EPOCH)


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 6, 64, 97, 1000, 30_030])
def test_stand_ins_reach_everybody(samples):
    step = stride(samples)
    assert len({number * step % samples for number in range(samples)}) == samples


@pytest.mark.parametrize("what", DAMAGE)
def test_a_start_and_a_reading_of_all_name_the_shard(folder, kind, what):
    """A run starts on whole files only, and what is scored is all that was packed."""
    DAMAGE[what][0](folder, 6)
    if what in ("missing", "truncated", "empty", "no index"):
        with pytest.raises(DataError, match=r"train-000006\..*(is missing; copy it back|copy it again)"):
            reader_of(folder, kind)
    with pytest.raises(DataError, match="train-000006"):
        list(read_split(folder, "train"))


@pytest.mark.parametrize("what", ["truncated", "empty", "zeroed", "swapped"])
def test_reading_tars_from_end_to_end_misses_nothing(folder, what):
    """A tar's end is a block of zeros: whatever is zeroed looks like one."""
    paths = Manifest.load(folder).paths("train")
    DAMAGE[what][0](folder, 6)
    if what == "swapped":
        assert len(list(read_tars(paths))) == COUNT  # nothing is missing, so the search compares the sums before
        with pytest.raises(DataError, match=r"train-000006.tar` is damaged: SHA-256"):
            search(folder, folder / "pairs.parquet", Settings(2, 4, 8, 0.1, 16, 0))
    else:
        with pytest.raises(DataError, match=r"train-000006|a shard cannot be read"):
            list(read_tars(paths))


def test_the_list_is_short(packed, kind):
    folder = packed(COUNT, shard_samples=2)
    reader = reader_of(folder, kind, max_lost=0.9)
    for shard in range(32):
        index(lambda text: b"")(folder, shard)
    with pytest.raises(DataError) as caught:
        next(reader)
    assert re.search(r"lost 58 of 64 .*, 57 may be", str(caught.value))
    assert str(caught.value).count("2 x shard") == 10
    assert "and 19 more" in str(caught.value)
