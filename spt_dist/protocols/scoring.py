"""Protocols side by side: every definition that can be computed, and for every other the reason why not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from spt_dist.protocols.definition import (
    LEVEL,
    RESAMPLES,
    Case,
    Definition,
    Interval,
    Statistic,
    UndefinedError,
    interval,
)
from spt_dist.protocols.judges import Judges
from spt_dist.protocols.table import PROTOCOLS
from spt_dist.scripted import HOW, MissingNetworkError

EVERY = "all"
BOOTSTRAP = (
    f"{LEVEL:.0%} percentile interval from {RESAMPLES:,} seeded resamples of the pairs (of the pictures, for FID and "
    f"IS; there moved back by the resamples' mean distance from the number: repeated pictures raise FID and lower IS)"
)


@dataclass(frozen=True)
class Scored:
    """A number by a protocol: whose, with its interval, its definition, and over how many pictures."""

    protocol: str
    metric: str
    variant: str
    value: float
    low: float
    high: float
    n: int
    against: str
    better: str
    definition: str


@dataclass(frozen=True)
class Missing:
    """What a protocol asks for and was not computed."""

    protocol: str
    metric: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What protocols gave."""

    rows: list[Scored] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)


def chosen(names: Sequence[str]) -> list[str]:
    """Protocols by name, each once, `all` for every one; an unknown name is a `ValueError`."""
    unknown = sorted(set(names) - {*PROTOCOLS, EVERY})
    if unknown:
        raise ValueError(f"there is no protocol `{unknown[0]}`; give {', '.join(PROTOCOLS)} or {EVERY}")
    return list(PROTOCOLS) if EVERY in names else list(dict.fromkeys(names))


def score_protocols(
    names: Sequence[str],
    variants: Mapping[str, Case],
    generated: str,
    real: str,
    judges: Judges,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Every definition: by pair for each of `variants`, else for what is generated and the real pictures.

    `progress(done, total)` counts resamples: the bootstrap of FID takes longer than all the rest.
    """
    outcome = Outcome()
    asked = [(name, definition) for name in names for definition in PROTOCOLS[name].metrics]
    total = RESAMPLES * sum(len(variants) if definition.by_pair else 2 for _, definition in asked)
    done = 0
    own = variants[generated]
    cases = {**variants, real: Case(own.truth, own.truth, own.joints)}

    @cache  # protocols share definitions
    def estimate(definition: Definition, variant: str) -> tuple[Statistic, Interval]:
        statistic = definition.compute(cases[variant], judges)
        before = done
        return statistic, interval(statistic, progress=lambda resamples: progress(before + resamples, total))

    for name, definition in asked:
        scored, found = list(variants) if definition.by_pair else [generated, real], []
        try:
            for variant in scored:
                found.append((variant, *estimate(definition, variant)))
                done += RESAMPLES
            outcome.rows.extend(_row(name, definition, *each) for each in found)
        except (MissingNetworkError, UndefinedError) as error:
            outcome.missing.append(Missing(name, definition.name, str(error)))
        except RuntimeError as error:
            if not definition.needs:
                raise
            outcome.missing.append(Missing(name, definition.name, _failed(definition, error)))
        done += RESAMPLES * (len(scored) - len(found))
        progress(done, total)
    return outcome


def _row(protocol: str, definition: Definition, variant: str, statistic: Statistic, found: Interval) -> Scored:
    words = definition.words + (f" [{statistic.origin}]" if statistic.origin else "")
    return Scored(protocol, definition.name, variant, *found, statistic.n, statistic.against, definition.better, words)


def _failed(definition: Definition, error: RuntimeError) -> str:
    """A file that is TorchScript, but not the network that was asked for."""
    reason = str(error).strip().splitlines()[-1]
    key = definition.needs
    return f"{definition.name} is not computed: evaluation.{key} failed: {reason}; give {HOW[key]}"


def show(outcome: Outcome, generated: str) -> None:
    """Print the protocols side by side, then each number beside its definition, then what was not computed."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, rows = Console(), outcome.rows
    metrics = list(dict.fromkeys(row.metric for row in rows))
    side = Table(title=f"{generated}, by protocol; one name, several definitions", title_justify="left")
    for heading in ("", *metrics):
        side.add_column(heading, justify="right" if heading else "left")
    values = {(row.protocol, row.metric): row.value for row in rows if row.variant == generated}
    for protocol in dict.fromkeys(row.protocol for row in rows):
        found = (values.get((protocol, metric)) for metric in metrics)
        side.add_row(protocol, *("-" if value is None else f"{value:.3f}" for value in found))
    console.print(side)
    defined = Table(title=BOOTSTRAP, title_justify="left", show_lines=True)
    for heading in ("protocol", "metric", "scores", "definition"):
        defined.add_column(heading, overflow="fold", no_wrap=heading == "scores")
    for metric, definition in dict.fromkeys((row.metric, row.definition) for row in rows):
        alike = [row for row in rows if (row.metric, row.definition) == (metric, definition)]
        protocols = "\n".join(dict.fromkeys(row.protocol for row in alike))
        first = alike[0]
        own = [row for row in alike if row.protocol == first.protocol]
        scores = "\n".join(f"{row.variant}\n  {Interval(row.value, row.low, row.high)}" for row in own)
        words = f"{definition} ({first.better} is better; n = {first.n}, against {first.against})"
        defined.add_row(protocols, metric, *map(Text, (scores, words)))  # as text: brackets are no markup
    console.print(defined)
    for reason in dict.fromkeys(missing.reason for missing in outcome.missing):
        lacking = (f"{each.protocol} {each.metric}" for each in outcome.missing if each.reason == reason)
        console.print(f"{', '.join(lacking)}: {reason}", markup=False, soft_wrap=True)
