"""Inference: one person, one photo, any pose.

    predictor = Predictor.load()  # the model in the box; or the weights of a run, "runs/demo/weights"
    person = read_person("photo.jpg", "photo.json", "parsing.png")
    wanted = read_keypoints("pose.json")
    drawn = predictor.generate(*person, wanted.joints, wanted.size)
    pictures.save(drawn.image, "out.png")

Pictures of any size are framed as the training data was (the card says how), drawn at the networks' size, and given
back at that size with the parsing map that H_S predicted.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import nn

from spt_dist import box, config
from spt_dist.applications import collage, grow, paste, swap_garments, with_rim
from spt_dist.body import CLOTHING_LABELS, Label
from spt_dist.data.frame import Framed, FrameRule, frame, frame_joints
from spt_dist.encodings import Encoded, EncodedPerson
from spt_dist.geometry import PartWarps, heatmaps, part_warps
from spt_dist.joints import Keypoints
from spt_dist.models.appearance import AppearanceGenerator
from spt_dist.models.blocks import prepare
from spt_dist.models.inputs import one_hot, parsing_to_read, to_bytes, to_float, to_labels, view
from spt_dist.models.semantic import SemanticGenerator
from spt_dist.models.weights import load_weights
from spt_dist.person import (
    ImageArray,
    JointArray,
    LabelArray,
    Person,
    check,
    check_joints,
    check_picture,
    read_keypoints,
    read_person,
)
from spt_dist.regions import fill_background
from spt_dist.types import Heatmaps, ImageBytes, Joints, LabelBytes, Parsing

__all__ = ["EncodedPerson", "Generated", "Keypoints", "Person", "Predictor", "check", "read_keypoints", "read_person"]

POSES_PER_PASS = 8  # more would only take memory


class Generated(NamedTuple):
    """What was drawn: `image` uint8 [h, w, 3] RGB, and the parsing map it was drawn from, `labels` uint8 [h, w]."""

    image: ImageArray
    labels: LabelArray


class Predictor:
    """The trained generators, ready to draw."""

    def __init__(self, semantic: nn.Module, appearance: nn.Module, settings: config.Config, how: FrameRule = "person"):
        self.semantic = cast(SemanticGenerator, semantic.eval())
        self.appearance = cast(AppearanceGenerator, appearance.eval())
        self.settings = settings
        self.how: FrameRule = how
        self.size = settings.data.image_size
        self.device = next(appearance.parameters()).device
        self.compiled = False

    @classmethod
    def load(cls, folder: str | Path = box.WEIGHTS, device: str = "cpu") -> "Predictor":
        """Read the `weights` folder of a run; by default the model in the box.

        Raises:
            ValueError: it lacks a generator, or its files do not fit its card.
        """
        modules, card = load_weights(folder)
        if missing := {"semantic", "appearance"} - modules.keys():
            raise ValueError(f"`{folder}` lacks the weights of {sorted(missing)}; train both generators first")
        settings = config.from_tree(card["config"], source=f"{folder}/card.json")
        semantic, appearance = (prepare(modules[name].to(device)) for name in ("semantic", "appearance"))
        return cls(semantic, appearance, settings, card.get("frame", "person"))

    def at(self, size: tuple[int, int]) -> "Predictor":
        """The same networks for pictures of another size (height, width), heat maps as wide in px as before."""
        settings = replace(self.settings, data=replace(self.settings.data, image_size=size))
        return Predictor(self.semantic, self.appearance, settings, self.how)

    def compile(self) -> None:
        """Let Inductor compile both generators, on a GPU into CUDA graphs; the first of every batch size waits for it.

        On processors eager is as fast (results/serve_speed.json); on GPUs the gain is unmeasured.
        """
        mode = "reduce-overhead" if self.device.type == "cuda" else None
        for network in (self.semantic, self.appearance):
            for half in ("encode_source", "decode"):
                setattr(network, half, torch.compile(getattr(network, half), mode=mode, dynamic=False))
        self.compiled = True

    def generate(
        self,
        image: ImageArray,
        labels: LabelArray,
        source_joints: JointArray,
        target_joints: JointArray,
        target_size: tuple[int, int] | None = None,
    ) -> Generated:
        """Draw the person of `image` with the pose of `target_joints`.

        `target_joints` are in px of a picture of `target_size` (height, width), by default the source's.

        Raises:
            ValueError: an argument has the wrong shape or values; the message names it.
        """
        return self.generate_batch([image], [labels], [source_joints], [target_joints], [target_size])[0]

    def generate_batch(
        self,
        images: Sequence[ImageArray],
        labels: Sequence[LabelArray],
        source_joints: Sequence[JointArray],
        target_joints: Sequence[JointArray],
        target_sizes: Sequence[tuple[int, int] | None] | None = None,
    ) -> list[Generated]:
        """`generate` for several people in one pass of the networks."""
        sizes = target_sizes or [None] * len(images)
        lengths = [len(column) for column in (images, labels, source_joints, target_joints, sizes)]
        if len(set(lengths)) > 1:
            names = "`images`, `labels`, `source_joints`, `target_joints` and `target_sizes`"
            raise ValueError(f"{names} hold {lengths} items; give as many of each, one per person")
        if not images:
            return []
        framed, wanted = [], []
        for image, parsing, source, target, size in zip(
            images, labels, source_joints, target_joints, sizes, strict=True
        ):
            check(image, parsing, source, target)
            if size is not None and not (len(size) == 2 and min(size) > 0):
                raise ValueError(f"`target_size` is {size}; give (height, width) in px, both positive")
            framed.append(frame(image, parsing, np.asarray(source, np.float32), self.size, self.how))
            picture = size or (image.shape[0], image.shape[1])
            wanted.append(self.frame_target(target, picture))
        columns = [*zip(*framed, strict=True), tuple(wanted)]
        source_image, source_labels, source, target = (torch.from_numpy(np.stack(c)).to(self.device) for c in columns)
        return _arrays(*self.draw(source_image, source_labels, source, target))

    def frame(self, person: Person) -> Framed:
        """The person as the networks see it; `ValueError` when it cannot be drawn from."""
        check_picture(person.image, person.labels)
        check_joints("joints", person.joints)
        return frame(person.image, person.labels, np.asarray(person.joints, np.float32), self.size, self.how)

    def frame_pose(self, pose: Keypoints) -> JointArray:
        """The pose in the networks' frame; without a size it refers to a picture of the networks' size.

        Raises:
            ValueError: it is no pose, or lies outside its picture.
        """
        check_joints("pose", pose.joints)
        return self.frame_target(pose.joints, pose.size or self.size)

    def frame_target(self, joints: JointArray, picture: tuple[int, int]) -> JointArray:
        """The wanted joints in the networks' frame; `ValueError` when none of them is left in it."""
        framed = frame_joints(np.asarray(joints, np.float32), picture, self.size, self.how)
        if not framed[:, 2].any():
            raise ValueError(f"`target_joints` has no joint inside its picture of {picture} px; give `target_size`")
        return framed

    def encode(self, person: Person) -> EncodedPerson:
        """Encode a person once, for `poses`; `ValueError` when it cannot be drawn from."""
        framed = self.frame(person)
        return EncodedPerson(framed, self.encode_batch(*self._tensors(framed)))

    def encode_people(self, people: Sequence[Person]) -> Encoded:
        """Encode people together, for `draw_encoded`; `ValueError` when one cannot be drawn from."""
        columns = zip(*(self.frame(person) for person in people), strict=True)
        images, labels, joints = (torch.from_numpy(np.stack(column)).to(self.device) for column in columns)
        return self.encode_batch(images, labels, joints)

    def draw_encoded(self, encoded: Encoded, targets: Sequence[JointArray]) -> list[Generated]:
        """Each encoded source in its own pose, given in the networks' frame (`frame_target`)."""
        joints = torch.from_numpy(np.stack(targets)).to(self.device)
        return _arrays(*self.decode_batch(encoded, joints))

    def poses(self, person: EncodedPerson, targets: Sequence[Keypoints]) -> list[Generated]:
        """The person in each pose, at a part of `generate`'s cost: nothing of the source is computed again.

        Raises:
            ValueError: a target is no pose, or lies outside its picture (`frame_pose`).
        """
        return self.poses_framed(person, [self.frame_pose(target) for target in targets])

    def poses_framed(self, person: EncodedPerson, targets: Sequence[JointArray]) -> list[Generated]:
        """`poses` for joints that are in the networks' frame already."""
        drawn = []
        for start in range(0, len(targets), POSES_PER_PASS):
            joints = targets[start : start + POSES_PER_PASS]
            drawn += self.draw_encoded(person.encoded.repeat(len(joints)), joints)
        return drawn

    def transfer(self, wearer: Person, giver: Person, labels: Collection[Label] = CLOTHING_LABELS) -> Generated:
        """The wearer, framed, with the giver's texture in the regions of `labels`; all other pixels are the photo's.

        Background within `applications.RIM_PX` of a region, mixed with the old cloth in the photo, is repainted too.
        Garments of another kind than the wearer's also bring their shape (`applications.swap_garments`).

        Raises:
            ValueError: a person cannot be drawn from, or there is nothing to transfer.
        """
        own, other = self.frame(wearer), self.frame(giver)
        own_joints, other_encoded = self._tensors(own)[2], self.encode_batch(*self._tensors(other))
        moved = self._moved_labels(other_encoded, own_joints)
        swap = swap_garments(own.labels, other.labels, moved, labels)
        cloth = other._replace(image=grow(other.image, np.isin(other.labels, sorted(labels))))
        texture = self._paint(self.encode_batch(*self._tensors(cloth)), swap.labels, own_joints)
        painting = np.where(swap.texture[..., None], texture, self._repaint(own, swap.labels))
        changed = with_rim(swap.texture | (swap.labels != own.labels), swap.labels)
        return Generated(paste(own.image, painting, changed), swap.labels)

    def edit(self, person: Person, new_labels: LabelArray) -> Generated:
        """The person, framed, repainted where `new_labels` differs from its parsing map; other pixels are the photo's,
        but for background within `applications.RIM_PX` of a change.

        Raises:
            ValueError: the person cannot be drawn from, or `new_labels` is no parsing map of the photo's size.
        """
        check_picture(person.image, new_labels)
        own, edited = self.frame(person), self.frame(person._replace(labels=new_labels)).labels
        changed = with_rim(edited != own.labels, edited)
        return Generated(paste(own.image, self._repaint(own, edited), changed), edited)

    def draw(
        self, images: ImageBytes, labels: LabelBytes, source_joints: Joints, target_joints: Joints
    ) -> tuple[torch.Tensor, Parsing]:
        """Framed batches on the device -> images [b 3 h w] in [-1, 1], and H_S's soft parsing [b 10 h w]."""
        return self.decode_batch(self.encode_batch(images, labels, source_joints), target_joints)

    @torch.no_grad()
    def encode_batch(self, images: ImageBytes, labels: LabelBytes, joints: Joints) -> Encoded:
        """Framed sources on the device -> what `decode_batch` needs of them, whatever the poses."""
        source = view(images, labels, joints, self.settings.data.heatmap_sigma_px)
        appearance = self.appearance.encode_source(source.image, source.parsing, source.heatmaps)
        encoded = Encoded(joints, self.semantic.encode_source(source.maps), appearance)
        return encoded.clone() if self.compiled else encoded  # a CUDA graph writes over what it gave before

    @torch.no_grad()
    def decode_batch(
        self, encoded: Encoded, target_joints: Joints, parsing: Parsing | None = None
    ) -> tuple[torch.Tensor, Parsing]:
        """Encoded sources in one pose each, painted into `parsing` where it is given, else into what H_S draws."""
        maps, warps = self._wanted(encoded, target_joints)
        if parsing is None:
            parsing = self._parsing(encoded, maps, warps)
        return self.appearance.decode(encoded.source, parsing, maps, warps), parsing

    def _wanted(self, encoded: Encoded, joints: Joints) -> tuple[Heatmaps, PartWarps]:
        """A pose as the generators read it: heat maps, and where each part comes from."""
        maps = heatmaps(joints, self.size, self.settings.data.heatmap_sigma_px)
        return maps, part_warps(joints, encoded.joints, self.size, self.settings.networks.appearance.max_stretch)

    def _parsing(self, encoded: Encoded, maps: Heatmaps, warps: PartWarps) -> Parsing:
        logits = self.semantic.decode(encoded.maps, maps, warps)
        return parsing_to_read(logits, self.settings.networks.appearance.smooth_parsing)

    def _tensors(self, framed: Framed) -> tuple[ImageBytes, LabelBytes, Joints]:
        image, labels, joints = (torch.from_numpy(each[None].copy()).to(self.device) for each in framed)
        return image, labels, joints

    @torch.no_grad()
    def _moved_labels(self, encoded: Encoded, joints: Joints) -> LabelArray:
        """H_S's map of the encoded person in another pose."""
        return to_labels(self._parsing(encoded, *self._wanted(encoded, joints)))[0].cpu().numpy()

    def _paint(self, encoded: Encoded, labels: LabelArray, joints: Joints) -> ImageArray:
        """One encoded source, painted into a map of labels."""
        parsing = one_hot(torch.from_numpy(labels[None]).to(self.device))
        return to_bytes(self.decode_batch(encoded, joints, parsing)[0])[0].cpu().numpy()

    def _repaint(self, own: Framed, labels: LabelArray) -> ImageArray:
        """The person in its own pose, painted into a changed map; what is uncovered of the background is filled in.

        H_A reads no background label and paints what the photo shows: uncovered background it cannot know.
        """
        image, old, joints = self._tensors(own)
        guess = Framed(collage(own.image, own.labels, labels), labels, own.joints)
        painting = self._paint(self.encode_batch(*self._tensors(guess)), labels, joints)
        behind = to_bytes(fill_background(to_float(image), one_hot(old)))[0].cpu().numpy()
        return np.where((labels == Label.BACKGROUND)[..., None], behind, painting)


def _arrays(images: torch.Tensor, parsing: Parsing) -> list[Generated]:
    pairs = zip(to_bytes(images).cpu().numpy(), to_labels(parsing).cpu().numpy(), strict=True)
    return [Generated(*pair) for pair in pairs]
