"""Where a picture comes from: written into its file, as plain text and as a signed C2PA manifest, and read back.

The text says to whoever opens the file that it is no photograph. The manifest says it so that programs understand
(`trainedAlgorithmicMedia`), names the model, and is signed over the whole file: a changed pixel shows. Who signed is
known to those who were given the signer's certificate. Neither survives a screenshot, nor anybody who takes it out.
"""

import io
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import c2pa
import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from spt_dist import __version__
from spt_dist.identity import Identity

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}
Mode = Literal["c2pa", "text", "off"]
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"  # a name, never asked for
ASSERTION = "org.spt.generation"
QUALITY = 95  # of JPEG and WebP
PNG_LEVEL = 2  # zlib's: a photo takes 3.8 ms and 102 kB, at Pillow's own 6 13.2 ms and 98 kB
# No thumbnail: it would be as large as the picture. And nothing is ever asked of another host.
SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
}


class Origin(NamedTuple):
    """How a picture was drawn."""

    operation: str
    model: str
    digest: str  # of the model's weights
    request_id: str = ""
    seed: str = ""  # of its noise; empty: drawn without

    @property
    def text(self) -> str:
        """For people."""
        by = f"model {self.model} ({self.digest})" + (f", seed {self.seed}" if self.seed else "")
        return f"Generated picture, not a photograph: {self.operation} by spt {__version__}, {by}."


def encode(pixels: np.ndarray, format: str, text: str = "") -> bytes:
    """Pixels uint8 [h, w, 3], or labels uint8 [h, w], as a PNG, JPEG or WebP that says `text` of itself."""
    buffer = io.BytesIO()
    quality = {"compress_level": PNG_LEVEL} if format == "png" else {"quality": QUALITY}
    Image.fromarray(pixels).save(buffer, format.upper(), **quality, **describe(format, text))
    return buffer.getvalue()


def format_of(path: Path) -> str:
    """One of `MEDIA_TYPES`, by the name's ending."""
    return path.suffix.lower().removeprefix(".").replace("jpg", "jpeg")


def describe(format: str, text: str) -> dict[str, Any]:
    """The options with which Pillow writes a text into a file of that format."""
    if not text:
        return {}
    if format == "png":
        chunks = PngInfo()
        chunks.add_text("Description", text)
        return {"pnginfo": chunks}
    if format == "gif":
        return {"comment": text}
    exif = Image.Exif()
    exif[Base.ImageDescription] = text
    return {"exif": exif}


class Notary:
    """Signs pictures; may be shared by threads.

    Raises:
        ValueError: the identity's certificate or key cannot be used.
    """

    def __init__(self, identity: Identity) -> None:
        info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, identity.chain.encode(), identity.key.encode(), None)
        self._context = c2pa.Context(settings=c2pa.Settings.from_dict(SETTINGS))
        self._lock = threading.Lock()
        try:
            self._signer = c2pa.Signer.from_info(info)
            probe = self.sign(encode(np.zeros((1, 1, 3), np.uint8), "png"), "png", Origin("probe", "", ""))
            problem = "" if read(probe).seal == "whole" else "the key is not the certificate's"
        except c2pa.C2paError as error:
            problem = str(error)
        if problem:
            raise ValueError(f"the identity cannot sign ({problem}); give an ES256 key and its chain in PEM")

    def sign(self, content: bytes, format: str, origin: Origin) -> bytes:
        """A file of one of `MEDIA_TYPES` with a manifest in it."""
        signed = io.BytesIO()
        with self._lock:
            builder = c2pa.Builder(json.dumps(_manifest(origin)), context=self._context)
            builder.sign(self._signer, MEDIA_TYPES[format], io.BytesIO(content), signed)
        return signed.getvalue()


class Sealer:
    """Writes pictures that say where they come from: by text and manifest, by text alone, or not at all.

    Without a folder it signs by an identity that nobody knows and that ends with it.

    Raises:
        ValueError, OSError: see `Notary` and `Identity.open`.
    """

    def __init__(self, mode: Mode = "c2pa", identity: str = "") -> None:
        self.mode: Mode = mode
        self.notary = None
        if mode == "c2pa":
            self.notary = Notary(Identity.open(identity) if identity else Identity.make())

    def encode(self, pixels: np.ndarray, format: str, origin: Origin) -> bytes:
        """Pixels uint8 [h, w, 3] as a PNG, JPEG or WebP."""
        return self.sign(encode(pixels, format, "" if self.mode == "off" else origin.text), format, origin)

    def sign(self, content: bytes, format: str, origin: Origin) -> bytes:
        """A file of one of `MEDIA_TYPES`, signed where that is wanted."""
        return self.notary.sign(content, format, origin) if self.notary else content


class Provenance(NamedTuple):
    """What a file says of itself.

    `seal` is `whole`, `broken` (the file was changed after it was signed) or `none`; `known` is whether the signer's
    certificate was issued by one of those that are trusted.
    """

    text: str
    seal: Literal["whole", "broken", "none"]
    known: bool
    signer: str
    origin: dict[str, str]


def read(content: bytes, trusted: str = "") -> Provenance:
    """What a picture's bytes say; `trusted` are certificates in PEM.

    Raises:
        ValueError: it is no picture of a known format.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            format, text = (picture.format or "").lower(), _text(picture)
    except (OSError, SyntaxError, ValueError):
        raise ValueError("it is no readable picture") from None
    if format not in MEDIA_TYPES:
        raise ValueError(f"it is {format.upper()}; {', '.join(MEDIA_TYPES).upper()} can be read")
    settings = SETTINGS | ({"trust": {"trust_anchors": trusted}} if trusted else {})
    context = c2pa.Context(settings=c2pa.Settings.from_dict(settings))
    try:
        store = json.loads(c2pa.Reader(MEDIA_TYPES[format], io.BytesIO(content), context=context).json())
    except c2pa.C2paError as error:
        return Provenance(text, "none" if "ManifestNotFound" in str(error) else "broken", False, "", {})
    manifest = store["manifests"][store["active_manifest"]]
    origin = next((each["data"] for each in manifest["assertions"] if each["label"] == ASSERTION), {})
    seal = "broken" if store["validation_state"] == "Invalid" else "whole"
    signer = manifest.get("signature_info", {}).get("common_name", "")
    return Provenance(text, seal, store["validation_state"] == "Trusted", signer, origin)


def _manifest(origin: Origin) -> dict:
    agent = {"name": "spt", "version": __version__}
    created = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE, "softwareAgent": agent}
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "title": origin.text,
        "claim_generator_info": [agent],
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": [created]}},
            {"label": ASSERTION, "data": origin._asdict() | {"when": when}},
        ],
    }


def _text(picture: Image.Image) -> str:
    found = (
        picture.info.get("Description")
        or picture.info.get("comment")
        or picture.getexif().get(Base.ImageDescription, "")
    )
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
