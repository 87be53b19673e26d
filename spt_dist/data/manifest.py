"""The manifest of packed shards: what is in them, and whether they are what was packed."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from spt_dist.data.frame import FrameRule
from spt_dist.data.schema import SCHEMA_VERSION, DataError
from spt_dist.data.shard_cache import MANIFEST, fetch_manifest, fetch_shards
from spt_dist.data.storage import is_remote


@dataclass(frozen=True)
class Shard:
    """One tar file."""

    name: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Split:
    """The shards of one split, and what their samples look like.

    `label_fractions` is the share of pixels per label, `joint_visibility` the share of samples that show a joint.
    """

    shards: list[Shard]
    label_fractions: dict[str, float] = field(default_factory=dict)
    joint_visibility: dict[str, float] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """How many samples the split has."""
        return sum(shard.samples for shard in self.shards)


@dataclass(frozen=True)
class Manifest:
    """Everything that a reader needs to know of a folder of shards. `size` is (height, width) in px.

    `duplicates` were left out because they show a picture that is there already, `leaks` of them across splits; None
    where nobody looked. `origin` is the address in object storage from which missing shards are fetched into `folder`.

    `data_hash` stands for the content: it changes with any byte of any shard, with the size and with the frame rule.
    """

    folder: Path
    size: tuple[int, int]
    how: FrameRule
    min_joints: int
    rejected: int
    splits: dict[str, Split]
    duplicates: int | None = None
    leaks: int | None = None
    origin: str = ""
    schema: int = SCHEMA_VERSION

    @property
    def data_hash(self) -> str:
        """SHA-256 over the shards' own and what else decides what the samples are."""
        shards = {name: [shard.sha256 for shard in split.shards] for name, split in sorted(self.splits.items())}
        text = json.dumps([self.schema, list(self.size), self.how, shards])
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def load(cls, path: Path | str) -> "Manifest":
        """Read the manifest of a folder of shards (or the file itself).

        Raises:
            DataError: there is none, it is not a manifest, or it was written by another version of the schema.
        """
        origin = ""
        if is_remote(path):
            origin, path = str(path), fetch_manifest(path)
        file = Path(path) / MANIFEST if Path(path).is_dir() else Path(path)
        try:
            tree = json.loads(file.read_text())
        except OSError as error:
            hint = "`spt pack` writes shards, `data.shards` names their folder"
            raise DataError(f"no shards at `{path}`: cannot read `{file}` ({error.strerror}); {hint}") from None
        except ValueError as error:
            raise DataError(f"`{file}` is not JSON ({error}); pack the shards again") from None
        if not isinstance(tree, dict) or tree.get("schema") != SCHEMA_VERSION:
            found = tree.get("schema") if isinstance(tree, dict) else None
            raise DataError(f"`{file}` has schema version {found!r}, this version reads {SCHEMA_VERSION}; pack again")
        try:
            manifest = cls._from_tree(file.parent, tree)
        except (KeyError, TypeError) as error:
            raise DataError(f"`{file}` lacks or misspells {error}; pack the shards again") from None
        if manifest.data_hash != tree.get("data_hash"):
            raise DataError(f"`{file}` was edited: its `data_hash` does not follow from its shards; pack them again")
        return replace(manifest, origin=origin)

    @classmethod
    def _from_tree(cls, folder: Path, tree: dict[str, Any]) -> "Manifest":
        splits = {
            name: Split(
                [Shard(**{key: shard[key] for key in Shard.__dataclass_fields__}) for shard in split["shards"]],
                split["label_fractions"],
                split["joint_visibility"],
            )
            for name, split in tree["splits"].items()
        }
        height, width = tree["size"]
        found = tree.get("duplicates"), tree.get("leaks")
        return cls(folder, (height, width), tree["how"], tree["min_joints"], tree["rejected"], splits, *found)

    def to_json(self) -> str:
        """The manifest's file."""
        tree = asdict(self) | {"size": list(self.size), "data_hash": self.data_hash}
        del tree["folder"], tree["origin"]
        for name, split in self.splits.items():
            tree["splits"][name]["samples"] = split.samples
        return json.dumps(tree, indent=1) + "\n"

    def split(self, name: str) -> Split:
        """One split, every shard and index of it present and of the recorded size; `DataError` otherwise."""
        if name not in self.splits:
            raise DataError(f"`{self.folder}` has no split `{name}`, only {sorted(self.splits)}")
        if self.origin:
            fetch_shards(self.origin, self.folder, {shard.name: shard.sha256 for shard in self.splits[name].shards})
        for shard in self.splits[name].shards:
            path = self.folder / shard.name
            for file in (path, path.with_suffix(".idx")):
                if not file.is_file():
                    raise DataError(f"`{file}` is missing; copy it back or pack again")
            if (found := path.stat().st_size) != shard.bytes:
                raise DataError(f"shard `{path}` has {found} bytes, {shard.bytes} were packed; copy it again")
        return self.splits[name]

    def paths(self, split: str) -> list[str]:
        """The shards of a split, checked as `split` does; the index of each lies beside it as `.idx`."""
        return [str(self.folder / shard.name) for shard in self.split(split).shards]

    def verify(self, *splits: str) -> None:
        """Read every shard (of these splits) and compare its SHA-256; `DataError` names the first that differs."""
        for name in splits or self.splits:
            for path, shard in zip(self.paths(name), self.splits[name].shards, strict=True):
                with open(path, "rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != shard.sha256:
                    raise DataError(f"shard `{path}` is damaged: SHA-256 {found}, packed {shard.sha256}; copy it again")
