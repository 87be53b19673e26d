"""Training's pairs from an index."""

from dataclasses import replace

import pytest
import torch

from spt_dist.data.pairs import PseudoPairs
from spt_dist.data.pipeline import open_reader, read_split
from spt_dist.data.schema import DataError, collate, flip_joints, flip_labels
from spt_dist.data.search.found import FoundPairs, open_pseudo_pairs
from spt_dist.data.search.index import read_index, write_index
from spt_dist.data.search.people import Settings
from spt_dist.data.search.run import search


@pytest.fixture(scope="module")
def index(tiny_shards, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "pairs.parquet"
    search(tiny_shards, path, Settings(k=4, keep=16, min_pose_distance=0.05))
    return path


@pytest.fixture(scope="module")
def samples(tiny_shards):
    return list(read_split(tiny_shards, "train"))


def settings(tiny_config, index):
    return replace(tiny_config.data, pseudo_pairs=str(index))


def test_a_source_gets_one_of_its_matches_in_its_own_pose(tiny_config, index, samples):
    pairs, rows = open_pseudo_pairs(settings(tiny_config, index), seed=0), read_index(index)[0]
    assert isinstance(pairs, FoundPairs)
    by_id = {sample.id: sample for sample in samples}
    named = [sample for sample in samples if any(row.id == sample.id for row in rows)]
    batch, wanted = collate(named), collate(named[1:] + named[:1]).joints
    labels, joints = pairs.match(batch, wanted)
    for slot, sample in enumerate(named):
        options = []
        for row in (row for row in rows if row.id == sample.id):
            match = collate([by_id[row.match]])
            match = match.flip(torch.tensor([row.mirrored]))
            options.append((match.labels[0], match.joints[0]))
        assert any(torch.equal(labels[slot], a) and torch.equal(joints[slot], b) for a, b in options)


def test_mirrored_sources_get_mirrored_matches(tiny_config, index, samples):
    pairs = open_pseudo_pairs(settings(tiny_config, index), seed=0)
    batch = collate(samples[:8])
    wanted = collate(samples[8:16]).joints
    labels, joints = pairs.match(batch, wanted)
    turned_labels, turned_joints = pairs.match(batch.flip(torch.ones(8, dtype=torch.bool)), wanted)
    listed = {row.id for row in read_index(index)[0]}
    slots = [slot for slot, name in enumerate(batch.ids) if name in listed]
    assert len(slots) > 4
    assert torch.equal(turned_labels[slots], flip_labels(labels[slots]))
    torch.testing.assert_close(turned_joints[slots], flip_joints(joints[slots], 16))


def test_the_choice_follows_seed_source_and_wanted_pose(tiny_config, index, samples):
    batch = collate(samples)
    first, again, other = (open_pseudo_pairs(settings(tiny_config, index), seed=seed) for seed in (0, 0, 1))
    wanted = [collate(samples[turn:] + samples[:turn]).joints for turn in (1, 2, 3)]
    drawn = [[pairs.match(batch, one)[0] for one in wanted] for pairs in (first, again, other)]
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))
    assert not torch.equal(drawn[0][0], drawn[0][1])
    one = batch._replace(
        ids=batch.ids[5:6], images=batch.images[5:6], labels=batch.labels[5:6], joints=batch.joints[5:6]
    )
    assert torch.equal(first.match(one, wanted[0][5:6])[0][0], drawn[0][0][5])  # whatever the batch


def test_a_resumed_reader_makes_the_same_pairs(tiny_config, index):
    def drawn(reader, count):
        return [pairs.match(one.source, one.target.joints) for one in (next(reader) for _ in range(count))]

    data = settings(tiny_config, index)
    pairs = open_pseudo_pairs(data, seed=0)
    reader = open_reader(replace(data, batch=4), "train")
    drawn(reader, 5)
    state, expected = reader.state_dict(), drawn(reader, 5)
    resumed = open_reader(replace(data, batch=4), "train")
    resumed.load_state_dict(state)
    for (labels, joints), (same, too) in zip(drawn(resumed, 5), expected, strict=True):
        assert torch.equal(labels, same)
        assert torch.equal(joints, too)


def test_without_a_match_the_online_search_answers(samples, index):
    rows = [row for row in read_index(index)[0] if row.id != samples[0].id]
    batch, wanted = collate(samples[:3]), collate(samples[3:6]).joints
    labels, joints = FoundPairs(samples, rows, seed=0).match(batch, wanted)
    alone = batch._replace(ids=batch.ids[:1], images=batch.images[:1], labels=batch.labels[:1], joints=batch.joints[:1])
    expected = PseudoPairs(samples).match(alone, wanted[:1])
    assert torch.equal(labels[:1], expected[0])
    assert torch.equal(joints[:1], expected[1])
    with pytest.raises(DataError, match="names `nobody`"):
        FoundPairs(samples, [rows[0]._replace(match="nobody")], seed=0)


def test_an_index_of_other_data_is_refused(tiny_config, index, tmp_path):
    rows, about = read_index(index)
    for change in ({"data_hash": "0" * 64}, {"split": "val"}):
        write_index(tmp_path / "other.parquet", rows, about | change)
        with pytest.raises(DataError, match=r"run `spt pairs .* set data.pseudo_pairs"):
            open_pseudo_pairs(settings(tiny_config, tmp_path / "other.parquet"), seed=0)
    with pytest.raises(DataError, match="there is no index"):
        open_pseudo_pairs(settings(tiny_config, tmp_path / "absent.parquet"), seed=0)
    assert type(open_pseudo_pairs(tiny_config.data, seed=0)) is PseudoPairs


@pytest.mark.filterwarnings("ignore:`networks.features.weights` is empty")
def test_the_trainer_learns_from_it(tiny_config, index, tmp_path):
    from spt_dist.train.engine import PlainEngine
    from spt_dist.train.loop import Trainer
    from spt_dist.train.ranks import Ranks

    def train(data):
        run, ranks = replace(tiny_config, data=data), Ranks(0, 1, torch.device("cpu"))
        trainer = Trainer(run, tmp_path / "run", lambda network: PlainEngine(network, run.train), ranks)
        trainer.step("semantic")
        trainer.step("semantic")
        found = isinstance(trainer.pseudo_pairs, FoundPairs)
        return found, trainer.state.engines["semantic"].module.state_dict()

    (found, first), (_, again), (online, other) = (
        train(data) for data in (settings(tiny_config, index), settings(tiny_config, index), tiny_config.data)
    )
    assert found
    assert not online
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
