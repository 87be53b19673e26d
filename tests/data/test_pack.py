import dataclasses
import hashlib
import itertools
import json
import tarfile

import numpy as np
import pytest

from spt_dist.body import Label
from spt_dist.data.importers import Unreadable, read_folder
from spt_dist.data.manifest import Manifest
from spt_dist.data.pack import pack
from spt_dist.data.pipeline import read_split
from spt_dist.data.schema import KEYS, DataError, collate, encode

SIZE = (24, 16)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "shards"


def test_every_sample_arrives_once_as_it_was(person, out):
    given = [person(f"p{seed}", seed, split="train" if seed < 9 else "test") for seed in range(12)]
    manifest = pack(given, out, SIZE, "whole")
    assert {name: split.samples for name, split in manifest.splits.items()} == {"train": 9, "test": 3}
    read = {sample.id: sample for split in manifest.splits for sample in read_split(out, split)}
    assert len(read) == 12
    for sample in given:
        np.testing.assert_array_equal(read[sample.id].labels, sample.labels)
        np.testing.assert_array_equal(read[sample.id].joints, sample.joints)
        assert read[sample.id].split == sample.split


def test_manifest_says_what_is_there(person, out):
    manifest = pack([person(f"p{seed}", seed, missing=4) for seed in range(10)], out, SIZE, "whole")
    train = manifest.split("train")
    for shard in train.shards:
        content = (out / shard.name).read_bytes()
        assert (shard.bytes, shard.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert sum(train.label_fractions.values()) == pytest.approx(1, abs=1e-5)
    labels = np.stack([sample.labels for sample in read_split(out, "train")])
    assert train.label_fractions["SKIRT"] == pytest.approx((labels == Label.SKIRT).mean(), abs=1e-6)
    assert sum(train.joint_visibility.values()) == pytest.approx(14, abs=1e-5)
    assert (manifest.size, manifest.how, manifest.rejected) == (SIZE, "whole", 0)
    assert json.loads((out / "manifest.json").read_text())["data_hash"] == manifest.data_hash
    manifest.verify()


@pytest.mark.parametrize(("count", "most", "shards"), [(1, 1000, 1), (63, 1000, 1), (64, 1000, 8), (67, 5, 14)])
def test_shards_are_balanced(packed, count, most, shards):
    sizes = [shard.samples for shard in Manifest.load(packed(count, shard_samples=most)).splits["train"].shards]
    assert len(sizes) == shards
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1


def test_the_same_samples_give_the_same_bytes_in_any_order(person, tmp_path):
    given = [person(f"p{seed}", seed) for seed in range(7)]
    hashes = {
        pack(order, tmp_path / name, SIZE, "whole").data_hash for name, order in (("a", given), ("b", given[::-1]))
    }
    assert len(hashes) == 1
    assert pack(given[:6], tmp_path / "c", SIZE, "whole").data_hash not in hashes


def test_the_index_points_at_the_files(packed):
    """Each `extension offset size name` of the index is where the tar has that file."""
    folder = packed(5)
    content = (folder / "train-000000.tar").read_bytes()
    version, *lines = (folder / "train-000000.idx").read_text().splitlines()
    assert version == "v1.2 5"
    with tarfile.open(folder / "train-000000.tar") as tar:
        members = iter(tar.getmembers())
        for line in lines:
            fields = line.split()
            assert tuple(fields[::4]) == KEYS
            entries = zip(*(fields[part::4] for part in range(4)), strict=True)
            for (extension, offset, size, name), member in zip(entries, members, strict=False):
                assert (name, int(size), int(offset)) == (member.name, member.size, member.offset_data)
                assert name.endswith("." + extension)
                if extension == "json":
                    assert json.loads(content[int(offset) : int(offset) + int(size)])["source"] == "hand-made"


def test_rejected_samples_are_listed_with_reasons(person, out):
    good = [person(f"p{seed}", seed) for seed in range(16)]
    bad = [
        Unreadable("gone", "cannot read it", "train"),
        person("few", 50, missing=13),
        dataclasses.replace(person("label", 51), labels=np.full(SIZE, 77, np.uint8)),
        person("p3", 52),
    ]
    seen = []
    manifest = pack(good + bad, out, SIZE, "whole", total=20, progress=lambda *at: seen.append(at))
    lines = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["gone", "few", "label", "p3"]
    for line, word in zip(lines, ("cannot read", "5 of 18", "label 77", "twice"), strict=True):
        assert word in line["reason"]
    assert (manifest.rejected, manifest.splits["train"].samples) == (4, 16)
    assert seen == [(done, 20) for done in range(1, 21)]


def test_too_many_rejected_is_an_error_and_leaves_nothing_half_done(person, out):
    given = [person("good", 0), *(Unreadable(f"b{number}", "broken", "train") for number in range(9))]
    with pytest.raises(DataError, match=r"9 of 10 samples were rejected(?s:.*)b0: broken"):
        pack(given, out, SIZE, "whole")
    assert not out.exists()
    assert len((out.with_name("shards.partial") / "rejected.jsonl").read_text().splitlines()) == 9
    pack(given, out, SIZE, "whole", max_rejected=0.95)
    assert not out.with_name("shards.partial").exists()


def test_a_split_whose_samples_are_all_rejected_is_absent(person, out):
    given = [person(f"p{seed}", seed) for seed in range(9)] + [person("x", 9, split="val", missing=18)]
    assert list(pack(given, out, SIZE, "whole").splits) == ["train"]


def test_refuses_to_overwrite_and_to_pack_nothing(packed, tmp_path):
    folder = packed(2)
    with pytest.raises(DataError, match="exists"):
        pack([], folder, SIZE)
    with pytest.raises(DataError, match="no samples"):
        pack([], tmp_path / "other", SIZE)


def test_manifest_errors_name_the_way_out(packed, tmp_path):
    with pytest.raises(DataError, match="no shards at"):
        Manifest.load(tmp_path / "nowhere")
    folder = packed(3)
    file = folder / "manifest.json"
    text = file.read_text()
    for change, message in {
        "{": "not JSON",
        "[]": "schema version None",
        text.replace('"schema": 1', '"schema": 99'): "schema version 99",
        text.replace('"how"', '"wie"'): "'how'",
        text.replace('"whole"', '"person"'): "was edited",
    }.items():
        file.write_text(change)
        with pytest.raises(DataError, match=message):
            Manifest.load(folder)


def test_changed_shards_are_found(packed):
    folder = packed(3)
    manifest, shard = Manifest.load(folder), folder / "train-000000.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[:700] + bytes([content[700] ^ 1]) + content[701:])
    with pytest.raises(DataError, match="damaged"):
        manifest.verify()
    shard.write_bytes(content[:-512])
    with pytest.raises(DataError, match="bytes"):
        manifest.paths("train")
    for file in (shard.with_suffix(".idx"), shard):
        file.unlink()
        with pytest.raises(DataError, match=f"{file.name}` is missing"):
            manifest.paths("train")
    with pytest.raises(DataError, match="no split `val`"):
        manifest.split("val")


def test_a_real_sample_is_light(data, out):
    """At 256x256: at most 0.2 MB in the shard, and 4 h w + 216 bytes on the way to the device."""
    pack(itertools.islice(read_folder(data / "ccp256", "val"), 8), out, (256, 256), "person")
    samples = list(read_split(out, "val"))
    assert max(sum(map(len, encode(sample).values())) for sample in samples) <= 200_000
    batch = collate(samples)
    crossing = sum(tensor.numel() * tensor.element_size() for tensor in batch[1:]) / len(samples)
    assert crossing == 4 * 256 * 256 + 216
