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
from typing import NamedTuple

import numpy as np
import torch

from spt_dist.applications import collage, grow, paste, swap_garments, with_rim
from spt_dist.body import CLOTHING_LABELS, Label
from spt_dist.data.frame import Framed, frame, frame_joints
from spt_dist.encodings import Encoded, EncodedPerson
from spt_dist.generators import Generators, Seeds
from spt_dist.joints import Keypoints
from spt_dist.models.inputs import one_hot, to_bytes, to_float, to_labels
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
from spt_dist.types import ImageBytes, Joints, LabelBytes, Parsing

__all__ = ["EncodedPerson", "Generated", "Keypoints", "Person", "Predictor", "check", "read_keypoints", "read_person"]

POSES_PER_PASS = 8  # more would only take memory


class Generated(NamedTuple):
    """What was drawn: `image` uint8 [h, w, 3] RGB, and the parsing map it was drawn from, `labels` uint8 [h, w]."""

    image: ImageArray
    labels: LabelArray


class Predictor(Generators):
    """The trained generators, ready to draw people."""

    def generate(
        self,
        image: ImageArray,
        labels: LabelArray,
        source_joints: JointArray,
        target_joints: JointArray,
        target_size: tuple[int, int] | None = None,
        seed: int | None = None,
    ) -> Generated:
        """Draw the person of `image` with the pose of `target_joints`.

        `target_joints` are in px of a picture of `target_size` (height, width), by default the source's. `seed` is that
        of the noise that the picture is drawn with (`has_noise`), without one there is none.

        Raises:
            ValueError: an argument has the wrong shape or values; the message names it.
        """
        return self.generate_batch([image], [labels], [source_joints], [target_joints], [target_size], [seed])[0]

    def generate_batch(
        self,
        images: Sequence[ImageArray],
        labels: Sequence[LabelArray],
        source_joints: Sequence[JointArray],
        target_joints: Sequence[JointArray],
        target_sizes: Sequence[tuple[int, int] | None] | None = None,
        seeds: Seeds | None = None,
    ) -> list[Generated]:
        """`generate` for several people in one pass of the networks."""
        sizes = target_sizes or [None] * len(images)
        lengths = [len(column) for column in (images, labels, source_joints, target_joints, sizes)]
        if len(set(lengths)) > 1:
            names = "`images`, `labels`, `source_joints`, `target_joints` and `target_sizes`"
            raise ValueError(f"{names} hold {lengths} items; give as many of each, one per person")
        if not images:
            return []
        people, wanted = [], []
        for image, parsing, source, target, size in zip(
            images, labels, source_joints, target_joints, sizes, strict=True
        ):
            check(image, parsing, source, target)
            if size is not None and not (len(size) == 2 and min(size) > 0):
                raise ValueError(f"`target_size` is {size}; give (height, width) in px, both positive")
            people.append(Person(image, parsing, source))
            picture = size or (image.shape[0], image.shape[1])
            wanted.append(self.frame_target(target, picture))
        return self.draw_encoded(self.encode_people(people), wanted, seeds)

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

    def draw_encoded(
        self, encoded: Encoded, targets: Sequence[JointArray], seeds: Seeds | None = None
    ) -> list[Generated]:
        """Each encoded source in its own pose, given in the networks' frame (`frame_target`)."""
        joints = torch.from_numpy(np.stack(targets)).to(self.device)
        return _arrays(*self.decode_batch(encoded, joints, seeds=seeds))

    def poses(self, person: EncodedPerson, targets: Sequence[Keypoints], seed: int | None = None) -> list[Generated]:
        """The person in each pose, at a part of `generate`'s cost: nothing of the source is computed again.

        Raises:
            ValueError: a target is no pose, or lies outside its picture (`frame_pose`).
        """
        return self.poses_framed(person, [self.frame_pose(target) for target in targets], seed)

    def poses_framed(
        self, person: EncodedPerson, targets: Sequence[JointArray], seed: int | None = None
    ) -> list[Generated]:
        """`poses` for joints that are in the networks' frame already."""
        drawn = []
        for start in range(0, len(targets), POSES_PER_PASS):
            joints = targets[start : start + POSES_PER_PASS]
            drawn += self.draw_encoded(person.encoded.repeat(len(joints)), joints, [seed] * len(joints))
        return drawn

    def transfer(
        self,
        wearer: Person,
        giver: Person,
        labels: Collection[Label] = CLOTHING_LABELS,
        seed: int | None = None,
    ) -> Generated:
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
        texture = self._paint(self.encode_batch(*self._tensors(cloth)), swap.labels, own_joints, seed)
        painting = np.where(swap.texture[..., None], texture, self._repaint(own, swap.labels, seed))
        changed = with_rim(swap.texture | (swap.labels != own.labels), swap.labels)
        return Generated(paste(own.image, painting, changed), swap.labels)

    def edit(self, person: Person, new_labels: LabelArray, seed: int | None = None) -> Generated:
        """The person, framed, repainted where `new_labels` differs from its parsing map; other pixels are the photo's,
        but for background within `applications.RIM_PX` of a change.

        Raises:
            ValueError: the person cannot be drawn from, or `new_labels` is no parsing map of the photo's size.
        """
        check_picture(person.image, new_labels)
        own, edited = self.frame(person), self.frame(person._replace(labels=new_labels)).labels
        changed = with_rim(edited != own.labels, edited)
        return Generated(paste(own.image, self._repaint(own, edited, seed), changed), edited)

    def _tensors(self, framed: Framed) -> tuple[ImageBytes, LabelBytes, Joints]:
        image, labels, joints = (torch.from_numpy(each[None].copy()).to(self.device) for each in framed)
        return image, labels, joints

    @torch.no_grad()
    def _moved_labels(self, encoded: Encoded, joints: Joints) -> LabelArray:
        """H_S's map of the encoded person in another pose."""
        return to_labels(self._parsing(encoded, *self._wanted(encoded, joints)))[0].cpu().numpy()

    def _paint(self, encoded: Encoded, labels: LabelArray, joints: Joints, seed: int | None) -> ImageArray:
        """One encoded source, painted into a map of labels."""
        parsing = one_hot(torch.from_numpy(labels[None]).to(self.device))
        return to_bytes(self.decode_batch(encoded, joints, parsing, [seed])[0])[0].cpu().numpy()

    def _repaint(self, own: Framed, labels: LabelArray, seed: int | None) -> ImageArray:
        """The person in its own pose, painted into a changed map; what is uncovered of the background is filled in.

        H_A reads no background label and paints what the photo shows: uncovered background it cannot know.
        """
        image, old, joints = self._tensors(own)
        guess = Framed(collage(own.image, own.labels, labels), labels, own.joints)
        painting = self._paint(self.encode_batch(*self._tensors(guess)), labels, joints, seed)
        behind = to_bytes(fill_background(to_float(image), one_hot(old)))[0].cpu().numpy()
        return np.where((labels == Label.BACKGROUND)[..., None], behind, painting)


def _arrays(images: torch.Tensor, parsing: Parsing) -> list[Generated]:
    pairs = zip(to_bytes(images).cpu().numpy(), to_labels(parsing).cpu().numpy(), strict=True)
    return [Generated(*pair) for pair in pairs]
