"""ONNX Runtime behind one small interface: a file that is what its declaration says, a picture in, arrays out."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spt_dist.annotate.declaration import Net
from spt_dist.data.schema import DataError, ImageArray

PICTURE_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
DIGEST = 12  # letters of a hash that tell files apart


class Session:
    """An opened model; `digest` is that of its file."""

    def __init__(self, table: str, declared: Net, folder: Path, threads: int = 0):
        """Open the file that [`table`] names, on `threads` threads, 0 for one a core.

        Raises:
            DataError: there is none, its hash is another, or it takes something else than the declared picture.
        """
        self.table, self.declared, self.path = table, declared, folder / declared.file
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read `{table}.file` = `{self.path}`: {error.strerror}") from None
        found = hashlib.sha256(content).hexdigest()
        if declared.sha256 and declared.sha256.lower() != found:
            raise DataError(f"`{self.path}` has the SHA-256 {found}, but `{table}.sha256` is {declared.sha256}")
        self.digest = found[:DIGEST]
        self._session = self._open(threads)
        self._input, self._type = self._check_input()
        held = [output.name for output in self._session.get_outputs()]
        if missing := [name for name in declared.tensors if name not in held]:
            raise DataError(f"`{self.path}` has no output {missing} of `{table}.tensors`; it has {', '.join(held)}")
        self.outputs = list(declared.tensors) or held

    def run(self, picture: ImageArray) -> Mapping[str, np.ndarray]:
        """The outputs by name, for a picture of the declared size, uint8 RGB."""
        if self.declared.channels == "bgr":
            picture = picture[..., ::-1]
        pixels = (picture - np.array(self.declared.mean, np.float32)) / np.array(self.declared.std, np.float32)
        if self.declared.layout == "nchw":
            pixels = pixels.transpose(2, 0, 1)
        fed = {self._input: np.ascontiguousarray(pixels[None]).astype(self._type)}
        try:
            found = self._session.run(self.outputs, fed)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime has no common class of errors
            raise DataError(f"`{self.path}` failed on a picture of {self.declared.size} px: {error}") from None
        return dict(zip(self.outputs, map(np.asarray, found), strict=True))

    def refuse(self, wanted: str, found: Mapping[str, np.ndarray]) -> DataError:
        """What to say of outputs that are not what the declaration promises."""
        shapes = ", ".join(f"{name} {list(each.shape)}" for name, each in found.items())
        return DataError(f"`{self.path}` answers {shapes}; [{self.table}] wants {wanted}")

    def _open(self, threads: int) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors: what it warns of is the model's making
        try:
            return onnxruntime.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - as above
            raise DataError(f"`{self.path}` is no model that ONNX Runtime opens: {error}") from None

    def _check_input(self) -> tuple[str, type]:
        height, width = self.declared.size
        wanted = [1, 3, height, width] if self.declared.layout == "nchw" else [1, height, width, 3]
        inputs = self._session.get_inputs()
        taken = "; ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
        fits = len(inputs) == 1 and inputs[0].type in PICTURE_TYPES and len(inputs[0].shape) == len(wanted)
        if not fits or any(isinstance(n, int) and n != own for n, own in zip(inputs[0].shape, wanted, strict=True)):
            keys = f"`{self.table}.size` = {[height, width]} and `{self.table}.layout` = {self.declared.layout}"
            raise DataError(f"`{self.path}` takes {taken}; {keys} mean one picture {wanted}")
        return inputs[0].name, PICTURE_TYPES[inputs[0].type]
