"""The networks' part of a run's configuration; `config` gives these classes on as its own."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, PositiveFloat
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid")
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]
Widths = Annotated[tuple[Count, ...], Field(min_length=2)]


@dataclass(frozen=True, config=STRICT)
class Semantic:
    """H_S, the semantic generator."""

    widths: Widths = (64, 128, 256, 512, 512, 512)
    warped_input: bool = False  # our own: the part-warped source parsing as a further input
    label_weights: dict[str, Weight] = field(default_factory=dict)  # cross-entropy weight by label name, default 1


@dataclass(frozen=True, config=STRICT)
class Appearance:
    """H_A, the appearance generator."""

    widths: Widths = (64, 128, 256, 512, 512, 512)
    local_enhancer: bool = False  # coarse to fine: the global network at half size, then the local one
    dropout: Fraction = 0.5
    warped_levels: Count = 4
    smooth_parsing: bool = False  # our own: H_S's logits averaged over 3x3 px, which leaves no single wrong pixels
    reads_parsing: bool = True  # False: the paper's baseline without parsing maps
    flat_colour_input: bool = False  # our own: each region's mean source colour, painted into the target parsing
    blend: tuple[
        Literal["flat", "warped", "background"], ...
    ] = ()  # our own: pictures that the head mixes with its own, per pixel
    max_stretch: Annotated[float, Field(ge=1)] | None = None  # our own: bound on a part transform's scale


@dataclass(frozen=True, config=STRICT)
class Discriminator:
    """One patch discriminator's shape; image, face and parsing discriminators share it."""

    widths: Widths = (64, 128, 256, 512)
    maps: Literal["soft", "hard", "none"] = "soft"  # H_S's map beside a drawn picture; our own: hard, or no map at all


@dataclass(frozen=True, config=STRICT)
class PoseDetector:
    """The pose detector whose frozen heat maps the pose loss compares."""

    width: Count = 64
    blocks: Count = 9


@dataclass(frozen=True, config=STRICT)
class PerceptualFeatures:
    """The frozen relu2_1 features of the content and style losses."""

    weights: str = ""  # .npz with torchvision's names; empty: a seeded random network, with a warning
    normalise: bool = False  # our own: features scaled to mean square 1, Gram divided by the region's area
    style: Literal["semantic", "masked", "global", "patch"] = "semantic"  # where Gram matrices are compared


@dataclass(frozen=True, config=STRICT)
class Annotator:
    """Our own: the network that finds joints and parsing map in a photo; it learns from random windows of pictures."""

    size: tuple[Count, Count] = (96, 64)  # height, width of a window in px; heat maps are `data.heatmap_sigma_px` wide
    widths: Annotated[tuple[Count, ...], Field(min_length=3)] = (16, 32, 64, 96, 160)
    blocks: Annotated[int, Field(ge=0)] = 2  # residual blocks on each of the two smallest maps
    label_weights: dict[str, Weight] = field(default_factory=dict)  # cross-entropy weight by label name, default 1
    scales: tuple[PositiveFloat, PositiveFloat] = (0.4, 1.3)  # of the person's frame in a window


@dataclass(frozen=True, config=STRICT)
class Networks:
    """The networks of a run."""

    semantic: Semantic = field(default_factory=Semantic)
    appearance: Appearance = field(default_factory=Appearance)
    discriminator: Discriminator = field(default_factory=Discriminator)
    pose_detector: PoseDetector = field(default_factory=PoseDetector)
    features: PerceptualFeatures = field(default_factory=PerceptualFeatures)
    annotator: Annotator | None = None  # a run that has one trains nothing else

    @property
    def image_discriminator_reads_parsing(self) -> bool:
        """Whether pictures are judged together with their parsing maps."""
        return self.appearance.reads_parsing and self.discriminator.maps != "none"
