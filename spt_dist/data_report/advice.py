"""From numbers to what a person should do: alarms, warnings and notes in plain words, the gravest first."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from spt_dist.body import Joint, Label
from spt_dist.data.importers import TWINS
from spt_dist.data_report.poses import NEAR
from spt_dist.data_report.shares import differ

LEVELS = ("alarm", "warning", "note")
FEW = 100  # training samples
SELDOM = 0.5  # of samples show a joint
SMALL_PERSON = 0.1  # of the picture
OFTEN_REJECTED, OFTEN_ALIKE, OFTEN_FAR, OFTEN_CONTRADICTORY, RARE_VIEW = 0.05, 0.01, 0.1, 0.03, 0.02
SHARED = {
    "files": "the very same picture file",
    "ids": "the same id",
    "identities": "the same person",
    "looks": "pictures that can hardly be told apart",
}
ENOUGH = 5  # samples, before a share of them is worth a word
NAMED = 3


class Advice(NamedTuple):
    """One remark: how grave, what was found and what to do, and the section of the page that shows it."""

    level: str
    text: str
    section: str


def advise(tree: dict[str, Any]) -> list[Advice]:
    """Everything that a person should know of `looking.look`'s numbers."""
    found = [
        *_overlap(tree), *_splits(tree), *_left_out(tree), *_labels(tree), *_joints(tree), *_poses(tree), *_alike(tree)
    ]  # fmt: skip
    return sorted(found, key=lambda advice: LEVELS.index(advice.level))


def _overlap(tree: dict[str, Any]) -> Iterator[Advice]:
    for what, same in SHARED.items():
        shared = tree["overlap"][what]
        if shared["count"]:
            names = "; ".join(" and ".join(f"{o['id']} ({o['split']})" for o in g) for g in shared["listed"][:NAMED])
            yield Advice(
                "alarm",
                f"Splits overlap: {same} in two splits, {_many(shared['count'], 'time')}, such as {names}. A test "
                "shows what training has seen: take one of each out of the lists and pack again.",
                "overlap",
            )


def _splits(tree: dict[str, Any]) -> Iterator[Advice]:
    counts = {name: split["samples"] for name, split in tree["splits"].items()}
    if "train" not in counts:
        yield Advice("alarm", "There is no split train: nothing can be learned from these shards.", "splits")
    elif counts["train"] < FEW:
        text = f"Only {_many(counts['train'], 'sample')} to learn from; the demo, which is small, has 2,000."
        yield Advice("warning", text, "splits")
    for name, use in (("val", "no best weights are chosen while training"), ("test", "spt evaluate has no pairs")):
        if name not in counts:
            yield Advice("warning" if name == "test" else "note", f"There is no split {name}: {use}.", "splits")
    alone = [name for name in ("val", "test") if name in counts and not tree["splits"][name]["with_another_picture"]]
    if alone:
        text = (
            f"Nobody in {' and '.join(alone)} has two pictures, as far as is known: there are no true targets, and "
            "pictures are scored in the source's own pose. Where a person comes twice, say so in identities.csv."
        )
        yield Advice("note", text, "splits")
    if tree["looked_at"] < tree["samples"]:
        text = (
            f"{tree['looked_at']:,} of {tree['samples']:,} samples were looked at, drawn by seed {tree['seed']}: "
            "shares are estimates, and an overlap of the others is not seen. Raise --most to look at more."
        )
        yield Advice("note", text, "splits")
    small = {name: share for name, share in tree["foreground"].items() if share < SMALL_PERSON}
    if small and tree["frame"] == "whole":
        text = f"The median person fills {_each(small)} of the picture. --frame person cuts pictures to the person."
        yield Advice("note", text, "samples")


def _left_out(tree: dict[str, Any]) -> Iterator[Advice]:
    count, kinds = tree["rejected"]["count"], tree["rejected"]["kinds"]
    if count != tree["rejected"]["packed_said"]:
        text = (
            f"rejected.jsonl has {_many(count, 'line')}, the manifest says {tree['rejected']['packed_said']:,}: the "
            "file was lost or changed on its way; copy it again."
        )
        yield Advice("warning", text, "rejected")
    share = count / (count + tree["samples"])
    if share > OFTEN_REJECTED:
        text = f"{share:.0%} of what was to be packed was rejected, most often because: {kinds[0]['kind']}."
        yield Advice("warning", text, "rejected")


def _labels(tree: dict[str, Any]) -> Iterator[Advice]:
    counts = {name: split["looked_at"] for name, split in tree["splits"].items()}
    labels, reference = tree["labels"], tree["reference"]
    absent = [_word(label.name) for label in Label if not labels[reference][label.name]["samples"]]
    if absent:
        text = f"No sample of {reference} has the label {', '.join(absent)}; what has none cannot be learned."
        yield Advice("warning", text, "labels")
    for other in counts:
        for what, found in (("label", labels), ("joint", tree["joints"])):
            key = "samples" if what == "label" else "visible"
            for name, own in found[other].items():
                here, there = own[key], found[reference][name][key]
                if other != reference and differ(here, there, counts[other], counts[reference]):
                    text = (
                        f"The {what} {_word(name)} is in {here:.0%} of {other} and in {there:.0%} of {reference}: "
                        "scores will say how the data differ, too. Were both parsed and split alike?"
                    )
                    yield Advice("warning", text, f"{what}s")


def _joints(tree: dict[str, Any]) -> Iterator[Advice]:
    reference = tree["reference"]
    seldom = {n: j["visible"] for n, j in tree["joints"][reference].items() if j["visible"] < SELDOM}
    if seldom:
        names = ", ".join(f"{_word(name)} {share:.0%}" for name, share in seldom.items())
        cut = {_word(joint.name) for joint in (Joint.L_ANKLE, Joint.R_ANKLE)} & {_word(name) for name in seldom}
        hint = " Are people cut off below the knee?" if cut else ""
        yield Advice("note", f"Joints that fewer than half of {reference} show: {names}.{hint}", "joints")


def _poses(tree: dict[str, Any]) -> Iterator[Advice]:
    views, reference = tree["poses"]["views"], tree["reference"]
    wrong = {
        split: found["contradictory"] for split, found in views.items() if found["contradictory"] > OFTEN_CONTRADICTORY
    }
    if wrong:
        text = (
            f"Shoulders and face contradict each other in {_each(wrong)}: mirrored pictures whose left and right were "
            "not swapped, or swapped in the keypoints alone?"
        )
        yield Advice("warning", text, "poses")
    rare = [view for view in ("front", "side", "back") if views[reference][view] < RARE_VIEW]
    if rare:
        text = (
            f"Hardly anybody in {reference} is seen from the {' or the '.join(rare)}; such poses will be drawn badly."
        )
        yield Advice("note", text, "poses")
    for split, found in tree["poses"]["coverage"].items():
        usual = (
            2 * tree["poses"]["coverage"][reference]["without_near"]
        )  # of a split that was drawn from the same people
        few = found["without_near"] * tree["splits"][split]["looked_at"] < ENOUGH
        if split != reference and found["without_near"] > max(OFTEN_FAR, usual) and not few:
            text = (
                f"{found['without_near']:.0%} of the poses in {split} have none in {reference} nearer than {NEAR} "
                "torso lengths squared: expect these to be drawn worst, or add such poses."
            )
            yield Advice("warning", text, "poses")


def _alike(tree: dict[str, Any]) -> Iterator[Advice]:
    for split, count in tree["near_duplicates"]["not_known_as_one"].items():
        share = count / tree["splits"][split]["looked_at"]
        if share > OFTEN_ALIKE and count >= ENOUGH and split != TWINS:
            text = f"{share:.0%} of {split} looks like another picture, not of the same identity: copies count double."
            yield Advice("warning", text, "alike")


def _each(shares: dict[str, float]) -> str:
    return ", ".join(f"{share:.0%} in {split}" for split, share in shares.items())


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _word(name: str) -> str:
    return name.lower().replace("l_", "left ").replace("r_", "right ") if name[1] == "_" else name.lower()
