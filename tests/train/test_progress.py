"""The bars follow the run's log file, and stay readable in a narrow window."""

import io
import json
import re
import threading
import time
from dataclasses import replace

import pytest
from rich.console import Console

from spt_dist import config
from spt_dist.train import progress
from spt_dist.train.progress import show_progress

STAGES = config.Stages(
    pose=config.Stage(images=1_000),
    semantic=config.Stage(images=400_000),
    appearance=config.Stage(images=0),
    end_to_end=config.Stage(images=1_200_000),
)


class Clock:
    """Seconds since the test began, and those that it has skipped."""

    def __init__(self):
        self.skipped = 0.0

    def __call__(self):
        return time.monotonic() + self.skipped


class Screen:
    """A terminal of a given width whose text can be read, and how the bars are fed."""

    def __init__(self, monkeypatch, run, width, is_terminal=True):
        self.run, self.buffer, self.clock = run, io.StringIO(), Clock()
        make = progress.Progress

        def console(**_):
            return Console(file=self.buffer, width=width, height=20, force_terminal=is_terminal, color_system=None)

        def bars(*columns, **options):
            self.bars = make(*columns, **options, get_time=self.clock, auto_refresh=False)
            return self.bars

        monkeypatch.setattr(progress, "Console", console)
        monkeypatch.setattr(progress, "Progress", bars)
        monkeypatch.setattr(progress, "POLL_S", 0.005)

    def write(self, text):
        with (self.run / "log.jsonl").open("a") as file:
            file.write(text)

    def report(self, stage, images, pace=12.5, **terms):
        terms = terms or {"style": 0.51234, "pose": 123.456, "content": 2.5}
        named = {f"appearance/{name}": value for name, value in terms.items()}
        self.write(json.dumps({"stage": stage, "images": images, "images_per_s": pace, "terms": named}) + "\n")

    def completed(self):
        return {task.description: task.completed for task in self.bars.tasks}

    def wait_for(self, name, images):
        end = time.monotonic() + 10
        while self.completed()[name] != images:
            assert time.monotonic() < end, f"{self.completed()} after 10 s"
            time.sleep(0.005)

    def rows(self):
        """What the terminal shows now: bar name -> its line."""
        start = len(self.buffer.getvalue())
        self.bars.refresh()
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.buffer.getvalue()[start:])
        lines = [line for line in text.split("\n") if line.strip()]
        names = [task.description for task in self.bars.tasks]
        return {name: line for name in names for line in lines if line.startswith(name)}


@pytest.fixture
def screen(monkeypatch, tmp_path):
    return Screen(monkeypatch, tmp_path, 80)


def test_the_bars_follow_the_log_while_it_is_written(screen, tmp_path):
    with show_progress(tmp_path, STAGES):
        assert screen.completed() == {"pose": 0, "semantic": 0, "end to end": 0}  # a skipped stage has no bar
        screen.report("pose", 500)
        screen.wait_for("pose", 500)
        line = json.dumps({"stage": "pose", "images": 1000, "images_per_s": 10.0, "terms": {}})
        screen.write(line[:20])  # a line being written is not one yet
        time.sleep(0.05)
        assert screen.completed()["pose"] == 500
        screen.write(line[20:] + "\n")
        screen.wait_for("pose", 1000)
        screen.report("semantic", 2000)
        screen.report("semantic", 4000)
        screen.wait_for("semantic", 4000)
    assert screen.completed() == {"pose": 1000, "semantic": 4000, "end to end": 0}


def test_the_last_lines_are_read_when_the_run_ends(screen, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "POLL_S", 60.0)
    with show_progress(tmp_path, STAGES):
        screen.report("end_to_end", 1_200_000)
    assert screen.completed()["end to end"] == 1_200_000


def test_an_error_in_the_run_passes_and_ends_the_follower(screen, tmp_path):
    threads = threading.active_count()
    with pytest.raises(RuntimeError, match="the run broke"), show_progress(tmp_path, STAGES):
        raise RuntimeError("the run broke")
    assert threading.active_count() == threads


@pytest.mark.parametrize("pace", [0.5, 12.5, 1234.5])
def test_everything_but_the_losses_is_readable_at_width_80(screen, tmp_path, pace):
    with show_progress(tmp_path, STAGES):
        for images in (1000, 2000, 3000):
            screen.report("end_to_end", images, pace)
            screen.wait_for("end to end", images)
            screen.clock.skipped += 100.0
        line = screen.rows()["end to end"]
        assert all(len(row) <= 80 for row in screen.rows().values())
        assert "3000/1200000 imgs" in line
        assert f"{pace:.1f}/s" in line
        hours, minutes = re.search(r"(\d+):(\d\d):\d\d", line).groups()
        assert int(hours) * 60 + int(minutes) == pytest.approx(1_197_000 / pace / 60, rel=0.02, abs=1)
        assert "-:--:--" in screen.rows()["semantic"]  # not begun


def test_at_width_160_the_losses_are_shown(monkeypatch, tmp_path):
    screen = Screen(monkeypatch, tmp_path, 160)
    with show_progress(tmp_path, replace(STAGES, pose=config.Stage(images=10))):
        screen.report("pose", 5, style=0.51234, pose=123.456)
        screen.wait_for("pose", 5)
        assert "style 0.512  pose 123" in screen.rows()["pose"]


def test_a_resumed_runs_old_lines_do_not_count_as_speed(screen, tmp_path):
    """Lines that were there before are read in one go; the time left is that of the images since."""
    for images in range(10_000, 310_000, 10_000):
        screen.report("semantic", images)
    with show_progress(tmp_path, STAGES):
        screen.wait_for("semantic", 300_000)
        screen.clock.skipped += 100.0
        screen.report("semantic", 301_000, 10.0)
        screen.wait_for("semantic", 301_000)
        screen.clock.skipped += 100.0
        screen.report("semantic", 302_000, 10.0)
        screen.wait_for("semantic", 302_000)
        hours, minutes = re.search(r"(\d+):(\d\d):\d\d", screen.rows()["semantic"]).groups()
        assert int(hours) * 60 + int(minutes) == pytest.approx(98_000 / 10 / 60, rel=0.02)


def test_into_a_file_goes_a_line_a_minute_whole(monkeypatch, tmp_path):
    screen = Screen(monkeypatch, tmp_path, 80, is_terminal=False)
    clock = Clock()
    monkeypatch.setattr(progress, "monotonic", clock)
    with show_progress(tmp_path, STAGES):
        for images, skipped in ((100, 0.0), (200, 0.0), (300, 61.0)):
            clock.skipped += skipped
            screen.report("pose", images)
            screen.wait_for("pose", images)
    lines = screen.buffer.getvalue().splitlines()
    assert [line.split(" ", 1)[1] for line in lines if line[2:3] == ":"] == [
        "pose 100/1000 imgs  12.5/s  0:01:12  style 0.512  pose 123  content 2.5",
        "pose 300/1000 imgs  12.5/s  0:00:56  style 0.512  pose 123  content 2.5",
    ]
