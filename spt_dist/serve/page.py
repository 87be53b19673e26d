"""The web page: its files, the document of the interface, and the gallery of sample people beside a run.

The page is the files in `web/`, served as they are, with no build step; it loads nothing from any other host, so it
works on a machine without a network. The gallery lies in RUN/gallery: gallery.json (a `schema.Gallery` with paths
relative to the folder), and per person NN.jpg (photo) and NN.png (parsing map).
"""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from spt_dist.body import LABEL_COLOURS, Joint, Label
from spt_dist.edits import EDITS
from spt_dist.pictures import BONES, JPEG_QUALITY
from spt_dist.serve.schema import Body, Bone, Gallery, LabelEntry, Person

WEB = Path(__file__).parent / "web"
ASSET_TYPES = {".css": "text/css", ".js": "text/javascript"}
GALLERY_FOLDER, GALLERY_INDEX = "gallery", "gallery.json"
GALLERY_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
PEOPLE = 12
LEAST_VISIBLE_JOINTS = 12  # a pose of fewer says little to someone who picks by eye

# The browser must ask no other host, whatever a file of ours or a file name says.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@runtime_checkable
class GallerySample(Protocol):
    """What the gallery needs of a sample: `data.schema.Sample` has it (and would bring torch in)."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def image(self) -> np.ndarray: ...  # noqa: D102
    @property
    def labels(self) -> np.ndarray: ...  # noqa: D102
    @property
    def joints(self) -> np.ndarray: ...  # noqa: D102
    @property
    def identity(self) -> str | None: ...  # noqa: D102


def export_gallery(run: Path, samples: Iterable[GallerySample], people: int = PEOPLE) -> int:
    """Write the first `people` samples of different persons to RUN/gallery, replacing it; returns how many.

    Samples with fewer than `LEAST_VISIBLE_JOINTS` visible joints are passed over. Samples are consumed only as far as
    needed.
    """
    folder = run / GALLERY_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kept: dict[str, Person] = {}
    for sample in samples:
        identity = sample.identity or sample.id
        if identity in kept or np.count_nonzero(sample.joints[:, 2]) < LEAST_VISIBLE_JOINTS:
            continue
        image, parsing = (f"{len(kept):02d}{end}" for end in GALLERY_TYPES)
        Image.fromarray(np.asarray(sample.image, np.uint8)).save(folder / image, quality=JPEG_QUALITY, subsampling=0)
        Image.fromarray(np.asarray(sample.labels, np.uint8)).save(folder / parsing)
        joints = np.round(np.asarray(sample.joints, float), 2).tolist()
        height, width = sample.labels.shape
        kept[identity] = Person(id=sample.id, image=image, parsing=parsing, size=(height, width), joints=joints)
        if len(kept) == people:
            break
    gallery = Gallery(people=list(kept.values()))
    (folder / GALLERY_INDEX).write_text(gallery.model_dump_json(indent=1), encoding="utf-8")
    return len(kept)


def read_gallery(run: Path) -> Gallery:
    """The sample people of a run, with the paths at which the endpoint serves their files; empty without any."""
    index = run / GALLERY_FOLDER / GALLERY_INDEX
    if not index.is_file():
        return Gallery(people=[])
    people = Gallery.model_validate_json(index.read_text(encoding="utf-8")).people
    where = "/v1/gallery/"
    paths = [{"image": where + person.image, "parsing": where + person.parsing} for person in people]
    return Gallery(people=[person.model_copy(update=path) for person, path in zip(people, paths, strict=True)])


def gallery_file(run: Path, name: str) -> tuple[bytes, str] | None:
    """Content and media type of a gallery file; nothing for a name that the gallery does not hold."""
    return _held(run / GALLERY_FOLDER, GALLERY_TYPES, name)


def asset(name: str) -> tuple[bytes, str] | None:
    """Content and media type of a file of the page; nothing for an unknown name."""
    return _held(WEB, ASSET_TYPES, name)


def html(name: str) -> str:
    """`page.html` or `docs.html`."""
    return (WEB / name).read_text(encoding="utf-8")


def _held(folder: Path, types: Mapping[str, str], name: str) -> tuple[bytes, str] | None:
    held = {path.name for path in folder.glob("*") if path.suffix in types}
    return ((folder / name).read_bytes(), types[Path(name).suffix]) if name in held else None


def body_tables() -> Body:
    """Joints, labels and bones as the page draws them."""
    return Body(
        joints=[joint.name.lower() for joint in Joint],
        labels=[LabelEntry(name=label.name.lower(), colour=LABEL_COLOURS[label]) for label in Label],
        bones=[Bone(ends=(int(upper), int(lower)), colour=colour) for upper, lower, colour in BONES],
        edits=list(EDITS),
    )
