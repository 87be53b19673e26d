"""The search from shards to index: rules, determinism, resuming, refusals, recall."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from spt_dist.data.importers import read_folder
from spt_dist.data.manifest import Manifest
from spt_dist.data.pack import pack
from spt_dist.data.pairs import distances, normalised, signatures
from spt_dist.data.pipeline import read_split
from spt_dist.data.schema import DataError, collate, flip_joints
from spt_dist.data.search import prune
from spt_dist.data.search.blocks import exact, first_stage, search_block
from spt_dist.data.search.cost import TARGET, draw_curve, measure
from spt_dist.data.search.index import KEY, read_index
from spt_dist.data.search.people import Settings, draw_pool, gather, join
from spt_dist.data.search.recall import check, compare, summarise
from spt_dist.data.search.run import here, read_people, read_pool, search, split_blocks
from spt_dist.data.search.sheet import draw_sheet
from spt_dist.data.synthetic import draw_folder

SETTINGS = Settings(k=3, keep=12)


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """90 people at 48x36, the last ten being pictures of the first ten persons."""
    folder = tmp_path_factory.mktemp("crowd")
    draw_folder(folder / "drawn", 90, (48, 36), seed=1, val_people=0, test_people=0)
    samples = list(read_folder(folder / "drawn", "train"))
    for row, sample in enumerate(samples):
        samples[row] = replace(sample, identity=f"person {row % 80}")
    pack(samples, folder / "shards", (48, 36), "whole")
    return folder / "shards"


@pytest.fixture(scope="module")
def samples(shards):
    return {sample.id: sample for sample in read_split(shards, "train")}


@pytest.fixture(scope="module")
def index(shards, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("index") / "pairs.parquet"
    search(shards, path, SETTINGS)
    return path


def test_pairs_keep_the_rules(index, shards, samples):
    rows, about = read_index(index)
    assert about["samples"] == 90
    assert about["with_pairs"] == len({row.id for row in rows}) > 80
    assert about["data_hash"] == Manifest.load(shards).data_hash
    assert any(row.mirrored for row in rows)
    for row in rows:
        source, match = samples[row.id], samples[row.match]
        assert source.id != match.id
        assert source.identity != match.identity
        worn = signatures(collate([source, match]).labels)
        assert worn[0] == worn[1]
        joints = collate([match]).joints
        poses = [normalised(one) for one in (collate([source]).joints, flip_joints(joints, 36))]
        if not row.mirrored:
            poses[1] = normalised(joints)
        distance = distances(*poses).item()
        assert distance == pytest.approx(row.pose_distance, rel=0.2, abs=0.01)
        assert distance > 0.8 * SETTINGS.min_pose_distance
    for _, group in itertools.groupby(rows, key=lambda row: row.id):
        found = list(group)
        assert [row.rank for row in found] == list(range(len(found)))
        assert [row.score for row in found] == sorted(row.score for row in found)
        assert len({(row.match, row.mirrored) for row in found}) == len(found)


def test_the_best_is_the_best_of_all(shards):
    """With everybody kept, nobody scores less than the first match; the rank list is the sorted scores."""
    everybody = Settings(k=3, keep=200)
    people = read_pool(Manifest.load(shards).paths("train"), everybody)
    buckets = prune.open_buckets(people)
    few = people.take(range(4))
    found = search_block(few, buckets, everybody)
    for row, bucket, candidates in first_stage(few, buckets, everybody):
        scores = exact(few.take([row]), bucket, candidates.columns).sort().values[:3].tolist()
        assert [one.score for one in found if one.id == few.ids[row]] == scores


@pytest.mark.parametrize("block", [1000, 7])
def test_blocks_and_their_order_do_not_matter(index, shards, tmp_path, block):
    def backwards(function, tasks):
        yield from reversed(list(here(function, tasks)))

    path = tmp_path / "pairs.parquet"
    search(shards, path, SETTINGS, block=block, mapper=backwards)
    assert path.read_bytes() == index.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["pairs.parquet"]


def test_first_stage_products_are_exact(shards):
    people = read_pool(Manifest.load(shards).paths("train"), SETTINGS)
    described = prune.describe(people.figures())
    vectors = described.vectors.numpy().astype(np.int64)
    expected = ((vectors[:, None] - vectors[None]) ** 2).sum(-1) * described.scale.numpy()
    np.testing.assert_array_equal(prune.estimate(described, described).numpy(), expected.astype(np.float32))
    assert vectors.max() == prune.LEVELS


def test_the_pool_of_a_union(shards):
    people = read_people(Manifest.load(shards).paths("train")[0], SETTINGS)
    small = Settings(k=1, keep=2, pool=3)
    whole = draw_pool(people, small)
    half = len(people.ids) // 2
    parts = [people.take(range(half, len(people.ids))), people.take(range(half))]
    assert draw_pool(join([draw_pool(part, small) for part in parts]), small).ids == whole.ids
    assert np.unique(whole.worn, return_counts=True)[1].max() == 3
    assert draw_pool(people, replace(small, seed=1)).ids != whole.ids


def test_goes_on_after_a_break(index, shards, tmp_path):
    path, calls = tmp_path / "pairs.parquet", []

    def broken(function, tasks):
        for number, result in enumerate(here(function, tasks)):
            if isinstance(tasks[0], tuple) and number == 3:
                raise KeyboardInterrupt
            yield result

    def counted(function, tasks):
        calls.append(len(tasks))
        return here(function, tasks)

    with pytest.raises(KeyboardInterrupt):
        search(shards, path, SETTINGS, block=10, mapper=broken)
    assert not path.exists()
    with pytest.raises(DataError, match="holds parts of another search: settings"):
        search(shards, path, replace(SETTINGS, k=2), block=10)
    found = search(shards, path, SETTINGS, block=10, mapper=counted)
    blocks = split_blocks(Manifest.load(shards), "train", 10)
    assert calls[-1] == len(blocks) - 3
    assert found.resumed == sum(one.stop - one.start for one in blocks[:3])
    assert path.read_bytes() == index.read_bytes()


def test_refuses_what_is_not_its_own(index, shards, tiny_shards, tmp_path):
    assert search(shards, index, SETTINGS).resumed == 90  # whole already
    with pytest.raises(DataError, match="another search: data_hash"):
        search(tiny_shards, index, SETTINGS)
    with pytest.raises(DataError, match="another search: settings"):
        search(shards, index, replace(SETTINGS, seed=5))
    with pytest.raises(DataError, match="no folder"):
        search(shards, tmp_path / "absent" / "pairs.parquet", SETTINGS)
    with pytest.raises(DataError, match="no split `nobody`"):
        search(shards, tmp_path / "pairs.parquet", SETTINGS, split="nobody")
    with pytest.raises(DataError, match=r"there is no index .* makes one"):
        read_index(tmp_path / "pairs.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read_index(tmp_path / "text.parquet")
    other = pq.read_table(index).replace_schema_metadata({KEY: json.dumps({"settings": {"version": 0}})})
    pq.write_table(other, tmp_path / "old.parquet")
    with pytest.raises(DataError, match="of version 0 of the search"):
        read_index(tmp_path / "old.parquet")
    pq.write_table(other.replace_schema_metadata({}), tmp_path / "foreign.parquet")
    with pytest.raises(DataError, match="is no index of pairs"):
        read_index(tmp_path / "foreign.parquet")


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 13}, {"pool": 5}, {"map_height_px": 4}, {"min_pose_distance": -1.0}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(DataError, match="need"):
        replace(SETTINGS, **wrong)


def test_nobody_admissible(shards, tmp_path):
    """Some without a pair are counted; all without one is an error."""
    far = replace(SETTINGS, min_pose_distance=1.2)
    found = search(shards, tmp_path / "far.parquet", far)
    rows, about = read_index(tmp_path / "far.parquet")
    assert found.with_pairs == about["with_pairs"] == len({row.id for row in rows}) < 90
    assert min(row.pose_distance for row in rows) >= np.float32(1.2)
    with pytest.raises(DataError, match="lower --min-pose-distance"):
        search(shards, tmp_path / "none.parquet", replace(SETTINGS, min_pose_distance=99.0))
    assert [file.name for file in tmp_path.iterdir()] == ["far.parquet"]  # nothing is in the next search's way
    with pytest.raises(DataError, match="one size"):
        gather([], 32)


def test_pruning_recovers_the_gain(shards):
    recall = check(shards, 24, replace(SETTINGS, keep=8))
    assert recall.sources >= 20
    assert recall.exhaustive <= recall.pruned < recall.mean
    assert recall.recovered >= 0.95
    people = read_pool(Manifest.load(shards).paths("train"), SETTINGS)
    compared = compare(people.take(range(3)), prune.open_buckets(people), replace(SETTINGS, keep=200))
    assert summarise(compared).recovered == 1.0  # everybody kept
    assert summarise(compared).mean == pytest.approx(np.mean([one.mean for one in compared]))


def test_real_photos_recover_the_gain(data, tmp_path):
    pack(itertools.islice(read_folder(data / "ccp256", "train"), 160), tmp_path / "real", (64, 48), "whole")
    assert check(tmp_path / "real", 16, replace(SETTINGS, keep=12)).recovered >= 0.95


def test_cost_follows_its_formula(shards):
    curve = measure(shards, replace(SETTINGS, pool=1000), sizes=(100, 400), say=lambda line: None)
    tree = curve.to_tree()
    seconds = tree["constants_s"]
    assert seconds["e"] > 1e-5
    seen = sum(min(q * TARGET, 1000) * q for q in tree["q"])
    by_hand = 2 * seconds["d"] + seconds["c"] + 2 * seconds["m"] * seen + seconds["e"] * 12
    assert tree["extrapolated"]["core_hours"] == pytest.approx(TARGET * by_hand / 3600)
    assert curve.seconds(2 * TARGET) == pytest.approx(2 * curve.seconds(TARGET))  # linear once the pool is full
    assert curve.exhaustive_seconds(2 * TARGET) > 3.9 * curve.exhaustive_seconds(TARGET)
    assert draw_curve(curve).std() > 5


def test_the_sheet_shows_photos_and_maps(index, shards, samples):
    sheet = draw_sheet(index, shards, sources=2, matches=1)
    assert (np.abs(sheet.astype(int) - (214, 69, 65)).sum(-1) == 0).mean() > 0.005  # clothes in the maps' red
    assert sheet.std() > 30


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
def test_ray_finds_the_same(index, shards, tmp_path):
    from spt_dist.data.search.distributed import ray_mapper

    path = tmp_path / "pairs.parquet"
    with ray_mapper(2) as mapper:
        search(shards, path, SETTINGS, block=30, mapper=mapper)
    assert path.read_bytes() == index.read_bytes()


def test_torch_threads_do_not_matter(shards):
    people = read_pool(Manifest.load(shards).paths("train"), SETTINGS)
    few, buckets, threads = people.take(range(6)), prune.open_buckets(people), torch.get_num_threads()
    one = search_block(few, buckets, SETTINGS)
    torch.set_num_threads(2)
    try:
        assert search_block(few, buckets, SETTINGS) == one
    finally:
        torch.set_num_threads(threads)
