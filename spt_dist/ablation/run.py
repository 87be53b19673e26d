"""The benchmark from people to table: what is there already is not done again.

    OUT/terms.json               what every run has in common
    OUT/people, OUT/shards       2,000 people to learn from, each with a twin for the ceilings; others to judge by
    OUT/pairs.parquet            every person's pseudo pairs, by the paper's criterion
    OUT/judges                   the parser and the pose detector that judge
    OUT/seed_N/RUN               one `spt train` each, in one process on one core; as many at a time as `jobs`
    OUT/ablation_SPLIT.json      the rows

A run that was broken off goes on from its last checkpoint, one that has weights is left alone.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from spt_kernels.proof.pages import replace_between, require_between

from spt_dist import held_out, pictures
from spt_dist.ablation import drawing, judges, scores, table, variants
from spt_dist.config import load
from spt_dist.data.importers import read_folder, splits
from spt_dist.data.pack import pack
from spt_dist.data.pairs import PseudoPairs
from spt_dist.data.pipeline import read_split
from spt_dist.data.search.people import Settings
from spt_dist.data.search.run import search
from spt_dist.data.synthetic import draw_folder
from spt_dist.infer import Predictor
from spt_dist.report import read_log

PEOPLE, HELD_OUT, PEOPLE_SEED = 2_000, 250, 0
PAIRS_EACH = 16  # pseudo labels among which training draws
Progress = Callable[[str, int, int], None]  # what, done, total


class _Drawn(NamedTuple):
    """One variant's pictures, and what its training has cost."""

    variant: str
    seed: int | None
    cost: dict[str, float]
    shown: drawing.Shown


@dataclass(frozen=True)
class Plan:
    """What the command asks for."""

    out: Path
    images: int  # of H_A's training, for every run but the timed ones
    seeds: tuple[int, ...]
    runs: tuple[str, ...]  # which rows' runs; those that they need come along
    jobs: int
    features: str  # VGG16's weights, or nothing

    @classmethod
    def of(cls, out: Path, images: int, seeds: range, only: tuple[str, ...], jobs: int, features: str) -> "Plan":
        """The plan for `only` some runs, or all behind the roots; `ValueError` for a run that does not exist."""
        if unknown := sorted(set(only) - variants.RUNS.keys()):
            raise ValueError(f"there is no run {', '.join(unknown)}; the runs are {', '.join(variants.RUNS)}")
        return cls(out, images, tuple(seeds), only or (*variants.EQUAL_IMAGES, *variants.TIMED), jobs, features)

    def rows(self, split: str) -> Path:
        """Where the scores are written."""
        return self.out / f"ablation_{split}.json"

    def folder(self, run: str, seed: int) -> Path:
        """Where a run lies."""
        return self.out / f"seed_{seed}" / run

    def shards(self) -> Path:
        """Where the people lie."""
        return self.out / "shards"

    def pairs(self) -> Path:
        """Where their pseudo pairs lie."""
        return self.out / "pairs.parquet"


def run_ablation(
    plan: Plan, split: str, pairs: int, progress: Progress, json_file: Path | None, plot: Path | None, page: Path | None
) -> None:
    """Everything, up to the files that are asked for.

    Raises:
        RuntimeError: a run failed.
        ValueError: the people cannot be packed, `page` has no place for the table, or `out` began on other terms.
    """
    if page:
        require_between(page, table.PLACE)
    _keep_terms(plan)
    make_people(plan, progress)
    make_pairs(plan, progress)
    train(plan, progress)
    rows, shown = score(plan, split, pairs, progress)
    for file in (plan.rows(split), *([json_file] if json_file else [])):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    pictures.save(shown, plot or plan.out / f"ablation_{split}.png")
    if page:
        replace_between(page, table.PLACE, table.markdown(rows))


def _keep_terms(plan: Plan) -> None:
    """Runs are compared only if they were trained on the same terms; the features' file may move."""
    file, terms = plan.out / "terms.json", {"images": plan.images, "features": _hash(plan.features)}
    if not file.exists():
        plan.out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(terms))
    if (began := json.loads(file.read_text())) != terms:
        raise ValueError(f"`{plan.out}` began with {began}, not {terms}; go on with these, or choose another `--out`")


def _hash(features: str) -> str:
    try:
        return hashlib.sha256(Path(features).read_bytes()).hexdigest() if features else ""
    except OSError as error:
        raise ValueError(
            f"cannot read the features `{features}`: {error.strerror}; give VGG16's convolutions (.npz), or leave out "
            "--features"
        ) from None


def make_people(plan: Plan, progress: Progress) -> None:
    """Draw and pack the people, once."""
    size = load(variants.OURS).data.image_size
    people = plan.out / "people"
    if (plan.shards() / "manifest.json").exists():
        return
    if not (people / "identities.csv").exists():
        shutil.rmtree(people, ignore_errors=True)  # what a broken run has left
        draw_folder(
            people, PEOPLE, size, PEOPLE_SEED, HELD_OUT, HELD_OUT, twins=True,
            progress=lambda done, total: progress("drawing people", done, total),
        )  # fmt: skip
    samples = chain.from_iterable(read_folder(people, split) for split in splits(people))
    pack(samples, plan.shards(), size, "whole")


def make_pairs(plan: Plan, progress: Progress) -> None:
    """Search the pseudo pairs, once."""

    @contextmanager
    def bars(what: str) -> Iterator[Callable[[int, int | None], None]]:
        yield lambda done, total: progress(what, done, total or 1)

    search(plan.shards(), plan.pairs(), Settings(k=PAIRS_EACH), bars=bars)


def train(plan: Plan, progress: Progress) -> None:
    """Every run that is missing: roots first, timed runs last.

    Raises:
        RuntimeError: a run failed; its log says why, and the others are kept.
    """
    wanted = variants.required(plan.runs)
    for names in (variants.ROOTS, variants.EQUAL_IMAGES, variants.TIMED):
        batch = [(name, seed) for seed in plan.seeds for name in names if name in wanted]
        missing = [(name, seed) for name, seed in batch if not (plan.folder(name, seed) / "weights/card.json").exists()]
        with ThreadPoolExecutor(plan.jobs) as pool:
            for failed in pool.map(lambda each: _train(plan, each[0], each[1], progress), missing):
                if failed:
                    pool.shutdown(cancel_futures=True)
                    raise RuntimeError(failed)


def _train(plan: Plan, name: str, seed: int, progress: Progress) -> str:
    """One `spt train`; gives what went wrong, or nothing."""
    run, folder = variants.RUNS[name], plan.folder(name, seed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    words = [str(Path(sys.executable).with_name("spt")), "train", run.config, "-o", str(folder), "--launcher", "local"]
    words += ["--resume"] if (folder / "config.json").exists() else []
    for key, value in _settings(plan, run, seed).items():
        words += ["--set", f"{key}={_toml(value)}"]
    output = folder.parent / f"{name}.txt"
    with output.open("a") as file:
        process = subprocess.Popen(
            words, stdout=file, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        what = f"seed {seed}, {name}"
        while True:
            try:
                code = process.wait(timeout=2)
                break
            except subprocess.TimeoutExpired:
                progress(what, *_seen(folder))
    progress(what, 1, 1)
    return f"`{name}` with seed {seed} failed: `{output}` says why" if code else ""


def _settings(plan: Plan, run: variants.Run, seed: int) -> Mapping[str, object]:
    start = {network: str(plan.folder(root, seed)) for network, root in run.start.items()}
    return run.settings(_images(plan, run, seed)) | {
        "data.shards": str(plan.shards()),
        "data.pseudo_pairs": "" if run.overrides.get("data.true_targets") else str(plan.pairs()),
        "networks.features.weights": plan.features,
        "train.seed": seed,
        "train.start_from": start,
    }


def _images(plan: Plan, run: variants.Run, seed: int) -> int:
    """H_A's images: the plan's, or as many as fit into the time of our preset at the measured pace."""
    if not run.times:
        return plan.images
    seconds, own = (_cost(plan, name, seed)["cpu_seconds"] for name in (variants.TIMED_LIKE, run.times))
    return round(plan.images * seconds / own)


def _toml(value: object) -> str:
    """A value as TOML spells it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


def _seen(folder: Path) -> tuple[int, int]:
    """How many images a run has seen, and how many it will see."""
    try:
        stages = json.loads((folder / "config.json").read_text())["stages"].values()
        log = read_log(folder / "log.jsonl")
    except OSError:
        return 0, 1
    return (log[-1]["all_images"] if log else 0), max(1, sum(stage["images"] for stage in stages))


def score(plan: Plan, split: str, pairs_count: int, progress: Progress) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Every row's scores on `split`, and the first people as every variant draws them.

    A row of scores is `{variant, seed, images, cpu_seconds, stratum, metric, value}`; references have no seed.
    """
    pairs = list(islice(held_out.make_pairs(list(read_split(plan.shards(), split))), pairs_count))
    test, strata = drawing.Test.of(pairs), [scores.stratum(pair) for pair in pairs]
    size = (test.source.labels.shape[1], test.source.labels.shape[2])
    judging = judges.load_or_train(plan.out / "judges", size, lambda d, t: progress("training the judges", d, t))
    rows: list[dict[str, Any]] = []
    columns: dict[str, drawing.Shown] = {}
    drawn = list(_draw_all(plan, test, progress))
    for number, (variant, seed, cost, shown) in enumerate(drawn, start=1):
        columns.setdefault(variant, shown)
        found = scores.score(shown.images, shown.labels, test.target, strata, judging)
        about = {"variant": variant, "seed": seed} | cost
        rows += [about | {"stratum": s, "metric": m, "value": round(v, 5)} for (s, m), v in found.items() if v == v]
        progress("scoring", number, len(drawn))
    return rows, table.picture(test, {name: columns[name] for name in table.PICTURED if name in columns}, strata)


def _draw_all(plan: Plan, test: drawing.Test, progress: Progress) -> Iterator[_Drawn]:
    """Every variant's pictures, references first."""
    for name, shown in drawing.references(test).items():
        yield _Drawn(name, None, {"images": 0, "cpu_seconds": 0.0}, shown)
    pseudo_pairs = PseudoPairs.from_shards(plan.shards(), "train")
    finished = [
        (row, seed)
        for row in variants.ROWS
        for seed in plan.seeds
        if (plan.folder(row.run, seed) / "weights/card.json").exists()
    ]
    for number, (row, seed) in enumerate(finished, start=1):
        predictor = Predictor.load(plan.folder(row.run, seed) / "weights")
        shown = drawing.draw(predictor, test, row.maps, pseudo_pairs)
        yield _Drawn(row.title, seed, _cost(plan, row.run, seed), shown)
        if row in variants.FLAT_ROWS:
            root = variants.RUNS[row.run].start["semantic"]
            yield _Drawn(variants.FLAT_ROWS[row], seed, _cost(plan, root, seed), drawing.flat_in(shown, test))
        progress("drawing", number, len(finished))


def _cost(plan: Plan, run: str, seed: int) -> dict[str, float]:
    """Images and CPU seconds of a run's own training, its roots left out."""
    log = read_log(plan.folder(run, seed) / "log.jsonl")
    return {"images": log[-1]["all_images"], "cpu_seconds": round(sum(line["cpu_seconds"] for line in log), 1)}
