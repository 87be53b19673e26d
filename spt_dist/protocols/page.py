"""The table of definitions as a page for people: `python -m spt_dist.protocols.page docs/metrics.md` writes it."""

import sys
from pathlib import Path

from spt_dist.protocols.definition import Protocol
from spt_dist.protocols.scoring import BOOTSTRAP
from spt_dist.protocols.table import PROTOCOLS
from spt_dist.scripted import HOW, KNOWN

HEAD = """# Metrics, by protocol

The same four letters stand for different numbers: on one set of pictures SSIM by one lineage's definition is far from
SSIM by another's. `spt evaluate RUN --protocol gfla --protocol clean` (or `--protocol all`) scores a run by each and
prints the definition beside the number; what lacks a file is listed with the reason. This page is written from the
table that computes them (`spt_dist/protocols/table.py`) by `python -m spt_dist.protocols.page docs/metrics.md`.

"""
INTERVALS = f"""## Intervals

{BOOTSTRAP[0].upper()}{BOOTSTRAP[1:]}. The reference pictures of FID and the networks stay what they are.

"""
FILES = """## Files

Nothing is downloaded. A file is named by its key in `evaluation`, and pinned by `evaluation.sha256.KEY`; its hash
stands beside every number, and a file with another hash than the pinned one is refused.

"""


def page() -> str:
    """All protocols in Markdown."""
    files = "\n".join(f"- `evaluation.{key}`: {words}." for key, words in HOW.items())
    known = "\n".join(f"- `{digest}`: {words}." for digest, words in KNOWN.items())
    return (
        HEAD
        + "\n".join(map(_section, PROTOCOLS.values()))
        + f"\n{INTERVALS}{FILES}{files}\n\nKnown files:\n\n{known}\n"
    )


def _section(protocol: Protocol) -> str:
    lines = [f"## {protocol.name}: {protocol.lineage}\n", f"Read in: {protocol.source}."]
    if protocol.doubt:
        lines.append(f"Unconfirmed, or other here: {protocol.doubt}.")
    lines += ["", "| metric | better | needs | definition |", "|---|---|---|---|"]
    for each in protocol.metrics:
        needs = f"`{each.needs}`" if each.needs else ""
        lines.append(f"| {each.name} | {each.better} | {needs} | {each.words} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
