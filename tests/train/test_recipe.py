"""Recipes are strict, can be overridden, and say how they differ."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from timbrel.config import decode_config
from timbrel.errors import ConfigError
from timbrel.train import recipe as recipes
from timbrel.train import tasks
from timbrel.train.recipe import OptimizerRecipe

WriteRecipe = Callable[..., Path]


def test_a_recipe_states_every_default(write_recipe: WriteRecipe) -> None:
    recipe = recipes.load(write_recipe(steps=7))
    assert (recipe.run.steps, recipe.run.seed, recipe.data.balance) == (7, 0, "clips")
    assert recipe.optimizer["model"].betas == (0.9, 0.999)
    assert recipes.to_tables(recipe)["run"]["keep"] == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run.step=9", r'unknown key "run.step".*steps, seed.*did you mean "steps"'),
        ("task_name=a", 'unknown key "task_name"'),
        ("optimizer.model.rate=1", 'unknown key "optimizer.model.rate"'),
        ("run.steps=many", "run.steps: expected `int`"),
        ("run.steps=0", "run.steps must be above 0, not 0"),
        ("data.seconds=1e9", r"data.batch of \d+ times data.seconds of 1e\+09 are more than the 24 hours"),
        ("run.patience=-1", "run.patience must not be negative"),
        ("data.balance=age", "data.balance"),
        ("optimizer=3", "optimizer: expected a table, got `int`"),
        ("optimizer.model.schedule=exponential", "half_life"),
        ("data.evenness=0.5", 'data.evenness and data.favour belong to the balance "seconds"'),
        ("data.favour.sex={ F = 2.0 }", 'data.evenness and data.favour belong to the balance "seconds"'),
        ("optimizer.model.betas=[2, 0.9]", r"optimizer.betas must be .* below 1, not \[2.0, 0.9\]"),
        ("name.first=a", "name is a value, not a table"),
        ("run.steps", 'expected "key=value"'),
        (".=1", 'expected "key=value"'),
        ("name=../up", "name must be one that a folder can have"),
    ],
)
def test_a_wrong_recipe_names_the_key(write_recipe: WriteRecipe, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipes.load(write_recipe(), [override])


def test_overrides_are_toml_values_or_else_strings(write_recipe: WriteRecipe) -> None:
    changes = [
        "run.steps=9",
        "name=other",
        "data.only={ language = 'en' }",
        "optimizer.model.betas=[0.8, 0.99]",
    ]
    recipe = recipes.load(write_recipe(), changes)
    assert (recipe.run.steps, recipe.name) == (9, "other")
    assert recipe.data.only == {"language": "en"}
    assert recipe.optimizer["model"].betas == (0.8, 0.99)


def test_an_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match=r"no recipe \"vqvd\".*hifigan-16k.*istft-16k.*vqvc"):
        recipes.load("vqvd")
    with pytest.raises(ConfigError, match="no such recipe file"):
        recipes.load("nowhere.toml")


#: What the networks of a task are called that have an optimizer.
NETWORKS = {
    "autovc": {"model"},
    "converter": {"converter", "discriminator", "voices"},
    "ge2e": {"model"},
    "hifigan": {"generator", "discriminator"},
    "istft": {"generator", "discriminator"},
    "phonetic": {"model"},
    "speaker": {"model"},
    "vocgan": {"generator", "discriminator"},
    "vqvc": {"model"},
}


@pytest.mark.parametrize("name", sorted(recipes.shipped()))
def test_shipped_recipes_are_valid(name: str) -> None:
    recipe = recipes.load(name)
    assert recipe.name == name
    settings = importlib.import_module(tasks.TASKS[recipe.task]).Settings
    decode_config(recipe.settings, settings, name="settings")
    assert recipe.optimizer.keys() <= NETWORKS[recipe.task]


def test_differences_name_the_keys() -> None:
    before = {"run": {"steps": 5, "seed": 0}, "only": {"tier": "hq"}, "betas": [1, 2]}
    now = {"run": {"steps": 9, "seed": 0}, "only": {}, "betas": (1, 2)}
    assert recipes.differences(before, now) == [
        "only.tier was 'hq' and is 'not there'",
        "run.steps was 5 and is 9",
    ]


def test_cosine_rises_then_falls_to_its_final_share() -> None:
    schedule = OptimizerRecipe(1e-3, schedule="cosine", warmup=10, final_share=0.1)
    assert schedule.rate(0, 111) == pytest.approx(1e-4)
    assert schedule.rate(9, 111) == pytest.approx(1e-3)
    assert schedule.rate(60, 111) == pytest.approx(5.5e-4)  # half-way between 1e-3 and 1e-4
    assert schedule.rate(110, 111) == pytest.approx(1e-4)


def test_exponential_halves_at_its_half_life_and_constant_stays() -> None:
    assert OptimizerRecipe(0.8, schedule="exponential", half_life=50).rate(100, 1) == pytest.approx(0.2)
    assert OptimizerRecipe(0.8).rate(10**6, 1) == 0.8
    assert math.isclose(OptimizerRecipe(0.8, warmup=4).rate(1, 100), 0.4)
    with pytest.raises(ConfigError, match="final_share belongs to the cosine schedule"):
        OptimizerRecipe(0.8, final_share=0.1)
