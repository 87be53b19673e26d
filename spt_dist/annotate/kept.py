"""What was found already: so a long annotation that breaks off goes on where it was, and processes share the work.

Each answer is a file, named by the SHA-256 of who gave it and of the photo's pixels, written aside and renamed: a photo
is looked at once, whoever asks and in whatever order.
"""

import fcntl
import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from spt_dist.annotate.annotation import Annotation, Annotator, NobodyError
from spt_dist.annotate.choice import open_annotator
from spt_dist.data.photos import read_photo
from spt_dist.data.schema import DataError, ImageArray
from spt_dist.data.search.run import Mapper
from spt_dist.data.sources.run import Progress

BLOCK = 32  # photos that a process is given at a time
REFUSED = "refused"  # in the file of a photo without a person: why


@contextmanager
def answers_beside(out: Path) -> Iterator[Path]:
    """The hidden folder of answers beside `out`, for one command at a time; it goes when all went well.

    Raises:
        DataError: another command writes `out`.
    """
    folder = out.with_name(f".{out.name}.annotations")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"another `spt annotate` is writing `{out}`; wait for it, or name another folder") from None
        try:
            yield folder
        except BaseException:
            if not any(folder.glob("*.npz")):
                shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)


class Kept:
    """An annotator that keeps its answers in a folder, also that nobody was found."""

    def __init__(self, annotator: Annotator, folder: Path) -> None:
        self.name, self._annotator, self._folder = annotator.name, annotator, folder

    def annotate(self, photo: ImageArray) -> Annotation:
        """As the annotator itself; see `annotation.Annotator`."""
        digest = hashlib.sha256(f"{self.name} {photo.shape}".encode())
        digest.update(np.ascontiguousarray(photo).data)
        file = self._folder / f"{digest.hexdigest()}.npz"
        found = _read(file)
        if found is None:
            found = self._find(photo)
            aside = file.with_suffix(f".{os.getpid()}")
            with open(aside, "wb") as out:
                np.savez_compressed(out, **found)  # pyright: ignore[reportArgumentType] (no key is `allow_pickle`)
            aside.replace(file)
        if REFUSED in found:
            raise NobodyError(str(found[REFUSED]))
        return Annotation(found["joints"], found["labels"], found["confidence"], tuple(found["box"].tolist()))

    def _find(self, photo: ImageArray) -> dict[str, np.ndarray]:
        try:
            return {name: np.asarray(value) for name, value in vars(self._annotator.annotate(photo)).items()}
        except NobodyError as error:
            return {REFUSED: np.array(str(error))}


def look_ahead(
    photos: Sequence[Path], models: str, folder: Path, mapper: Mapper, progress: Progress | None = None
) -> None:
    """Look at many photos by the mapper's processes; their answers lie in `folder` for whoever asks a `Kept` then.

    Raises:
        DataError: a process does not see the photos, or cannot write the folder.
    """
    done, blocks = 0, [photos[start : start + BLOCK] for start in range(0, len(photos), BLOCK)]
    for _, looked_at in mapper(partial(_look, models=models, folder=folder), blocks):
        done += looked_at
        if progress:
            progress(done, len(photos))


def _look(photos: Sequence[Path], models: str, folder: Path) -> int:
    """Look at some photos; what is wrong with one is said when it is asked for."""
    annotator = Kept(open_annotator(models, threads=1), folder)
    try:
        for path in photos:
            content = path.read_bytes()
            with suppress(DataError):
                annotator.annotate(read_photo(content, path.name))
    except OSError as error:
        raise DataError(
            f"a process that annotates cannot use `{error.filename or folder}` ({error.strerror}); all machines must "
            "see photos, models and the folder to write"
        ) from None
    return len(photos)


def _read(file: Path) -> dict[str, np.ndarray] | None:
    """An answer; None when there is none, or a machine's end has left it broken."""
    try:
        with open(file, "rb") as content, np.load(content) as found:
            return dict(found)
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error):
        return None
