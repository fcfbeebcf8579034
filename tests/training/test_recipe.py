"""Recipes by name and from files, and errors for invalid ones."""

from pathlib import Path

import pytest

from zfscope.errors import InputError, NotFound
from zfscope.training.recipe import load_recipe, recipe_names


def test_the_package_includes_its_recipes() -> None:
    assert recipe_names() == ("fine-tune", "match", "modern", "paper")


def test_the_papers_recipe_matches_section_3() -> None:
    recipe = load_recipe("paper")
    assert (recipe.optimizer, recipe.batch, recipe.learning_rate, recipe.momentum) == ("sgd", 128, 0.01, 0.9)
    assert (recipe.mean, recipe.crop, recipe.filter_rms) == ("image", "ten", 0.1)
    assert recipe.initial_deviation == {"*": 0.01}


def test_phases_succeed_each_other_during_the_run() -> None:
    recipe = load_recipe("modern")
    sizes = [recipe.phase(progress / 100).size for progress in range(100)]
    assert sizes == sorted(sizes, key=lambda size: size or 0)
    assert sizes[0] == 112
    assert sizes[-1] == 224


def test_an_unknown_recipe_is_reported_with_the_available_ones() -> None:
    with pytest.raises(
        NotFound,
        match=r"recipe 'alchemy' not found; available: fine-tune, match, modern, paper, or give the path",
    ):
        load_recipe("alchemy")


def test_a_custom_recipe_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'summary = "mine"\noptimizer = "sgd"\nlearning_rate = 0.1\nschedule = "cosine"\n'
        'batch = 2\nmean = "channels"\ncrop = "random"\n'
    )
    assert load_recipe(str(path)).summary == "mine"


GOOD = 'summary="x"\noptimizer="sgd"\nlearning_rate=0.1\nschedule="cosine"\nbatch=2\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml", "is not valid"),
        (GOOD + 'mean="image"\ncrop="random"', "does not work with random crops"),
        (GOOD + 'mean="channels"\ncrop="ten"\n[[phases]]\nsize=64', "remove the phases"),
        (GOOD + 'mean="channels"\ncrop="random"\n[[phases]]\nstart=0.5', "the first must start at 0"),
        (GOOD + 'mean="channels"\ncrop="random"\nflavour=1', "flavour"),
    ],
)
def test_a_file_that_is_not_a_recipe_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(str(path))


def test_a_file_that_is_not_utf_8_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b'summary = "caf\xe9"')
    with pytest.raises(InputError, match="is not valid: 'utf-8' codec") as caught:
        load_recipe(str(tmp_path / "mine.toml"))
    assert caught.value.field == "recipe"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_ignored(tmp_path: Path, encoding: str) -> None:
    text = 'summary = "a"\noptimizer = "sgd"\nlearning_rate = 0.1\nschedule = "cosine"\n'
    (tmp_path / "mine.toml").write_text(text + 'batch = 4\nmean = "channels"\ncrop = "random"\n', encoding)
    assert load_recipe(str(tmp_path / "mine.toml")).batch == 4


@pytest.mark.parametrize("number", ["inf", "nan"])
def test_infinite_numbers_are_rejected(tmp_path: Path, number: str) -> None:
    text = f'summary = "a"\noptimizer = "sgd"\nlearning_rate = {number}\nschedule = "cosine"\nbatch = 4\n'
    (tmp_path / "mine.toml").write_text(text + 'mean = "channels"\ncrop = "random"\n')
    with pytest.raises(InputError, match="learning_rate"):
        load_recipe(str(tmp_path / "mine.toml"))
