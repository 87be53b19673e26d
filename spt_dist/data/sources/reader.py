"""One row of an import made whole: its photo, split, joints and labels, or the reason why there is no such row."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from spt_dist.data.importers import read_identities
from spt_dist.data.schema import DataError, JointArray, LabelArray
from spt_dist.data.sources import frames
from spt_dist.data.sources.account import Account, Dropped, Reason
from spt_dist.data.sources.job import Job
from spt_dist.data.sources.keypoint_files import Row
from spt_dist.data.sources.label_maps import MAP_ENDINGS, read_label_map
from spt_dist.data.sources.layouts import FAMILY_FASHION, KINDS, Photo
from spt_dist.data.sources.merges import merge
from spt_dist.data.sources.names import About
from spt_dist.data.sources.orders import ORDERS, to_field

RESERVED = set(',:"\\')  # they separate the columns of lists, or quote them
EXIF_ORIENTATION, EXIF_TURNED = 0x0112, range(5, 9)  # turned by 90 degrees: width and height change places


class Entry(NamedTuple):
    """A row of the import: a record of keypoints, or a photo that has none."""

    name: str
    where: str
    row: Row | None = None
    photo: Photo | Path | None = None


class Finder(NamedTuple):
    """Whoever annotates photos, by name: joints and labels of a photo, or `Dropped`."""

    name: str
    find: Callable[[Path], tuple[JointArray, LabelArray]]


class Ready(NamedTuple):
    """A row that is whole."""

    name: str
    split: str
    about: About
    photo: Path | None
    joints: JointArray | None
    labels: LabelArray | None
    identity: str | None


class Reader:
    """Makes a whole row of an entry, or says by `Dropped` why there is none."""

    def __init__(self, job: Job, photos: list[Photo | Path], wants_joints: bool, finder: Finder | None = None) -> None:
        self._job, self._finder = job, finder
        self._photos: dict[str, list[Photo]] = {}
        for photo in photos:
            if isinstance(photo, Photo):
                self._photos.setdefault(photo.about.key, []).append(photo)
        self._wants_joints = wants_joints
        self._seen: set[tuple[str, str]] = set()
        self._identities = read_identities(job.source / "identities.csv") if job.kind in ("folder", "ccp") else {}
        self._maps = _index_maps(job) if job.parsing else None
        self.has_photos = job.kind != "poses"

    def read(self, entry: Entry, account: Account) -> Ready:
        """The entry's picture with joints, labels, split and identity."""
        about = self._about(entry)
        photo = self._photo(entry, about)
        split = self._split(entry, photo, about)
        if (split, about.flat) in self._seen:
            raise Dropped(Reason.DUPLICATE, f"`{about.flat}` was there before, in the split `{split}`")
        size = _photo_size(photo.path) if photo else None
        if self._finder and photo:
            joints, labels = self._finder.find(photo.path)
        else:
            joints = self._joints(entry.row, size, account)
            labels = self._labels(about, size, joints) if self._maps is not None else None
        name = photo.name if photo else entry.name
        identity = about.identity or (self._named(photo) if photo else None)
        account.notes["without keypoints"] += joints is None
        account.notes["without parsing map"] += labels is None and self.has_photos
        self._seen.add((split, about.flat))
        return Ready(name, split, about, photo.path if photo else None, joints, labels, identity)

    def _about(self, entry: Entry) -> About:
        if entry.row is not None and entry.row.problem:
            raise Dropped(Reason.UNREADABLE, entry.row.problem)
        if isinstance(entry.photo, Photo):
            about = entry.photo.about
        else:
            about = KINDS[self._job.kind].about(entry.row.name) if entry.row else None
        if about is None:
            raise Dropped(Reason.NAME, f"`{entry.name}` is no name of a picture of {self._job.kind}")
        if set(about.flat) & RESERVED or not about.flat.isprintable() or about.flat != about.flat.strip():
            raise Dropped(Reason.NAME, f"`{entry.name}` has a character that lists of names cannot hold")
        if about.junk:
            raise Dropped(Reason.JUNK, f"`{entry.name}` shows nobody in particular")
        return about

    def _photo(self, entry: Entry, about: About) -> Photo | None:
        """The entry's photo, of the row's split where both say one, under the row's name."""
        if not self.has_photos:
            return None
        if entry.row is None:
            assert isinstance(entry.photo, Photo)
            if self._wants_joints:
                raise Dropped(Reason.NO_KEYPOINTS, "no keypoint file names it")
            return entry.photo
        if not (entry.row.points is not None and (entry.row.points[:, 2] > 0).any()):
            raise Dropped(Reason.NO_JOINTS, "all joints are missing")
        for photo in self._photos.get(about.key, ()):
            if None in (entry.row.split, photo.split) or entry.row.split == photo.split:
                flat = about.flat if KINDS[self._job.kind].family else photo.about.flat
                return photo._replace(about=photo.about._replace(flat=flat))
        places = [str(photo.path) for photo in self._photos.get(about.key, ())]
        raise Dropped(Reason.NO_PHOTO, f"it lies in another split: {places}" if places else "no such photo")

    def _split(self, entry: Entry, photo: Photo | None, about: About) -> str:
        split = (entry.row.split if entry.row else None) or (photo.split if photo else None) or "train"
        if split != "train" or not self.has_photos:
            return split
        share = _share(about.identity or (self._named(photo) if photo else None) or about.key)
        if share < self._job.test:
            return "test"
        return "val" if share < self._job.test + self._job.val else "train"

    def _named(self, photo: Photo) -> str | None:
        """Who it is by the source's own list, which may know the photo by its name there or in the new folder."""
        found = self._identities.get(photo.name) or self._identities.get(photo.path.name)
        if isinstance(found, DataError):
            raise Dropped(Reason.UNREADABLE, str(found))
        return found

    def _joints(self, row: Row | None, size: frames.Size | None, account: Account) -> JointArray | None:
        """The row's joints in px of the photo; of the frame where there is no photo."""
        if row is None or row.points is None:
            return None
        joints = to_field(row.points, row.order)
        before = int(joints[:, 2].sum())
        if ORDERS[row.order].fractions:
            size = size or row.frame
            if size is None:
                raise DataError(f"{row.order} gives shares of a photo; say its px with --keypoints-size HEIGHTxWIDTH")
            joints = frames.from_fractions(joints, size)
        elif size is not None:
            try:
                joints = frames.to_photo(
                    joints, row.frame or size, size, fashion=KINDS[self._job.kind].family == FAMILY_FASHION
                )
            except DataError as error:
                raise Dropped(Reason.SIZES, str(error)) from None
        elif row.frame is not None:
            joints = frames.inside(joints, row.frame)
        left = int(joints[:, 2].sum())
        account.notes["joints outside the picture, now missing"] += before - left
        account.notes["further people in a picture, left out"] += max(0, row.people - 1)
        if not left:
            raise Dropped(Reason.NO_JOINTS, "all joints are missing" if not before else "all lie outside the picture")
        return joints

    def _labels(self, about: About, size: frames.Size | None, joints: JointArray | None) -> LabelArray:
        assert self._maps is not None
        path = self._maps.get(about.key)
        if path is None:
            raise Dropped(Reason.NO_PARSING, f"`{self._job.parsing}` has no {about.flat}{'|'.join(MAP_ENDINGS)}")
        try:
            found = read_label_map(path)
            if found.shape != size:
                raise Dropped(Reason.SIZES, f"the photo is {size} px, `{path}` is {found.shape}")
            return merge(found, self._job.labels, joints)
        except DataError as error:
            raise Dropped(Reason.BAD_PARSING, str(error)) from None


def _index_maps(job: Job) -> dict[str, Path]:
    """Parsing maps by photo, wherever below the folder they lie."""
    assert job.parsing is not None
    maps = {}
    for path in sorted(job.parsing.rglob("*")):
        if path.suffix.lower() in MAP_ENDINGS and path.is_file():
            name = path.relative_to(job.parsing).with_suffix(".png").as_posix()
            about = KINDS[job.kind].about(name)
            if about:
                maps[about.key] = path
            if KINDS[job.kind].family == "":
                maps.setdefault(path.stem, path)
    return maps


def _photo_size(path: Path) -> frames.Size:
    """Height and width in px, as OpenCV will show the photo: turned where its EXIF says so."""
    broken = (OSError, ValueError, SyntaxError, TypeError, KeyError, Image.DecompressionBombError)
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(EXIF_ORIENTATION) in EXIF_TURNED
    except broken as error:
        raise Dropped(Reason.BAD_PHOTO, f"`{path}`: {error}") from None
    return (width, height) if turned else (height, width)


def _share(identity: str) -> float:
    """A number in [0, 1) that depends on the identity alone."""
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8]) / 2**64
