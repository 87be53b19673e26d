"""What definitions need besides pictures: networks by path, the reference set, a pose detector; each read once."""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from spt_dist import config, scripted
from spt_dist.models.inputs import to_float
from spt_dist.models.pose_detector import PoseDetector
from spt_dist.models.weights import CARD, load_weights
from spt_dist.protocols.joints import peaks
from spt_dist.protocols.pixels import Frame
from spt_dist.protocols.sets import Features, for_torchvision
from spt_dist.scripted import BATCH, LPIPS, POSE, TORCHVISION, Inception, MissingNetworkError, Script
from spt_dist.types import ImageBytes, Joints

REFERENCE = "training pictures"
OWN = "the run's own pose detector, which judged it in training too and flatters it"
NETWORK = "pose_detector"
FILE = f"{NETWORK}.safetensors"


class Judges:
    """The networks of an evaluation and the reference set of FID."""

    def __init__(self, settings: config.Config, run: Path, references: Callable[[], Iterable[ImageBytes]]):
        self.settings, self.run, self.references = settings, run, references
        self.features_of_references = cache(self._features_of_references)
        self.inception, self.torchvision = cache(self._inception), cache(self._torchvision)
        self.lpips, self.detector = cache(self._lpips), cache(self._detector)

    def features(self, images: Iterable[ImageBytes], key: str) -> tuple[Features, str]:
        """Features of pictures, in batches, by the network that `key` names, and what its file is."""
        network, origin = self.torchvision() if key == TORCHVISION else self.inception(Inception.FEATURES, "FID")
        prepare = for_torchvision if key == TORCHVISION else _channels_first
        with torch.no_grad():
            return torch.cat([network(prepare(batch)).flatten(1) for batch in images]), origin

    def logits(self, images: ImageBytes) -> tuple[Features, str]:
        """Logits of pictures, and what the file is."""
        network, origin = self.inception(Inception.LOGITS, "IS")
        return torch.cat([network(_channels_first(batch)) for batch in images.split(BATCH)]), origin

    def distances(self, images: Tensor, truth: Tensor) -> tuple[Tensor, str]:
        """LPIPS of pictures in [-1, 1], one by one, and what the file is."""
        network, origin = self.lpips()
        return scripted.distances(network, images, truth), origin

    def joints(self, images: ImageBytes) -> tuple[Joints, str]:
        """Where the pose detector sees joints, and which it is."""
        network, origin = self.detector()
        with torch.no_grad():
            return torch.cat([peaks(network(to_float(batch))) for batch in images.split(BATCH)]), origin

    def _features_of_references(self, frame: Frame, key: str) -> Features:
        return self.features(map(frame, self.references()), key)[0]

    def _inception(self, output: int, metric: str) -> tuple[nn.Module, str]:
        asked = self.settings.evaluation
        return scripted.load_inception(asked.inception, metric, output, asked.sha256)

    def _torchvision(self) -> Script:
        asked = self.settings.evaluation
        return scripted.load_script(asked.inception_torchvision, TORCHVISION, "FID", asked.sha256)

    def _lpips(self) -> Script:
        asked = self.settings.evaluation
        return scripted.load_script(asked.lpips, LPIPS, "LPIPS", asked.sha256)

    def _detector(self) -> Script:
        path, sha256 = self.settings.evaluation.pose_detector, self.settings.evaluation.sha256
        if not path:
            return _of_run(self.run, self.settings, OWN, sha256)
        folder = Path(path)
        if (folder / CARD).is_file():
            origin = scripted.identify(folder / FILE, POSE, "PCKh", sha256) if (folder / FILE).is_file() else ""
            networks, _ = load_weights(folder)
            if NETWORK not in networks:
                raise MissingNetworkError(f"PCKh is not computed: `{path}` holds no pose detector; give {_HOW}")
            return Script(networks[NETWORK], origin)
        if folder.is_dir():
            return _of_run(folder, config.load_run(folder), f"the pose detector of {folder.name}", sha256)
        return scripted.load_script(path, POSE, "PCKh", sha256)


def _of_run(run: Path, settings: config.Config, words: str, sha256: scripted.Hashes) -> Script:
    """The pose detector that a finished run keeps among its networks."""
    file = run / "networks" / FILE
    if not file.is_file():
        raise MissingNetworkError(
            f"PCKh is not computed: `{file}` is absent, the run has not finished; set evaluation.{POSE} to {_HOW}"
        )
    origin = scripted.identify(file, POSE, "PCKh", sha256)
    network = PoseDetector(settings.networks.pose_detector)
    try:
        network.load_state_dict(load_file(file))
    except (RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise MissingNetworkError(
            f"PCKh is not computed: `{file}` does not fit its run's configuration: {reason}; copy the run again"
        ) from None
    return Script(network.eval(), f"{words}, {origin}")


def _channels_first(images: ImageBytes) -> Tensor:
    return images.permute(0, 3, 1, 2).contiguous()


_HOW = scripted.HOW[POSE]
