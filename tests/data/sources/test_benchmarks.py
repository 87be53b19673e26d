"""DeepFashion in-shop and Market-1501 in the layouts and lineages in which people have them."""

import json

import pytest

from spt_dist.data.importers import read_folder
from spt_dist.data.schema import DataError

SHORTS = "fashionWOMENShortsid00000748{}_{}.jpg"


def deepfashion_flat(root, photo, line, table, lineage, size):
    for split, shots in (("train", ("01", "02")), ("test", ("03",))):
        rows = []
        for shot in shots:
            for view in ("1front", "2side"):
                name = SHORTS.format(shot, view)
                photo(root / split / name, size)
                rows.append(line(name.replace("fashion", lineage.split("-")[0]), x=60))
        table(root / f"{lineage}-annotation-{split}.csv", *rows)
    pair = [SHORTS.format("03", view).replace("fashion", lineage.split("-")[0]) for view in ("1front", "2side")]
    (root / f"{lineage}-pairs-test.csv").write_text("from,to\n" + ",".join(pair) + "\n")
    return pair


@pytest.mark.parametrize(
    ("lineage", "size", "x"),
    [
        ("fasion", (256, 256), 60),
        ("fashion", (256, 256), 60),
        ("fasion-resize", (256, 176), 60),
        ("fashion-resize", (256, 256), 100),
        ("fasion", (256, 176), 20),
        ("fashion-resize", (512, 352), 120.5),
    ],
)
def test_deepfashion_flattened_in_each_lineage(do, account_of, photo, line, table, tmp_path, lineage, size, x):
    pair = deepfashion_flat(tmp_path / "fashion_data", photo, line, table, lineage, size)
    account, out = do("deepfashion", tmp_path / "fashion_data")
    assert account_of(out)["splits"] == {"train": 4, "test": 2}
    assert account.notes["pairs read"] == 1
    assert (out / "pairs-test.csv").read_text() == "from,to\n" + ",".join(pair) + "\n"
    assert (out / "test.txt").read_text().split() == pair
    identities = (out / "identities.csv").read_text().splitlines()
    assert identities[-1] == f"{pair[1]},WOMEN/Shorts/id_00000748/03"
    rows = (out / "keypoints.csv").read_text().splitlines()
    assert json.loads(rows[1].split(":")[2])[0] == x


def test_deepfashion_tree_with_the_benchmarks_partition(do, photo, line, table, tmp_path):
    root = tmp_path / "in-shop"
    lines = ["3", "image_name item_id evaluation_status"]
    for shot, status in (("01", "train"), ("02", "query"), ("03", "gallery")):
        photo(root / "img" / f"WOMEN/Blouses_Shirts/id_00000010/{shot}_1_front.jpg")
        lines.append(f"img/WOMEN/Blouses_Shirts/id_00000010/{shot}_1_front.jpg id_00000010 {status}")
    (root / "Eval").mkdir()
    (root / "Eval" / "list_eval_partition.txt").write_text("\n".join(lines))
    _, out = do("deepfashion", root)
    assert (out / "train.txt").read_text() == "fashionWOMENBlouses_Shirtsid0000001001_1front.jpg\n"
    assert len((out / "test.txt").read_text().split()) == 2
    table(root / "fasion-annotation-test.csv", line("fasionWOMENBlousesShirtsid0000001003_1front.jpg"))
    account, out = do("deepfashion", root, frame=(64, 48))
    assert account.reasons == {"photo without keypoints": 2}
    assert (out / "test.txt").read_text() == "fasionWOMENBlousesShirtsid0000001003_1front.jpg\n"
    photo(root / "img_highres" / "WOMEN/Blouses_Shirts/id_00000010/01_1_front.jpg")
    with pytest.raises(DataError, match="img_highres"):
        do("deepfashion", root)


def test_two_lineages_of_one_split_are_a_choice(do, photo, line, table, tmp_path):
    root = tmp_path / "fashion_data"
    deepfashion_flat(root, photo, line, table, "fasion", (256, 256))
    other = table(root / "fashion-resize-annotation-test.csv", line(SHORTS.format("03", "1front"), x=20))
    with pytest.raises(DataError, match=r"two annotation files for `test`.*--keypoints FILE"):
        do("deepfashion", root)
    account, _ = do("deepfashion", root, keypoints=(other,))
    assert account.splits == {"test": 1}


def market(root, photo, line, table, nobody, places=("bounding_box_train", "bounding_box_test")):
    names = {
        "train": ("0002_c1s1_000451_03.jpg", "0007_c1s6_028546_01.jpg"),
        "test": (
            "0001_c1s1_001051_00.jpg",
            "0001_c2s1_000301_00.jpg.jpg",
            "-1_c1s1_000401_03.jpg",
            "0000_c1s1_000151_01.jpg",
        ),
    }
    for place, (split, given) in zip(places, names.items(), strict=True):
        for name in given:
            photo(root / place / "x.jpg", (128, 64)).rename(root / place / name)
        rows = [line(name, missing=nobody if name.startswith("0007") else ()) for name in given]
        table(root / f"market-annotation-{split}.csv", *rows)
    (root / "market-pairs-test.csv").write_text(
        f"from,to\n{','.join(names['test'][:2])}\n{','.join(names['test'][1:3])}\n"
    )


@pytest.mark.parametrize("places", [("bounding_box_train", "bounding_box_test"), ("train", "test")])
def test_market_drops_junk_and_keeps_pairs(do, account_of, photo, line, table, nobody, tmp_path, places):
    root = tmp_path / "market"
    market(root, photo, line, table, nobody, places)
    account, out = do("market", root)
    assert account_of(out)["rows"] == {"read": 6, "imported": 3, "dropped": {"junk identity": 2, "no joints": 1}}
    assert (out / "identities.csv").read_text().splitlines()[1:] == [
        "0002_c1s1_000451_03.jpg,0002",
        "0001_c1s1_001051_00.jpg,0001",
        "0001_c2s1_000301_00.jpg.jpg,0001",
    ]
    assert (out / "pairs-test.csv").read_text().splitlines()[1:] == [
        "0001_c1s1_001051_00.jpg,0001_c2s1_000301_00.jpg.jpg"
    ]
    assert (account.notes["pairs read"], account.notes["pairs of a dropped row"]) == (2, 1)
    assert [sample.id for sample in read_folder(out, "test")] == ["0001_c1s1_001051_00", "0001_c2s1_000301_00.jpg"]


def test_query_photos_without_a_row_are_accounted_for(do, photo, line, table, nobody, tmp_path):
    root = tmp_path / "market"
    market(root, photo, line, table, nobody)
    photo(root / "query" / "0003_c1s1_001051_00.jpg", (128, 64))
    photo(root / "query" / "thumbs.jpg", (128, 64))
    account, _ = do("market", root)
    assert account.reasons == {"unknown name": 1, "junk identity": 2, "no joints": 1, "photo without keypoints": 1}


def test_an_identity_in_two_splits_is_refused(do, photo, line, table, nobody, tmp_path):
    root = tmp_path / "market"
    market(root, photo, line, table, nobody)
    photo(root / "bounding_box_train" / "0001_c3s1_000551_00.jpg", (128, 64))
    file = root / "market-annotation-train.csv"
    file.write_text(file.read_text() + line("0001_c3s1_000551_00.jpg") + "\n")
    with pytest.raises(DataError, match=r"1 of 2 identities(?s:.*)0001: 0001_c3s1_000551_00\.jpg in train"):
        do("market", root)
    assert not list(tmp_path.glob("out*"))
