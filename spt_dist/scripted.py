"""Networks that judge pictures, as TorchScript files by path: Inception for FID and IS, LPIPS.

Nothing is downloaded here, so a file says itself what it is: its SHA-256 is compared with the one that
`evaluation.sha256` holds, if any, and looked up among the files that are known. Two networks with one name give two
different FIDs; the hash beside the number says which it was.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

INCEPTION, TORCHVISION, LPIPS, POSE = "inception", "inception_torchvision", "lpips", "pose_detector"  # of `evaluation`
BATCH = 16  # pictures that go through a network at once
SHOWN = 12  # digits of a hash
Hashes = Mapping[str, str]  # to expect of networks' files, by their key in `evaluation`
NONE: Hashes = MappingProxyType({})

HOW = {
    INCEPTION: "a TorchScript file of Inception-v3 that maps uint8 [b, 3, h, w] of any size "
    "to (features [b, n], logits [b, k]); FID makes do with the features alone (export one with torch.jit.script from "
    "weights that you have, or take NVIDIA's inception-2015-12-05.pt, which is known)",
    TORCHVISION: "a TorchScript file that maps float [b, 3, 299, 299], normalised as the definition says, to the "
    "pooled features [b, 2048] of torchvision's Inception-v3, weights IMAGENET1K_V1 (where torchvision is installed, "
    "put its layers up to the pooling, without transform_input, through torch.jit.script)",
    LPIPS: "a TorchScript file that maps two float batches [b, 3, h, w] in [-1, 1] to distances [b] (LPIPS 0.1 on "
    "AlexNet is the field's: where the package lpips is installed, put it through torch.jit.trace)",
    POSE: "a folder of weights that holds a pose detector (`spt convert --kind pose_detector` writes one), a finished "
    "run, or a TorchScript file that maps float [b, 3, h, w] in [-1, 1] to heat maps [b, 18, h, w] of `body.Joint`",
}
KNOWN = {
    "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4": "NVIDIA's inception-2015-12-05.pt, the "
    "TensorFlow graph by which FID and IS are defined",
}


class MissingNetworkError(ValueError):
    """A metric's network is not at the given path, or is another one; the message says how to get it."""


class Script(NamedTuple):
    """A loaded file, and what it is."""

    module: nn.Module
    origin: str


def load_script(path: str, key: str, metric: str, sha256: Hashes = NONE) -> Script:
    """The network that `evaluation.KEY` names, for a metric; `sha256` holds the hashes to expect, by key.

    Raises:
        MissingNetworkError: there is no such file, it is no TorchScript, or not the one that was expected.
    """
    if not path or not Path(path).is_file():
        found = f"`{path}` is not a file" if path else "no path is given"
        raise MissingNetworkError(f"{metric} is not computed: {found}; set evaluation.{key} to {HOW[key]}")
    origin = identify(Path(path), key, metric, sha256)
    try:
        return Script(torch.jit.load(path, map_location="cpu").eval(), origin)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise MissingNetworkError(f"{metric} is not computed: `{path}`: {reason}; give {HOW[key]}") from None


def identify(path: Path, key: str, metric: str, sha256: Hashes) -> str:
    """A file by name, hash and, where it is known, nature; `MissingNetworkError` when another hash is expected."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    expected = sha256.get(key, "").lower()
    if expected and found != expected:
        raise MissingNetworkError(
            f"{metric} is not computed: `{path}` has the SHA-256 {found}, and evaluation.sha256.{key} expects "
            f"{expected}: it is damaged or another file; copy it again from where it came, or, if it is the one that "
            f"you mean, --set evaluation.sha256.{key}={found}"
        )
    return f"{path.name}, SHA-256 {found[:SHOWN]}" + (f", {KNOWN[found]}" if found in KNOWN else "")


class Inception(nn.Module):
    """One output of a scripted Inception, as torchmetrics asks for it. FID wants the features, IS the logits.

    NVIDIA's file names its outputs by arguments; its logits are the logarithms of the probabilities that it gives
    without the last layer's bias, as IS is defined.
    """

    FEATURES, LOGITS = 0, 1

    def __init__(self, module: nn.Module, output: int):
        super().__init__()
        self.module, self.output = module, output
        arguments = {each.name for each in getattr(module, "forward").schema.arguments}  # noqa: B009 (no nn.Module's)
        self.by_arguments = {"return_features", "no_output_bias"} <= arguments
        with torch.no_grad():
            probe = self.outputs(torch.zeros(1, 3, 299, 299, dtype=torch.uint8))
        self.gives_logits = len(probe) > 1
        self.num_features = probe[self.FEATURES].shape[1]

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features, and logits where the file gives them."""
        if self.by_arguments:
            probabilities = self.module(images, no_output_bias=True)
            return self.module(images, return_features=True), probabilities.clamp(min=1e-30).log()
        found = self.module(images)
        return found if isinstance(found, tuple) else (found,)

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [b 3 h w] to what was asked for."""
        with torch.no_grad():
            return self.outputs(images)[self.output]


def load_inception(path: str, metric: str, output: int, sha256: Hashes = NONE) -> tuple[Inception, str]:
    """Inception with one of its outputs, and what the file is; `MissingNetworkError` where it gives no logits."""
    module, origin = load_script(path, INCEPTION, metric, sha256)
    network = Inception(module, output)
    if output == Inception.LOGITS and not network.gives_logits:
        raise MissingNetworkError(
            f"{metric} is not computed: `{path}` gives no logits; set evaluation.{INCEPTION} to {HOW[INCEPTION]}"
        )
    return network, origin


@torch.no_grad()
def distances(module: nn.Module, images: Tensor, references: Tensor) -> Tensor:
    """What a scripted LPIPS says of pictures, float [b 3 h w] in [-1, 1], one by one."""
    pairs = zip(images.split(BATCH), references.split(BATCH), strict=True)
    return torch.cat([module(*pair).reshape(-1) for pair in pairs])
