"""Mutated samples by the hundred (`make fuzz`: 10,000): read, packed, read back; each kept or named, nothing breaks.

$FUZZ is how many.
"""

import gc
import itertools
import json
import os
import shutil
from collections import Counter
from random import Random

import psutil
import pytest
from broken import write_folder
from hostile import joints, mangled
from hostile_data import spoil_folder, spoil_shards
from rich.progress import track

from spt_dist import config
from spt_dist.data import dali
from spt_dist.data.importers import read_folder
from spt_dist.data.pack import pack
from spt_dist.data.pipeline import open_reader, read_split
from spt_dist.data.schema import KEYS, DataError, decode, encode
from spt_dist.person import read_keypoints

COUNT = int(os.environ.get("FUZZ", "300"))
PEOPLE = 50  # in a folder
SIZE, BATCH = (24, 16), 2
GROWTH_BYTES = 48_000_000
READERS = ("webdataset", "dali") if dali.available() else ("webdataset",)


@pytest.mark.timeout(60 + COUNT // 5)
def test_mutated_samples_are_kept_or_named(person, tmp_path):
    people = [person(f"p{seed}", seed) for seed in range(PEOPLE)]
    rounds, memory, reasons = max(1, COUNT // PEOPLE), [], Counter[str]()
    for index in track(range(rounds), "folders of mutated people", disable=COUNT <= 300):
        random, folder = Random(index), tmp_path / "people"
        spoil_folder(write_folder(folder, people, random.choice(["jpg", "png"])), random)
        found = list(read_folder(folder, "train"))
        shards = tmp_path / "shards"
        manifest = pack(found, shards, SIZE, random.choice(["person", "whole"]), max_rejected=1.0, shard_samples=4)
        rejected = [json.loads(line) for line in (shards / "rejected.jsonl").read_text().splitlines()]
        kept = [sample.id for sample in read_split(shards, "train")]
        assert len(found) == len(kept) + len(rejected)
        assert len(kept) == manifest.split("train").samples == len(set(kept))
        assert all(line["reason"] and len(line["reason"]) < 1000 and line["source"] == "people" for line in rejected)
        reasons.update(line["reason"].split("`")[-1].split("(")[0][:40] for line in rejected)
        reasons["kept"] += len(kept)
        for kind in READERS:
            assert set(epoch(shards, kind, len(kept))) == set(kept)
        spoil_shards(shards, random)
        for kind in READERS:
            names, said = refused(epoch, shards, kind, len(kept))
            assert set(names or kept) <= set(kept)
            assert said is None or "train" in said
            reasons["shards read on" if names else "shards refused"] += 1
        for path in (folder, shards):
            shutil.rmtree(path)
        if index % max(1, rounds // 10) == 0:
            gc.collect()
            memory.append(psutil.Process().memory_info().rss)
    print(f"{rounds * PEOPLE:,} samples: {dict(reasons.most_common(30))}")
    print(f"memory in MB, ten times on the way: {[size // 10**6 for size in memory]}")
    assert reasons["kept"] > COUNT / 10
    assert sum(reasons.values()) - reasons["kept"] > COUNT / 10
    assert memory[-1] - memory[min(2, len(memory) - 1)] < GROWTH_BYTES


def epoch(shards, kind, samples):
    """All that a reader gives of a split, once."""
    data = config.Data(shards=str(shards), image_size=SIZE, reader=kind, batch=BATCH, max_lost=0.5)
    reader = open_reader(data, "train", tell=lambda what: None)
    return [name for pairs in itertools.islice(reader, -(-samples // BATCH)) for name in pairs.source.ids]


def refused(use, *arguments, family=DataError):
    """What `use` gives, or what it says when it refuses; any other exception is a failure."""
    try:
        return use(*arguments), None
    except family as error:
        return None, str(error)


@pytest.mark.timeout(60 + COUNT // 50)
def test_mutated_files_of_a_sample_are_a_sample_or_an_error(person, capfd):
    """What lies in a tar, should its sum agree: decoded to the same kind of sample, or refused; OpenCV's remarks go."""
    good, outcomes = encode(person("a", 1)), Counter[str]()
    for index in range(COUNT):
        random = Random(index)
        key = random.choice(KEYS)
        for use in (decode, lambda files: dali._take(files, SIZE)):
            outcomes["read" if refused(use, good | {key: mangled(random, good[key])})[1] is None else "refused"] += 1
    assert min(outcomes["read"], outcomes["refused"]) > COUNT / 20


@pytest.mark.timeout(60 + COUNT // 50)
def test_mutated_joints_are_a_pose_or_an_error(person, tmp_path):
    good, outcomes = json.dumps(person("a", 1).joints.tolist()), Counter[str]()
    for index in range(COUNT):
        random = Random(index)
        text = (good if random.random() < 0.5 else joints(random, good)).encode(errors="replace")
        (tmp_path / "pose.json").write_bytes(mangled(random, text) if text and random.random() < 0.5 else text)
        _, said = refused(read_keypoints, tmp_path / "pose.json", family=ValueError)
        assert said is None or "pose.json" in said
        outcomes["read" if said is None else "refused"] += 1
    assert min(outcomes["read"], outcomes["refused"]) > COUNT / 20
