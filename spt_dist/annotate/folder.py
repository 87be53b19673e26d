"""Many photos annotated into one folder, by the rules of `spt import`: names, splits, and an account of every photo."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from spt_dist.annotate.annotation import Annotation, Annotator
from spt_dist.data.photos import read_photo
from spt_dist.data.schema import DataError, ImageArray, JointArray, LabelArray
from spt_dist.data.sources.account import Account, Dropped, Reason
from spt_dist.data.sources.folder import require_new
from spt_dist.data.sources.job import Job, complete
from spt_dist.data.sources.layouts import Photo
from spt_dist.data.sources.names import PHOTO_ENDINGS
from spt_dist.data.sources.reader import Finder
from spt_dist.data.sources.run import Progress, photos_of, run


class Seen(NamedTuple):
    """An annotated photo."""

    photo: ImageArray
    found: Annotation


def annotate_folder(
    photos: Sequence[Path],
    out: Path,
    annotator: Annotator,
    shares: tuple[float, float] = (0.0, 0.0),
    progress: Progress | None = None,
    watch: Callable[[Seen], object] | None = None,
) -> Account:
    """Annotate a folder of photos, or single ones, into the new folder `out`, which `spt pack` reads.

    `shares` go to the splits `val` and `test`; `watch` is shown each photo in which somebody was found.

    Raises:
        DataError: there are no such photos, `out` exists, or nobody was found in any.
    """

    def find(path: Path) -> tuple[JointArray, LabelArray]:
        try:
            photo = read_photo(path.read_bytes(), path.name)
        except (DataError, OSError) as error:
            raise Dropped(Reason.BAD_PHOTO, str(error)) from None
        try:
            found = annotator.annotate(photo)
        except DataError as error:
            raise Dropped(Reason.NO_PERSON, str(error)) from None
        if watch:
            watch(Seen(photo, found))
        return found.joints, found.labels

    return run(_job(photos, *shares), out, progress, Finder(annotator.name, find))


def photo_files(photos: Sequence[Path], out: Path, shares: tuple[float, float]) -> list[Path]:
    """The files that `annotate_folder` is going to look at, as absolute paths; errors as there."""
    require_new(out)
    if any(out.resolve().is_relative_to(photo.resolve()) for photo in photos):
        raise DataError(f"`{out}` lies among the photos, and would be photos the next time; name a folder elsewhere")
    named = photos_of(complete(_job(photos, *shares)))
    return [each.path.absolute() for each in named if isinstance(each, Photo)]


def _job(photos: Sequence[Path], val: float, test: float) -> Job:
    if len(photos) == 1 and photos[0].is_dir():
        return Job("folder", photos[0], val=val, test=test)
    for path in photos:
        if path.is_dir():
            raise DataError(f"`{path}` is one of {len(photos)} PHOTOS, and a folder; give one folder, or single photos")
        if path.suffix.lower() not in PHOTO_ENDINGS or not path.is_file():
            raise DataError(f"`{path}` is no photo that is there; endings are {', '.join(PHOTO_ENDINGS)}")
    if not photos:
        raise DataError("no photos are given; name a folder of them, or single ones")
    return Job("folder", photos[0].parent, val=val, test=test, photos=tuple(photos))
