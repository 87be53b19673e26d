"""The configuration of a run: one frozen dataclass per component, TOML in, TOML out.

Defaults are the paper's. `load` reads a file and `key=value` overrides; an unknown key, a wrong type or a value out of
range is a `ConfigError` that names the key's full path. The resolved configuration is saved with every checkpoint.
"""

import json
import tomllib
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from spt_dist.config_networks import STRICT, Count, Fraction, Weight
from spt_dist.config_networks import Annotator as Annotator
from spt_dist.config_networks import Appearance as Appearance
from spt_dist.config_networks import Discriminator as Discriminator
from spt_dist.config_networks import Networks as Networks
from spt_dist.config_networks import PerceptualFeatures as PerceptualFeatures
from spt_dist.config_networks import PoseDetector as PoseDetector
from spt_dist.config_networks import Semantic as Semantic


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key and says what to do."""


@dataclass(frozen=True, config=STRICT)
class Data:
    """Where the samples come from and how they are read."""

    shards: str = "shards"
    image_size: tuple[Count, Count] = (256, 256)  # height, width in px
    reader: Literal["auto", "dali", "webdataset"] = "auto"
    batch: Count = 4  # over all workers and accumulation steps together
    flip: bool = True
    heatmap_sigma_px: Annotated[float, Field(gt=0)] = 6.0
    shuffle_buffer: Count = 1024  # samples
    max_lost: Fraction = 0.01  # of a split: what may become unreadable in a run before it stops; one sample always may
    pseudo_pairs: str = ""  # the index that `spt pairs` wrote; empty: the online nearest-pose search
    true_targets: bool = False  # learn from the person's other picture (split `twin`): the ceiling, no longer unpaired


@dataclass(frozen=True, config=STRICT)
class LossWeights:
    """Weights of the loss terms, the paper's by default; a term of weight 0 is not computed."""

    parsing: Weight = 1.0  # cross-entropy of H_S against its pseudo label
    parsing_adversarial: Weight = 1.0
    adversarial: Weight = 1.0
    face: Weight = 1.0
    pose: Weight = 700.0
    content: Weight = 0.03
    style: Weight = 1.0
    region_colour: Weight = 0.0  # our own: L1 between mean colours per region
    reconstruction: Weight = 0.0  # our own: L1 between A^ and A; wants a warm-up, or colours come back inverted


@dataclass(frozen=True, config=STRICT)
class Stage:
    """One stage of the curriculum."""

    images: Annotated[int, Field(ge=0)] = 0  # samples seen, over all workers; 0 skips the stage
    learning_rate: Weight = 2e-4
    discriminator_learning_rate: Weight = 2e-4
    decay: Fraction = 0.0  # the last fraction of the stage, over which the learning rates fall linearly to 0
    fade_in: tuple[Fraction, Fraction] = (0.0, 0.0)  # fractions of the stage between which alpha goes from 0 to 1
    warm_up: Fraction = 0.0  # our own: the first fraction of the stage, in which the target pose is the source's own


@dataclass(frozen=True, config=STRICT)
class Stages:
    """The curriculum, in order."""

    pose: Stage = field(default_factory=Stage)
    semantic: Stage = field(default_factory=Stage)
    appearance: Stage = field(default_factory=Stage)
    end_to_end: Stage = field(default_factory=Stage)
    annotator: Stage = field(default_factory=Stage)  # a run of its own: with `networks.annotator`, without the others


@dataclass(frozen=True, config=STRICT)
class Train:
    """How the loop runs."""

    workers: Count = 1
    min_workers: Annotated[int, Field(ge=0)] = 0  # a run goes on with as few, until there is room again; 0: `workers`
    use_gpu: bool = False
    zero_stage: Literal[0, 1, 2, 3] = 1
    precision: Literal["fp32", "bf16"] = "fp32"  # of the networks' forwards and backwards; weights and losses are fp32
    accumulate: Count = 1  # micro-batches per step
    clip: Weight = 0.0  # gradient norm; 0 does not clip
    betas: tuple[Fraction, Fraction] = (0.5, 0.999)
    ema_half_life_imgs: Weight = 10_000.0
    seed: int = 0
    start_from: dict[str, str] = field(default_factory=dict)  # network -> the finished run that it is taken from
    report_every_imgs: Count = 1_000
    picture_every_imgs: Count = 10_000
    evaluate_every_imgs: Annotated[int, Field(ge=0)] = 0  # score the averages on the validation split; 0: never
    best_metric: str = "masked SSIM"  # which of those scores decides what `weights-best` holds
    checkpoint_every_imgs: Count = 50_000
    keep_checkpoints: Count = 2  # the last ones
    keep_best: Annotated[int, Field(ge=0)] = 0  # and the best ones by `best_metric`
    mirror: str = ""  # where checkpoints and logs are copied, s3://bucket/folder; "" is nowhere
    stall_s: Weight = 600.0  # a step that takes longer is a stall: the workers say who, and start again; 0: never
    max_failures: Annotated[int, Field(ge=0)] = 3  # restarts of a failed worker group, each from the last checkpoint


@dataclass(frozen=True, config=STRICT)
class Evaluation:
    """What is scored, and with which networks."""

    pairs: Count = 500
    validation_pairs: Count = 32  # of the validation split, the same ones each time, while a run trains
    failures: Annotated[int, Field(ge=0)] = 6  # the worst pairs, which the report shows with the reason
    inception: str = ""  # TorchScript file, for FID and IS
    inception_torchvision: str = ""  # TorchScript file, for the FID of two protocols
    lpips: str = ""  # TorchScript file, for LPIPS
    pose_detector: str = ""  # a folder of weights or a TorchScript file, for PCKh; without one the run's own
    sha256: dict[str, str] = field(default_factory=dict)  # of these files, by their key; another is refused
    references: Annotated[int, Field(ge=0)] = 0  # training pictures that FID compares with; 0: all


@dataclass(frozen=True, config=STRICT)
class Serve:
    """The endpoint."""

    weights: Literal["last", "best"] = "last"  # of the run
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    max_batch: Count = 4
    batch_wait_s: Weight = 0.02
    min_replicas: Annotated[int, Field(ge=0)] = 1
    max_replicas: Count = 2
    target_ongoing_requests: Weight = 4.0
    max_ongoing_requests: Count = 16  # batches in reserve: Serve looks for room in a replica only every half second
    max_queued_requests: Count = 64
    upscale_delay_s: Weight = 5.0  # Ray Serve's own 30 s is longer than most bursts
    downscale_delay_s: Weight = 60.0  # and its 600 s keeps a second copy of the networks for ten minutes
    cache_bytes: Annotated[int, Field(ge=0)] = 256_000_000  # of encoded sources that a replica keeps; 0: none
    compile: bool = False  # the networks, batch size by batch size when a model loads; on a GPU into CUDA graphs
    models_per_replica: Count = 4  # kept loaded; of more the one that was asked for least recently goes
    follow_s: Weight = 5.0  # how often new weights in a run's folder are looked for; 0: never
    deadline_s: Annotated[float, Field(gt=0)] = 30.0  # of a request, from arrival to picture, unless it asks for less
    max_upload_bytes: Count = 8_000_000
    max_pixels: Count = 4_000_000
    max_poses: Count = 64  # of one request to /v1/poses
    annotator: str = "box"  # of raw photos: `box`, the TOML of one's own models (docs/annotate.md), or `off`
    keys: str = ""  # a key file of `spt keys`; without one everybody who reaches the port may ask
    provenance: Literal["c2pa", "text", "off"] = "c2pa"  # what pictures say of themselves: `spt verify` reads it
    identity: str = ""  # a folder with `chain.pem` and `key.pem` to sign by, made where there is none
    log: str = ""  # a file of JSON lines; without one standard error of the replicas
    traces: str = ""  # a collector of OpenTelemetry, such as http://127.0.0.1:4318/v1/traces; without one no traces
    cpus_per_replica: Weight = 1.0
    gpus_per_replica: Weight = 0.0


@dataclass(frozen=True, config=STRICT)
class Config:
    """A whole run."""

    data: Data = field(default_factory=Data)
    networks: Networks = field(default_factory=Networks)
    losses: LossWeights = field(default_factory=LossWeights)
    stages: Stages = field(default_factory=Stages)
    train: Train = field(default_factory=Train)
    evaluation: Evaluation = field(default_factory=Evaluation)
    serve: Serve = field(default_factory=Serve)


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> Config:
    """Read a TOML file and apply `section.key=value` overrides.

    Raises:
        ConfigError: the file is missing or not TOML, or a key is unknown or holds an unusable value.
    """
    try:
        tree = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"cannot read the config `{path}`: {error.strerror}; `configs/` holds working ones") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"`{path}` is not valid TOML: {error}") from None
    for override in overrides:
        _apply(tree, override)
    return from_tree(tree, source=str(path))


def load_run(run: Path, overrides: tuple[str, ...] = ()) -> Config:
    """The resolved configuration that a run saved, with overrides; raises `ConfigError` as `load` does."""
    path = run / "config.json"
    try:
        tree = json.loads(path.read_text())
    except OSError:
        words = f"`{run}` is not a run: it has no config.json; `spt train CONFIG -o {run}` makes one"
        raise ConfigError(words) from None
    for override in overrides:
        _apply(tree, override)
    return from_tree(tree, source=str(path))


def from_tree(tree: dict[str, Any], source: str = "config") -> Config:
    """The configuration that nested dictionaries spell; raises `ConfigError` as `load` does."""
    try:
        return TypeAdapter(Config).validate_python(tree)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise ConfigError(f"`{source}` has {len(lines)} problem(s):\n  " + "\n  ".join(lines)) from None


def to_tree(config: Config) -> dict[str, Any]:
    """The resolved configuration as nested dictionaries that JSON can hold; `from_tree` reads it back."""
    return asdict(config)


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "unexpected_keyword_argument":
        return f"`{key}` is not a key of this version; remove it or correct its spelling"
    return f"`{key}` = {problem['input']!r}: {problem['msg']}"


def _apply(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise ConfigError(f"`--set {override}` has no `=`; write `--set train.seed=1`")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    *sections, name = key.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"`--set {override}`: `{section}` is a value, not a section")
    tree[name] = value
