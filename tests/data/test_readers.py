"""One contract, two readers: whatever holds here holds for DALI and for webdataset with OpenCV."""

import io
import itertools
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from spt_dist import config
from spt_dist.data import dali, pipeline
from spt_dist.data.manifest import Manifest
from spt_dist.data.pack import pack
from spt_dist.data.pipeline import open_reader, read_split
from spt_dist.data.schema import DataError, collate, encode

SIZE = (24, 16)
needs_dali = pytest.mark.skipif(not dali.available(), reason="DALI is not installed here")
DIVISIONS = [(17, 2, 3), (9, 1, 4), (13, 3, 1), (64, 2, 5), (5, 1, 1), (6, 3, 2)]  # samples, ranks, samples each


@pytest.fixture(params=["webdataset", pytest.param("dali", marks=needs_dali)])
def kind(request):
    return request.param


def settings(folder, kind, **changes):
    return config.Data(**{"shards": str(folder), "image_size": SIZE, "reader": kind, "shuffle_buffer": 7, **changes})


def rank_readers(folder, kind, ranks, share, accumulate=1, **changes):
    data = settings(folder, kind, batch=share * ranks * accumulate, **changes)
    return [open_reader(data, "train", rank=rank, ranks=ranks, accumulate=accumulate, seed=4) for rank in range(ranks)]


def draw(reader, count):
    return list(itertools.islice(reader, count))


def same(one, other):
    return all(
        a.ids == b.ids and all(torch.equal(x, y) for x, y in zip(a[1:], b[1:], strict=True))
        for pairs, others in zip(one, other, strict=True)
        for a, b in zip(pairs, others, strict=True)
    )


@pytest.mark.parametrize(("count", "ranks", "share"), DIVISIONS)
def test_an_epoch_has_every_sample_once_as_source_and_once_as_target(packed, kind, count, ranks, share):
    readers = rank_readers(packed(count), kind, ranks, share)
    batches = [draw(reader, 3 * count // (ranks * share) + 1) for reader in readers]
    for side in range(2):
        ids = [name for step in zip(*batches, strict=True) for pairs in step for name in pairs[side].ids]
        epochs = [ids[epoch * count : (epoch + 1) * count] for epoch in range(3)]
        assert all(len(set(epoch)) == count for epoch in epochs)
        assert epochs[0] != epochs[1]


@pytest.mark.parametrize(("ranks", "accumulate"), [(2, 1), (3, 1), (1, 3), (3, 2), (1, 1)])
def test_how_a_batch_is_divided_does_not_change_it(packed, kind, ranks, accumulate):
    """Six steps of a batch of 6, over epochs' ends: sources, targets and flips by global position."""
    folder = packed(17)
    (alone,) = rank_readers(folder, kind, 1, 6)
    readers = rank_readers(folder, kind, ranks, 6 // (ranks * accumulate), accumulate)
    for whole in draw(alone, 6):
        parts = [next(reader) for _ in range(accumulate) for reader in readers]
        for one, side in enumerate(whole):
            assert side.ids == [name for pairs in parts for name in pairs[one].ids]
            for tensor, *pieces in zip(side[1:], *(pairs[one][1:] for pairs in parts), strict=True):
                assert torch.equal(tensor, torch.cat(pieces))


@pytest.mark.parametrize(("before", "after"), [((2, 1), (1, 1)), ((1, 2), (3, 1)), ((3, 1), (2, 3))])
def test_another_number_of_ranks_goes_on_where_the_first_stood(packed, kind, before, after):
    folder = packed(17)
    (alone,) = rank_readers(folder, kind, 1, 6)
    first = rank_readers(folder, kind, before[0], 6 // (before[0] * before[1]), before[1])
    for reader in first:
        draw(reader, 4 * before[1])
    assert len({str(reader.state_dict()) for reader in first}) == 1
    second = rank_readers(folder, kind, after[0], 6 // (after[0] * after[1]), after[1])
    for reader in second:
        reader.load_state_dict(first[0].state_dict())
    for whole in draw(alone, 8)[4:]:
        parts = [next(reader) for _ in range(after[1]) for reader in second]
        assert whole.source.ids == [name for pairs in parts for name in pairs.source.ids]
        assert torch.equal(whole.target.labels, torch.cat([pairs.target.labels for pairs in parts]))


def test_content_is_what_was_packed(packed, kind):
    folder = packed(10)
    stored = {sample.id: sample for sample in read_split(folder, "train")}
    for pairs in draw(open_reader(settings(folder, kind, flip=False, batch=3), "train"), 3):
        for side in pairs:
            assert (side.images.dtype, side.labels.dtype, side.joints.dtype) == (
                torch.uint8, torch.uint8, torch.float32,
            )  # fmt: skip
            truth = collate([stored[name] for name in side.ids])
            assert torch.equal(side.labels, truth.labels)
            assert torch.equal(side.joints, truth.joints)
            assert (side.images.int() - truth.images.int()).abs().max() <= 3


def test_flips_are_one_draw_for_image_labels_and_joints(packed, kind):
    folder = packed(16)
    stored = {sample.id: sample for sample in read_split(folder, "train")}
    flips = []
    for pairs in draw(open_reader(settings(folder, kind, batch=4), "train", seed=1), 12):
        truth = collate([stored[name] for name in pairs.source.ids])
        mirrored = truth.flip(torch.ones(4, dtype=torch.bool))
        for slot in range(4):
            flipped = not torch.equal(pairs.source.labels[slot], truth.labels[slot])
            expected = mirrored if flipped else truth
            flips.append(flipped)
            assert torch.equal(pairs.source.labels[slot], expected.labels[slot])
            assert torch.equal(pairs.source.joints[slot], expected.joints[slot])
            assert (pairs.source.images[slot].int() - expected.images[slot].int()).abs().max() <= 3
    assert 12 <= sum(flips) <= 36


@pytest.mark.parametrize(("count", "batch"), [(2, 1), (5, 1), (2, 2), (9, 4), (4, 4), (5, 4), (6, 3)])
def test_nobody_is_paired_with_themselves(packed, kind, count, batch):
    reader = open_reader(settings(packed(count), kind, batch=batch), "train")
    targets = set()
    for pairs in draw(reader, 40):
        assert len(pairs.target.ids) == batch
        assert all(source != target for source, target in zip(*(side.ids for side in pairs), strict=True))
        targets |= set(pairs.target.ids)
    assert len(targets) == count


@pytest.mark.parametrize("served", [0, 1, 4, 5, 6, 13])
@pytest.mark.parametrize("batch", [1, 3])
def test_resumes_exactly(packed, kind, served, batch):
    """After a round through a file the stream goes on as if nothing had happened, over epochs' ends too."""
    data = settings(packed(17), kind, batch=2 * batch)
    first = open_reader(data, "train", rank=1, ranks=2, seed=9)
    draw(first, served)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    expected = draw(first, 14)
    second = open_reader(data, "train", rank=1, ranks=2, seed=9)
    draw(second, 3)
    second.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    assert same(draw(second, 5), expected[:5])
    third = open_reader(data, "train", rank=1, ranks=2, seed=9)
    third.load_state_dict(second.state_dict())
    assert same(draw(third, 9), expected[5:])


def test_the_seed_decides_the_order(packed, kind):
    data = settings(packed(30), kind, batch=5)
    runs = [draw(open_reader(data, "train", seed=seed), 6) for seed in (1, 1, 2)]
    assert same(runs[0], runs[1])
    assert [pairs.source.ids for pairs in runs[0]] != [pairs.source.ids for pairs in runs[2]]


def test_refuses_a_state_that_means_something_else(packed, kind):
    folder = packed(16)
    data = settings(folder, kind, batch=4)
    state = open_reader(data, "train", ranks=2).state_dict()
    others = {
        "batch": open_reader(replace(data, batch=6), "train"),
        "data_hash": open_reader(replace(data, shards=str(packed(17))), "train"),
        "flip": open_reader(replace(data, flip=False), "train"),
        "seed": open_reader(data, "train", seed=1),
        "shuffle_buffer": open_reader(replace(data, shuffle_buffer=8), "train"),
    }
    for name, other in others.items():
        with pytest.raises(DataError, match=f"saved `{name}` is"):
            other.load_state_dict(state)


@needs_dali
def test_both_readers_read_the_same_and_refuse_each_others_state(packed):
    one, other = (open_reader(settings(packed(6), kind, batch=2), "train") for kind in ("dali", "webdataset"))
    for ours, theirs in zip(draw(one, 7), draw(other, 7), strict=True):
        assert [side.ids for side in ours] == [side.ids for side in theirs]
        assert torch.equal(ours.source.labels, theirs.source.labels)
    with pytest.raises(DataError, match="saved `reader` is 'dali'"):  # JPEGs decode a little differently
        other.load_state_dict(one.state_dict())


def test_errors_name_the_way_out(packed, kind, tmp_path):
    folder = packed(5)
    with pytest.raises(DataError, match="no shards at"):
        open_reader(settings(tmp_path / "nowhere", kind, batch=1), "train")
    with pytest.raises(DataError, match="has no split `val`"):
        open_reader(settings(folder, kind, batch=1), "val")
    with pytest.raises(DataError, match=r"hold \(24, 16\) px .* `data.image_size` is \(32, 16\)"):
        open_reader(settings(folder, kind, image_size=(32, 16)), "train")
    with pytest.raises(DataError, match=r"has 5 samples .* = 6 needs 6"):
        open_reader(settings(folder, kind, batch=6), "train", ranks=2)
    with pytest.raises(config.ConfigError, match=r"does not divide among 2 worker.* a multiple of 4"):
        open_reader(settings(folder, kind, batch=3), "train", ranks=2, accumulate=2)
    (folder / "train-000000.tar").unlink()
    with pytest.raises(DataError, match="is missing"):
        open_reader(settings(folder, kind, batch=1), "train")


def test_dali_is_asked_for_only_where_it_is(packed, monkeypatch):
    folder = packed(5)
    monkeypatch.setattr(pipeline.dali, "available", lambda: False)
    with pytest.raises(DataError, match="not installed"):
        open_reader(settings(folder, "dali", batch=1), "train")
    reader = open_reader(settings(folder, "auto", batch=1), "train")
    assert reader.state_dict()["reader"] == "webdataset"


def pack_broken(person, monkeypatch, out, count, broken):
    """Shards in which some samples' JPEG is not one: damage of the kind that has the right size."""

    def damaged(sample):
        files = encode(sample)
        return files | ({"jpg": b"\0" * len(files["jpg"])} if sample.id in broken else {})

    monkeypatch.setattr("spt_dist.data.packing.blocks.encode", damaged)
    monkeypatch.setattr("spt_dist.data.packing.blocks.decode", lambda files: collect[-1])
    collect = []
    samples = (collect.append(one) or one for one in (person(f"p{seed}", seed) for seed in range(count)))
    pack(samples, out, SIZE, "whole")


def test_a_broken_sample_is_stood_in_for_and_named(person, monkeypatch, tmp_path, kind, caplog):
    pack_broken(person, monkeypatch, tmp_path / "s", 9, {"p3"})
    reader = open_reader(settings(tmp_path / "s", kind, batch=2), "train")
    with caplog.at_level(logging.WARNING):
        ids = {name for pairs in draw(reader, 20) for name in pairs.source.ids}
    assert ids == {f"p{seed}" for seed in range(9)} - {"p3"}
    assert len(caplog.records) == 1
    assert "p3.jpg" in caplog.text
    again = open_reader(settings(tmp_path / "s", kind, batch=2), "train")
    again.load_state_dict(reader.state_dict())
    assert same(draw(again, 9), draw(reader, 9))


def test_too_many_broken_samples_end_it_with_their_list(person, monkeypatch, tmp_path, kind):
    pack_broken(person, monkeypatch, tmp_path / "s", 9, {"p3", "p4"})
    reader = open_reader(settings(tmp_path / "s", kind, batch=2), "train")
    with pytest.raises(DataError, match=r"lost 2 of 9 .* `data.max_lost`:(?s:.*)p[34].jpg(?s:.*)p[34].jpg"):
        draw(reader, 20)


def test_nothing_that_can_be_read_is_an_error(person, monkeypatch, tmp_path, kind):
    pack_broken(person, monkeypatch, tmp_path / "s", 2, {"p0", "p1"})
    reader = open_reader(settings(tmp_path / "s", kind, batch=2, max_lost=1.0), "train")
    with pytest.raises(DataError, match="has no readable sample"):
        draw(reader, 1)


@needs_dali
def test_dali_names_the_batch_that_it_gives_up(packed, monkeypatch):
    """What looks whole and is not, and yet has the packed sum: nobody but a decoder can see it."""

    def hollow(files, size):
        found = take(files, size)
        return found._replace(files=[found.files[0][:200], *found.files[1:]]) if found.id == "p3" else found

    take = dali._take
    monkeypatch.setattr(dali, "_take", hollow)
    reader = open_reader(settings(packed(6), "dali", batch=2), "train")
    with pytest.raises(DataError, match=r"DALI cannot read one of .*`p3`"):
        draw(reader, 20)


def test_real_photos_cross_to_the_device_as_bytes(data, tmp_path, kind):
    from spt_dist.data.importers import read_folder

    pack(itertools.islice(read_folder(data / "ccp256", "val"), 6), tmp_path / "s", (256, 256), "person")
    stored = {sample.id: sample for sample in read_split(tmp_path / "s", "val")}
    settings_ = config.Data(shards=str(tmp_path / "s"), reader=kind, flip=False, batch=4)
    pairs = next(open_reader(settings_, "val"))
    crossing = sum(tensor.numel() * tensor.element_size() for tensor in pairs.source[1:]) / 4
    assert crossing == 4 * 256 * 256 + 216
    truth = np.stack([stored[name].image for name in pairs.source.ids]).astype(int)
    assert np.abs(pairs.source.images.numpy() - truth).max() <= 3
    assert Manifest.load(tmp_path / "s").how == "person"
