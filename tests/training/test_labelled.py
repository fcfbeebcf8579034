"""Photos with classes: from folders, tars and lists."""

import tarfile
from pathlib import Path

import pytest

from zfscope.errors import InputError
from zfscope.training.labelled import LabelledPhotos, read_folder


def labelled(photos: LabelledPhotos) -> list[tuple[str, str]]:
    return [
        (photos.data.names[number], photos.classes[target])
        for number, target in zip(photos.numbers, photos.targets, strict=True)
    ]


def test_classes_are_the_folders_in_alphabetical_order(folder: Path) -> None:
    photos = read_folder(folder)
    assert photos.classes == ("blue", "red")
    assert photos.targets.tolist() == [0] * 8 + [1] * 8
    assert all(name.startswith(f"{label}/") for name, label in labelled(photos))


def test_given_classes_determine_the_targets_and_may_lack_a_folder(folder: Path) -> None:
    photos = read_folder(folder, ("red", "green", "blue"))
    assert sorted(set(photos.targets.tolist())) == [0, 2]
    assert labelled(photos)[0] == ("red/0.png", "red")


def test_photos_are_sorted_by_class_and_name(folder: Path) -> None:
    for name in ("blue-green/a.png", "blue/a/z.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((folder / "red" / "0.png").read_bytes())
    names = [name for name, _ in labelled(read_folder(folder))]
    assert names[8:11] == ["blue/a/z.png", "blue-green/a.png", "red/0.png"]


def test_a_folder_of_an_unknown_class_is_rejected(folder: Path) -> None:
    with pytest.raises(InputError, match=r"has the folders \['red'\]; expected folders among blue, green"):
        read_folder(folder, ("blue", "green"))


def test_a_missing_folder_a_single_class_and_an_empty_class_are_rejected(
    tmp_path: Path, folder: Path
) -> None:
    with pytest.raises(InputError, match=r"data set '.*/none' cannot be opened: no such folder or file"):
        read_folder(tmp_path / "none")
    (tmp_path / "one" / "only").mkdir(parents=True)
    (tmp_path / "one" / "only" / "a.png").touch()
    with pytest.raises(InputError, match="at least two folders"):
        read_folder(tmp_path / "one")
    (folder / "green").mkdir()
    (folder / "green" / "notes.txt").write_text("no photo")
    with pytest.raises(InputError, match=r"green' contains no photos \(.*\); skipped in all classes: 1 "):
        read_folder(folder)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "red/0.png\nblue/0.png\n",
            r"no line of '.*/l.txt' has a class; expected lines of a path, a TAB and the",
        ),
        ("red/0.png\tred\n", r"l.txt' has the classes \['red'\]; expected at least two classes$"),
    ],
)
def test_a_list_without_two_classes_is_rejected_with_the_expected_format(
    folder: Path, lines: str, message: str
) -> None:
    (folder / "l.txt").write_text(lines)
    with pytest.raises(InputError, match=message) as caught:
        read_folder(folder / "l.txt")
    assert caught.value.field == "data"


def test_a_list_of_unknown_classes_and_a_folder_without_classes_are_rejected(folder: Path) -> None:
    (folder / "l.txt").write_text("red/0.png\tred\n")
    with pytest.raises(InputError, match=r"has the classes \['red'\]; expected classes among blue, green"):
        read_folder(folder / "l.txt", ("blue", "green"))
    with pytest.raises(InputError, match="red' has no folders; expected at least two folders, one per class"):
        read_folder(folder / "red")


def test_a_class_whose_name_is_not_utf_8_is_rejected(folder: Path) -> None:
    (folder / "red").rename(folder / "caf\udce9")
    with pytest.raises(
        InputError, match=r"class 'caf\\xe9' in '.*' has a name that is not UTF-8; rename it"
    ) as caught:
        read_folder(folder)
    assert caught.value.message.isprintable()


def test_a_tar_and_a_list_match_the_folder(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as packed:
        packed.add(folder, ".")
    expected = labelled(read_folder(folder))
    (folder / "list.txt").write_text("".join(f"{name}\t{label}\n" for name, label in expected))
    assert labelled(read_folder(tmp_path / "x.tar")) == expected
    assert labelled(read_folder(folder / "list.txt")) == expected


def test_photos_outside_class_folders_are_ignored_and_counted(folder: Path) -> None:
    (folder / "red" / "0.png").rename(folder / "loose.png")
    photos = read_folder(folder)
    assert len(photos) == 15
    assert [(skipped.kind, skipped.count, skipped.examples) for skipped in photos.skipped_files] == [
        ("unclassified", 1, ("loose.png",))
    ]
