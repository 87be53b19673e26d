"""Names of the benchmarks' photos, in every spelling."""

import pytest

from spt_dist.data.sources.names import deepfashion, market, plain, recognised


@pytest.mark.parametrize(
    ("spellings", "identity"),
    [
        (
            (
                "fashionWOMENShortsid0000074801_2side.jpg",
                "fasionWOMENShortsid0000074801_2side.jpg",
                "img/WOMEN/Shorts/id_00000748/01_2_side.jpg",
                "WOMEN/Shorts/id_00000748/01_2_side.png",
            ),
            "WOMEN/Shorts/id_00000748/01",
        ),
        (
            (
                "fashionMENTees_Tanksid0000404701_1front.jpg",
                "fasionMENTeesTanksid0000404701_1front.jpg",
                "MEN/Tees_Tanks/id_00004047/01_1_front.jpg",
            ),
            "MEN/TeesTanks/id_00004047/01",
        ),
    ],
)
def test_one_photo_has_one_key_in_every_lineage(spellings, identity):
    read = [deepfashion(name) for name in spellings]
    assert len({one.key for one in read if one}) == 1
    assert {one.identity for one in read if one} == {identity}


def test_the_tree_flattens_to_the_name_of_the_annotations():
    about = deepfashion("img/WOMEN/Blouses_Shirts/id_00000010/01_1_front.jpg")
    assert about is not None
    assert about.flat == "fashionWOMENBlouses_Shirtsid0000001001_1front"


def test_other_colours_and_other_categories_are_other_people():
    names = ("fashionWOMENShortsid0000074801_2side", "fashionWOMENShortsid0000074802_2side")
    names += ("fashionMENShortsid0000074801_2side", "fashionWOMENPantsid0000074801_2side")
    assert len({about.identity for name in names if (about := deepfashion(name))}) == 4


@pytest.mark.parametrize(
    ("name", "identity", "junk"),
    [
        ("0224_c6s1_055726_02.jpg", "0224", False),
        ("0224_c6s1_055726_02.jpg.jpg", "0224", False),
        ("-1_c5s3_086412_11.jpg", None, True),
        ("0000_c1s1_000151_01.jpg", None, True),
        ("query/1501_c6s4_001877_00.jpg", "1501", False),
    ],
)
def test_market_names(name, identity, junk):
    about = market(name)
    assert about is not None
    assert (about.identity, about.junk) == (identity, junk)


def test_what_is_none_of_them():
    assert deepfashion("holiday.jpg") is None
    assert market("holiday.jpg") is None
    assert recognised("holiday.jpg") == plain("holiday.jpg")
    assert plain("trip/day.1/me.JPG") is not None
    assert plain("trip/day.1/me.JPG").flat == "trip_day.1_me"  # pyright: ignore
    assert plain("") is None
    assert plain("..") is None


def test_every_published_name_is_understood(data):
    read = 0
    for file in sorted((data / "pose_bank").glob("*annotation*.csv")):
        about = market if file.name.startswith("market") else deepfashion
        for row in file.read_text().splitlines()[1:]:
            assert about(row.split(":")[0]) is not None, row
            read += 1
    assert read == 48_913


def test_published_pairs_show_one_identity(data):
    for file in sorted((data / "pose_bank").glob("*pairs*.csv")):
        about = market if file.name.startswith("market") else deepfashion
        for row in file.read_text().split()[1:]:
            first, second = (about(name) for name in row.split(","))
            assert first is not None
            assert second is not None
            assert first.identity == second.identity
