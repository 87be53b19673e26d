"""Which annotator is meant: `box`, our own network; the TOML of models that are brought; or `off`, none."""

from functools import lru_cache
from pathlib import Path

from spt_dist import box
from spt_dist.annotate.annotation import Annotator
from spt_dist.annotate.onnx_annotator import OnnxAnnotator
from spt_dist.annotate.own import OwnAnnotator
from spt_dist.data.schema import DataError

BOX, OFF = box.NAME, box.OFF


@lru_cache(maxsize=1)
def open_annotator(words: str = BOX, threads: int = 0) -> Annotator:
    """The annotator that is meant, opened once; `threads` of ONNX Runtime, 0 for one a core.

    Raises:
        ValueError: there is none, or it cannot be used; the message names the file, and the key of the TOML.
    """
    if words == OFF:
        raise DataError("no annotator is wanted (`off`); give the photo's joints and its parsing map")
    if words == BOX:
        return OwnAnnotator.load()
    if Path(words).is_dir():
        return OwnAnnotator.load(Path(words))
    if not Path(words).is_file():
        raise DataError(
            f"`{words}` is no annotator; give {BOX}, {OFF}, the TOML of your models (docs/annotate.md), or a folder of "
            "weights of our own"
        )
    return OnnxAnnotator.load(Path(words), threads)
