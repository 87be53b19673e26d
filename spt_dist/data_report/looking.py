"""One look at a folder of shards: the numbers as one tree, and the rows behind what the page draws."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spt_dist.data.manifest import Manifest
from spt_dist.data_report import alike, poses, shares
from spt_dist.data_report.advice import advise
from spt_dist.data_report.facts import Album, Facts, Progress, read_facts
from spt_dist.data_report.rejected import imported, rejected

LISTED = 100  # pairs, and overlaps of a kind
FAR_LISTED = 12

Tree = dict[str, Any]


class Look(NamedTuple):
    """What was found: the numbers, and the facts, pairs and poses of which they tell."""

    tree: Tree
    facts: Facts
    album: Album
    pairs: list[alike.Pair]
    nearest: poses.Nearest
    poses: poses.Map


def look(shards: Path, sources: Sequence[Path], most: int, seed: int, progress: Progress) -> Look:
    """Read the shards once and compare what is in them.

    Raises:
        DataError: there are no shards, one is damaged, a split is empty, or a source folder's files are broken.
    """
    manifest = Manifest.load(shards)
    told = [imported(folder) for folder in sources]
    facts = read_facts(manifest, most, seed, progress)
    pairs = alike.alike(facts)
    nearest = poses.nearest(facts, manifest.size[1], progress)
    mapped = poses.map_poses(facts, seed)
    tree: Tree = {
        "data_hash": manifest.data_hash,
        "size": list(manifest.size),
        "frame": manifest.how,
        "min_joints": manifest.min_joints,
        "seed": seed,
        "samples": sum(split.samples for split in manifest.splits.values()),
        "looked_at": len(facts.ids),
        "bytes": sum(shard.bytes for split in manifest.splits.values() for shard in split.shards),
        "reference": poses.reference_split(facts),
        "splits": {name: _split(manifest, facts, name) for name in facts.splits},
        "foreground": shares.foreground(facts),
        "labels": shares.label_shares(facts),
        "joints": shares.joint_shares(facts, manifest.size),
        "rejected": rejected(manifest.folder) | {"packed_said": manifest.rejected},
        "sources": told,
        "poses": {
            "near": poses.NEAR,
            "views": poses.views(facts),
            "coverage": poses.coverage(facts, nearest, FAR_LISTED),
            "explained": list(mapped.explain),
            "typical": poses.kinds(facts, mapped),
        },
        "near_duplicates": alike.alike_tree(facts, pairs, LISTED),
        "overlap": alike.overlaps(facts, pairs, LISTED),
    }
    tree["advice"] = [advice._asdict() for advice in advise(tree)]
    return Look(tree, facts, Album(manifest, facts), pairs, nearest, mapped)


def _split(manifest: Manifest, facts: Facts, name: str) -> Tree:
    """What the overview says of a split; identities are those of the samples looked at."""
    shards, rows = manifest.splits[name].shards, facts.rows(name)
    people = Counter(facts.identities[row] for row in rows if facts.identities[row])
    return {
        "samples": manifest.splits[name].samples,
        "looked_at": len(rows),
        "shards": len(shards),
        "bytes": sum(shard.bytes for shard in shards),
        "identities": len(people),
        "with_another_picture": sum(count for count in people.values() if count > 1),
    }
