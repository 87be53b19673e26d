"""Which annotator is meant: `box`, our own nets; the TOML of models that are brought; or `off`, none."""

from functools import lru_cache
from pathlib import Path

from spt_dist import box
from spt_dist.annotate.annotation import Annotator
from spt_dist.annotate.onnx_annotator import OnnxAnnotator
from spt_dist.data.schema import DataError

BOX, OFF = box.NAME, box.OFF


def check_choice(words: str) -> None:
    """Refuse what names no annotator, without opening one."""
    if words not in (BOX, OFF) and not Path(words).is_file():
        raise DataError(f"`{words}` is no annotator; give {BOX}, {OFF}, or the TOML of your models (docs/annotate.md)")


@lru_cache(maxsize=1)
def open_annotator(words: str = BOX, threads: int = 0) -> Annotator:
    """The annotator that is meant, opened once; `threads` of ONNX Runtime, 0 for one a core.

    Raises:
        DataError: there is none, or one of its models cannot be used.
        ConfigError: a key of the TOML cannot be used.
    """
    check_choice(words)
    if words == OFF:
        raise DataError("no annotator is wanted (`off`); give the photo's joints and its parsing map")
    if words == BOX:
        raise DataError("the box holds no annotator yet; name the TOML of your models (docs/annotate.md)")
    return OnnxAnnotator.load(Path(words), threads)
