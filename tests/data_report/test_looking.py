"""A look at shards finds what was planted in them, and nothing else."""

import json
import shutil

import numpy as np
import pytest

from spt_dist.data.importers import TWINS
from spt_dist.data.manifest import MANIFEST, Manifest, Split
from spt_dist.data.pack import pack
from spt_dist.data.schema import DataError
from spt_dist.data_report.facts import allot, read_facts
from spt_dist.data_report.looking import look
from spt_dist.data_report.rejected import kind_of


def silent(what, done, total):
    pass


@pytest.fixture(scope="module")
def tree(shards, tmp_path_factory, report):
    out = tmp_path_factory.mktemp("numbers")
    report(shards, "-o", out / "page.html", "--json", out / "numbers.json")
    return json.loads((out / "numbers.json").read_text())


def names(group):
    return {(one["id"], one["split"]) for one in group}


def test_copies_are_found_and_strangers_are_not(tree):
    listed = tree["near_duplicates"]["listed"]
    found = [names((pair["one"], pair["other"])) for pair in listed]
    assert found == [{("p5", "train"), ("p5-in-test", "test")}, {("p3", "train"), ("p3-again", "train")}]
    assert [pair["same_file"] for pair in listed] == [True, False]
    assert (listed[0]["bits"], listed[0]["agreement"]) == (0, 1)
    assert 0.98 < listed[1]["agreement"] < 1
    assert tree["near_duplicates"]["across_splits"] == 1
    assert tree["near_duplicates"]["samples"] == {"train": 3, "val": 0, "test": 1}


def test_every_kind_of_overlap_is_named_and_alarms(tree):
    overlap = tree["overlap"]
    assert {what: shared["count"] for what, shared in overlap.items()} == {
        "files": 1, "ids": 1, "identities": 1, "looks": 1
    }  # fmt: skip
    assert names(overlap["files"]["listed"][0]) == {("p5", "train"), ("p5-in-test", "test")}
    assert names(overlap["ids"]["listed"][0]) == {("both", "train"), ("both", "test")}
    assert names(overlap["identities"]["listed"][0]) == {("both", "train"), ("anna-again", "test")}
    alarms = [advice["text"] for advice in tree["advice"] if advice["level"] == "alarm"]
    assert len(alarms) == 4
    assert all("Splits overlap" in text for text in alarms)
    assert tree["advice"][0]["level"] == "alarm"


def test_an_unusual_pose_is_far_from_all_that_training_shows(tree):
    covered = tree["poses"]["coverage"]["test"]
    assert [far["id"] for far in covered["far"]] == ["handstand"]
    assert covered["without_near"] == pytest.approx(1 / 8)
    assert covered["far"][0]["distance"] > 1
    assert tree["poses"]["coverage"]["val"]["without_near"] == 0
    assert covered["median_distance"] < 0.02
    kinds = tree["poses"]["typical"]
    assert "handstand" in {kind["id"] for kind in kinds}
    for split in tree["splits"]:
        assert sum(kind["shares"][split] for kind in kinds) == pytest.approx(1, abs=1e-4)
        assert tree["poses"]["views"][split]["front"] == 1


def test_rejected_samples_fall_into_kinds(tree):
    kinds = {kind["kind"]: kind for kind in tree["rejected"]["kinds"]}
    assert tree["rejected"]["count"] == 3
    torn = kinds["… is damaged or cut off"]
    assert (torn["count"], torn["splits"], [line["id"] for line in torn["listed"]]) == (
        2, {"train": 1, "test": 1}, ["torn", "torn2"]
    )  # fmt: skip
    assert [kind["listed"][0]["id"] for name, kind in kinds.items() if "joints are visible" in name] == ["few"]
    assert any("of what was to be packed was rejected" in advice["text"] for advice in tree["advice"])


def test_shares_are_those_of_the_samples(tree, shards):
    assert tree["labels"]["train"]["FACE"]["pixels"] == pytest.approx(14 * 16 / (96 * 64), abs=1e-6)
    assert tree["labels"]["train"]["FACE"]["samples"] == 1
    assert tree["labels"]["train"]["SKIRT"] == {"pixels": 0, "samples": 0}
    assert any("No sample of train has the label hair, skirt, left arm" in each["text"] for each in tree["advice"])
    manifest = Manifest.load(shards)
    for split, packed in manifest.splits.items():
        assert tree["splits"][split]["samples"] == packed.samples
        for label, share in packed.label_fractions.items():
            assert tree["labels"][split][label]["pixels"] == pytest.approx(share, abs=2e-6)
        for joint, share in packed.joint_visibility.items():
            assert tree["joints"][split][joint]["visible"] == pytest.approx(share, abs=2e-6)
    x, y = tree["joints"]["train"]["NOSE"]["place"]
    assert (x * 64, y * 96) == pytest.approx((32, 14), abs=1)


def test_splits_that_differ_are_told_and_equal_ones_are_not(tmp_path, person):
    bare = np.zeros((96, 64), np.uint8)
    bare[24:80, 22:40] = 3
    people = [person(f"p{n}", n) for n in range(60)]
    people += [person(f"v{n}", 100 + n, "val") for n in range(40)]
    people += [person(f"t{n}", 200 + n, "test", labels=bare) for n in range(40)]
    pack(people, tmp_path / "shards", (96, 64), "whole")
    advice = look(tmp_path / "shards", [], 1000, 0, silent).tree["advice"]
    told = [each["text"] for each in advice if each["section"] == "labels" and "scores will say" in each["text"]]
    assert [text.split(":")[0] for text in told] == [
        "The label face is in 0% of test and in 100% of train",
        "The label pants is in 0% of test and in 100% of train",
    ]


def test_twins_are_no_overlap(tmp_path, person):
    people = [person(f"p{n}", n, identity=f"i{n}") for n in range(4)]
    people += [person(f"w{n}", 10 + n, TWINS, identity=f"i{n}") for n in range(4)]
    people += [person("t0", 30, "test", identity="i0")]
    pack(people, tmp_path / "shards", (96, 64), "whole")
    shared = look(tmp_path / "shards", [], 1000, 0, silent).tree["overlap"]["identities"]
    assert shared["count"] == 1
    assert names(shared["listed"][0]) == {("p0", "train"), ("w0", TWINS), ("t0", "test")}


def test_a_seeded_draw_keeps_small_splits_whole_and_says_so(shards, tmp_path, report):
    assert allot({"train": 100_000, "val": 50, "test": 9_000}, 20_000) == {"train": 10_950, "val": 50, "test": 9_000}
    assert allot({"train": 10, "test": 4}, 100) == {"train": 10, "test": 4}
    manifest = Manifest.load(shards)
    drawn, again, other = (read_facts(manifest, 16, seed, silent) for seed in (0, 0, 1))
    assert [len(drawn.rows(split)) for split in drawn.splits] == [6, 5, 5]
    assert drawn.ids == again.ids != other.ids
    report(shards, "-o", tmp_path / "page.html", "--most", 16)
    page = (tmp_path / "page.html").read_text()
    assert "16 of them, drawn by seed 0" in page
    assert "16 of 27 samples were looked at" in page


def test_shards_that_cannot_be_looked_at_say_what_to_do(shards, tmp_path, report):
    with pytest.raises(DataError, match=r"no shards at .*spt pack"):
        report(tmp_path / "nowhere")
    report(shards, "-o", tmp_path / "new" / "page.html", "--json", tmp_path / "newer" / "numbers.json")
    assert (tmp_path / "new" / "page.html").is_file()
    assert (tmp_path / "newer" / "numbers.json").is_file()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot write `.*page.html`: `.*file` is no folder"):
        report(shards, "-o", tmp_path / "file" / "page.html")
    with pytest.raises(DataError, match=r"is not a folder; `--source`"):
        report(shards, "-o", tmp_path / "page.html", "--source", tmp_path / "nowhere")
    empty = tmp_path / "empty"
    shutil.copytree(shards, empty)
    manifest = Manifest.load(empty)
    manifest.splits["val"] = Split([], {}, {})
    (empty / MANIFEST).write_text(manifest.to_json())
    with pytest.raises(DataError, match=r"no samples in `val` of .*pack it again"):
        report(empty, "-o", tmp_path / "page.html")
    damaged = tmp_path / "damaged"
    shutil.copytree(shards, damaged)
    tar = next(damaged.glob("test-*.tar"))
    content = bytearray(tar.read_bytes())
    content[len(content) // 2] ^= 1
    tar.write_bytes(content)
    for most in (1000, 16):
        with pytest.raises(DataError, match=r"SHA-256.*copy it again"):
            report(damaged, "-o", tmp_path / "page.html", "--most", most)
    (shards.parent / "broken").mkdir()
    (shards.parent / "broken" / "dropped.jsonl").write_text('{"name": "a"}\n')
    with pytest.raises(DataError, match=r"dropped.jsonl` line 1 is broken"):
        report(shards, "-o", tmp_path / "page.html", "--source", shards.parent / "broken")


def test_a_reason_without_names_and_numbers():
    assert kind_of("5 of 18 joints are visible, at least 6 are asked for; 3 joints lie outside the picture") == (
        "N of N joints are visible, at least N are asked for"
    )
    assert kind_of("`img/a (1).jpg` is damaged or cut off (truncated at 7); copy it again") == (
        "… is damaged or cut off"
    )
