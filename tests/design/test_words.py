"""Goals in words: every phrase changes what it says, is shown with what it means, and unknown words are refused."""

import pytest

from genloom.errors import GenloomError
from genloom.media.design.goals import Place
from genloom.media.design.mechanics.checks import check_problem
from genloom.media.design.problems import build_problem
from genloom.media.design.words import KINDS, read_words


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_part_is_a_problem_by_itself(kind: str) -> None:
    reading = read_words(f"a {kind}")
    check_problem(build_problem(reading.goals))
    assert [phrase for phrase, _ in reading.meanings] == [kind]


def test_a_light_bridge_held_at_both_ends() -> None:
    reading = read_words("a light bridge held at both ends")
    assert reading.goals.limits.volume == pytest.approx(0.25)
    assert [support.place.side for support in reading.goals.supports] == ["left", "right"]
    assert {support.hold for support in reading.goals.supports} == {"xy"}
    assert [phrase for phrase, _ in reading.meanings] == ["bridge", "light", "held at both ends"]
    check_problem(build_problem(reading.goals))


def test_supported_ends_may_slide() -> None:
    supports = read_words("a beam supported at both ends").goals.supports
    assert [(support.place.side, support.hold) for support in supports] == [
        ("bottom left", "xy"),
        ("bottom right", "y"),
    ]


def test_numbers_materials_and_limits() -> None:
    goals = read_words(
        "a 200 x 50 mm beam of aluminium, 8 mm thick, 30 % material, below 80 MPa, no bars thinner than 3 mm, symmetric"
    ).goals
    assert goals.domain.size == pytest.approx((0.2, 0.05))
    assert goals.domain.thickness == pytest.approx(8e-3)
    assert goals.material.name == "aluminium"
    limits = goals.limits
    assert (limits.volume, limits.symmetry) == (pytest.approx(0.3), "x")
    assert (limits.max_stress, limits.min_thickness) == (pytest.approx(80e6), pytest.approx(3e-3))
    check_problem(build_problem(goals))


@pytest.mark.parametrize(
    ("text", "force"),
    [
        ("a beam loaded in the middle with 2 kN", (0, -2000)),
        ("a beam loaded with 2 kN in the middle", (0, -2000)),
        ("a beam with a load of 2 kN in the middle upward", (0, 2000)),
        ("a beam pushed with 2000 newtons in the middle to the right", (2000, 0)),
    ],
)
def test_loads_have_a_place_a_size_and_a_direction(text: str, force: tuple[float, float]) -> None:
    goals = read_words(text).goals
    (load,) = goals.loads
    assert load.force == pytest.approx(force)
    middle = (goals.domain.size[0] / 2, goals.domain.size[1])
    assert load.place == Place("", middle, middle)


def test_a_load_at_several_places_is_shared() -> None:
    goals = read_words("a plate fixed at the bottom, loaded with 100 N at the top corners").goals
    assert [load.force for load in goals.loads] == [pytest.approx((0, -50))] * 2


def test_another_size_moves_what_is_inside() -> None:
    small, large = read_words("a hook").goals, read_words("a 120 x 160 mm hook").goals
    assert large.regions[0].start == pytest.approx([2 * x for x in small.regions[0].start])
    assert large.regions[0].radius == pytest.approx(2 * small.regions[0].radius)
    check_problem(build_problem(large))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a red bridge", "design.word_unknown"),
        ("a bridge held by two angels", "design.word_unknown"),
        ("something nice", "design.words_without_kind"),
        ("a bridge, 0 % material", "design.bad_volume"),
        ("a 0 x 5 mm beam", "design.not_positive"),
        ("a 5000 x 1 mm beam", "design.grid_too_small"),
        ("a beam loaded with 0 N", "design.not_positive"),
        ("a beam " * 300, "design.words_too_long"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, code: str) -> None:
    with pytest.raises(GenloomError) as caught:
        read_words(text)
    assert caught.value.code == code
