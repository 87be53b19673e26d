"""The watchdog: a rank that stands still is named, all ranks' stacks are written down, and the workers start again.

Every rank leaves a beat in `RUN/beats/RANK.json`: how far it has come, and for how long it has come no further; a
thread renews it as long as the process lives. Ranks wait for each other, so when one stands still, all do. Then each
that can still run writes its stacks to `RUN/stalls/RANK.txt` and ends itself; whoever starts workers starts them again
from the last checkpoint. The culprit is the rank whose beat is stale (a frozen process, a lost node), or else the one
that came least far.
"""

import faulthandler
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from spt_dist.run_log import tell_event
from spt_dist.train.ranks import Ranks

BEATS, STALLS = "beats", "stalls"
PER_STALL = 4  # beats
EXIT_STALLED = 75  # the process's status: temporary failure


class Beat(NamedTuple):
    """What a rank last said of itself."""

    rank: int
    progress: int
    doing: str
    quiet_s: float  # since its last progress
    stale: bool = False  # it has said nothing since


class Watchdog:
    """Watches this process's training from a thread of its own; `stall_s` = 0 never does."""

    def __init__(self, run: Path, ranks: Ranks, stall_s: float):
        self.run, self.ranks, self.stall_s, self.interval_s = run, ranks, stall_s, stall_s / PER_STALL
        self.doing, self.progress, self.rests = "the start", 0, False
        self.ended = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        if self.stall_s:
            (self.run / BEATS).mkdir(parents=True, exist_ok=True)
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def at(self, doing: str) -> None:
        """Training has come so far."""
        self.doing, self.progress = doing, self.progress + 1

    @contextmanager
    def resting(self) -> Iterator[None]:
        """What happens inside takes its time: scoring, drawing, waiting for a disk."""
        self.rests = True
        try:
            yield
        finally:
            self.rests, self.progress = False, self.progress + 1

    def end(self) -> None:
        """Watch no longer."""
        self.ended.set()

    def _watch(self) -> None:
        seen, quiet_s = self.progress, 0.0
        while not self.ended.wait(self.interval_s):
            moved = self.rests or self.progress != seen
            seen, quiet_s = self.progress, 0.0 if moved else quiet_s + self.interval_s
            self._beat(quiet_s)
            if quiet_s >= self.stall_s and all(
                beat.stale or beat.quiet_s >= self.stall_s / 2 for beat in self._beats()
            ):
                self._give_up()

    def _beat(self, quiet_s: float) -> None:
        file = self.run / BEATS / f"{self.ranks.rank}.json"
        with suppress(OSError):  # a full disk: the next one may get through
            aside = file.with_suffix(".tmp")
            aside.write_text(json.dumps([self.ranks.rank, self.progress, self.doing, quiet_s]))
            os.replace(aside, file)

    def _beats(self) -> list[Beat]:
        """All ranks' last beats; ages are by the file server's clock."""
        folder, found = self.run / BEATS, []
        now = (folder / f"{self.ranks.rank}.json").stat().st_mtime
        for rank in range(self.ranks.size):
            file = folder / f"{rank}.json"
            if file.exists():
                stale = now - file.stat().st_mtime > self.stall_s / 2
                found.append(Beat(*json.loads(file.read_text()), stale=stale))
            else:
                found.append(Beat(rank, 0, "the start", self.stall_s, stale=True))
        return found

    def _give_up(self) -> None:
        """Leave the stacks, wait until the others have left theirs, say who stands still, end."""
        (self.run / STALLS).mkdir(exist_ok=True)
        with (self.run / STALLS / f"{self.ranks.rank}.txt").open("w") as file:
            faulthandler.dump_traceback(file, all_threads=True)
        if self.ended.wait(2 * self.interval_s):
            return
        beats = self._beats()
        if self.ranks.rank == min(beat.rank for beat in beats if not beat.stale):
            tell_event(
                self.run,
                f"no progress for {self.stall_s:g} s: {culprits(beats)}; every rank's stacks are in `{STALLS}/`; "
                "the workers start again from the last checkpoint",
                rank=self.ranks.rank,
            )
        os._exit(EXIT_STALLED)


def culprits(beats: list[Beat]) -> str:
    """Who holds the others up, in words."""
    stale = [f"rank {beat.rank} is frozen or gone, last at {beat.doing}" for beat in beats if beat.stale]
    least = min(beat.progress for beat in beats)
    return ", ".join(stale or [f"rank {beat.rank} stands at {beat.doing}" for beat in beats if beat.progress == least])
