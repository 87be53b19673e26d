"""Pseudo pairs for training, as a search found them: the same question as `PseudoPairs`, answered from an index.

Which of a source's matches is taken is drawn from (seed, source, wanted pose). The reader wants another pose of a
sample in every epoch, and its pairs are a function of seed and position: so this choice is one too, it changes from
epoch to epoch, and a resumed run makes the same ones without a further word in a checkpoint. The target is the found
map in its own pose, which is the pair that the criterion scored. A mirrored source gets mirrored matches.

A sample without a match (nobody dressed alike in a clearly different pose) gets what the online search finds.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch

from spt_dist import config
from spt_dist.data.manifest import Manifest
from spt_dist.data.pairs import PseudoPairs
from spt_dist.data.pipeline import read_split
from spt_dist.data.schema import Batch, DataError, Sample, flip_joints
from spt_dist.data.search.blocks import Found
from spt_dist.data.search.index import read_index
from spt_dist.types import Joints, LabelBytes

SPLIT = "train"


class FoundPairs(PseudoPairs):
    """The matches of every sample, and the samples, as `PseudoPairs` keeps them."""

    def __init__(self, samples: Iterable[Sample], rows: Iterable[Found], seed: int) -> None:
        super().__init__(samples)
        self._seed = seed
        self._matches: dict[str, list[tuple[int, bool]]] = {}
        for row in rows:
            for name in (row.id, row.match):
                if name not in self._index:
                    raise DataError(f"the index of pairs names `{name}`, which is no sample; run `spt pairs` again")
            self._matches.setdefault(row.id, []).append((self._index[row.match], row.mirrored))

    def match(self, source: Batch, target_joints: Joints) -> tuple[LabelBytes, Joints]:
        """For each source the label map [b, h, w] of one of its matches, and that map's own joints [b, 18, 3]."""
        labels, joints = torch.empty_like(source.labels), torch.empty_like(source.joints)
        drawn = self._draw(source, target_joints)
        known, unknown = ([slot for slot, one in enumerate(drawn) if (one is None) == none] for none in (False, True))
        if known:
            labels[known], joints[known] = self.answer([one for one in drawn if one is not None], labels.device)
        if unknown:
            rest = Batch([source.ids[slot] for slot in unknown], *(tensor[unknown] for tensor in source[1:]))
            labels[unknown], joints[unknown] = super().match(rest, target_joints[unknown])
        return labels, joints

    def _draw(self, source: Batch, target_joints: Joints) -> list[int | None]:
        """A candidate per source, as `answer` takes it; None for a sample without a match."""
        turned, drawn = self._are_mirrored(source), []
        for name, wanted, mirrored_source in zip(source.ids, target_joints.cpu(), turned, strict=True):
            matches = self._matches.get(name)
            if matches is None:
                drawn.append(None)
                continue
            text = f"{self._seed}/{name}/".encode() + wanted.numpy().tobytes()
            lot = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
            index, mirrored = matches[lot % len(matches)]
            drawn.append(index + len(self._ids) * (mirrored != mirrored_source))
        return drawn

    def _are_mirrored(self, source: Batch) -> list[bool]:
        """Which sources are mirror images of their samples: whose joints are nearer to the mirrored ones."""
        joints = source.joints.cpu()
        own = torch.stack([self._joints[self._index[name]] if name in self._index else joint
                           for name, joint in zip(source.ids, joints, strict=True)])  # fmt: skip
        turned = flip_joints(own, self._width)
        return ((joints - turned).abs().sum((1, 2)) < (joints - own).abs().sum((1, 2))).tolist()


def open_pseudo_pairs(data: config.Data, seed: int) -> PseudoPairs:
    """What `data.pseudo_pairs` says: the matches of an index, or, where it is empty, the online search.

    Raises:
        DataError: the index is missing, damaged or of other data; shards are missing or damaged.
    """
    if not data.pseudo_pairs:
        return PseudoPairs.from_shards(data.shards, SPLIT)
    path, manifest = Path(data.pseudo_pairs), Manifest.load(data.shards)
    rows, about = read_index(path)
    if (about["data_hash"], about["split"]) != (manifest.data_hash, SPLIT):
        raise DataError(
            f"the pairs in `{path}` are of split `{about['split']}` of data {about['data_hash'][:12]}, training reads "
            f"`{SPLIT}` of {manifest.data_hash[:12]} in `{data.shards}`; run `spt pairs {data.shards} -o NEW.parquet` "
            "and set data.pseudo_pairs to it"
        )
    return FoundPairs(read_split(data.shards, SPLIT), rows, seed)
