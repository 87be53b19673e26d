"""A second place for a run: its checkpoints and logs on other storage, such as S3.

`train.mirror` is a URI that pyarrow knows: `file:///mnt/backup/run`, `s3://bucket/run?region=eu-central-1`, `gs://...`.
Keys are the environment's (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, on every node): the configuration is saved. Object
storage has no renaming, so a checkpoint's `meta.json` goes last: what has one there is whole. The run's own folder
stays the place of work; where it holds no checkpoint, `--resume` fetches the newest one from the mirror.
"""

import shutil
from pathlib import Path

from pyarrow import fs

from spt_dist.config import ConfigError
from spt_dist.models.weights import WHICH
from spt_dist.run_log import EVENTS, LOG
from spt_dist.train import checkpoint
from spt_dist.train.start import FOLDER as NETWORKS

FILES = ("config.json", LOG, EVENTS)
FOLDERS = (*WHICH.values(), NETWORKS)


class Mirror:
    """One run's copy.

    Raises:
        ConfigError: `uri` names no storage that pyarrow knows, or holds keys.
    """

    def __init__(self, uri: str) -> None:
        if "@" in uri:
            raise ConfigError(
                "`train.mirror` holds keys, and is saved with every checkpoint: set AWS_ACCESS_KEY_ID and co."
            )
        try:
            self.files, self.root = fs.FileSystem.from_uri(uri)
        except (ValueError, OSError) as error:  # pyarrow's ArrowInvalid is a ValueError
            raise ConfigError(
                f"`train.mirror` = {uri!r} is no storage: {error}; write s3://bucket/folder or file:///folder"
            ) from None
        self.uri = uri

    def push(self, path: Path) -> None:
        """Copy a checkpoint and the run's logs there, and remove the checkpoints that the run has no more."""
        run, there = path.parent.parent, f"{self.root}/{checkpoint.FOLDER}/{path.name}"
        for file in sorted(path.rglob("*"), key=lambda file: file == path / checkpoint.META):  # it comes last
            if file.is_file():
                self._copy(file, f"{there}/{file.relative_to(path).as_posix()}")
        for name in filter(lambda name: (run / name).exists(), FILES):
            self._copy(run / name, f"{self.root}/{name}")
        kept = {each.name for each in checkpoint.all_of(run)}
        for name in self.checkpoints():
            if name not in kept:
                self.files.delete_file(f"{self.root}/{checkpoint.FOLDER}/{name}/{checkpoint.META}")
                self.files.delete_dir(f"{self.root}/{checkpoint.FOLDER}/{name}")

    def push_weights(self, run: Path) -> None:
        """Copy what a finished run gives away."""
        for folder in FOLDERS:
            for file in (run / folder).rglob("*"):
                self._copy(file, f"{self.root}/{file.relative_to(run).as_posix()}")
        for name in FILES:
            self._copy(run / name, f"{self.root}/{name}")

    def checkpoints(self) -> list[str]:
        """The names of the whole checkpoints there, oldest first."""
        selector = fs.FileSelector(f"{self.root}/{checkpoint.FOLDER}", recursive=True, allow_not_found=True)
        found = [Path(info.path) for info in self.files.get_file_info(selector)]
        return sorted(path.parent.name for path in found if path.name == checkpoint.META)

    def fetch(self, run: Path) -> Path | None:
        """Bring the newest undamaged checkpoint and the logs into the run's folder; None when there is none."""
        for name in reversed(self.checkpoints()):
            final = run / checkpoint.FOLDER / name
            writing = final.with_name(checkpoint.HIDDEN + name)
            shutil.rmtree(writing, ignore_errors=True)
            writing.mkdir(parents=True)
            fs.copy_files(f"{self.root}/{checkpoint.FOLDER}/{name}", str(writing), self.files, fs.LocalFileSystem())
            if checkpoint.damage(writing):
                shutil.rmtree(writing)
                continue
            for file in FILES:
                if self.files.get_file_info(f"{self.root}/{file}").type == fs.FileType.File:
                    fs.copy_files(f"{self.root}/{file}", str(run / file), self.files, fs.LocalFileSystem())
            checkpoint.publish(writing, final)
            return final
        return None

    def _copy(self, file: Path, there: str) -> None:
        if isinstance(self.files, fs.LocalFileSystem):
            self.files.create_dir(str(Path(there).parent))
        with file.open("rb") as here, self.files.open_output_stream(there) as out:
            shutil.copyfileobj(here, out, 8 << 20)
