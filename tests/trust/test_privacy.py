"""What a model reveals: the measures on losses and texts whose truth is known, and canaries in a data set."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

from genloom.evaluate.text.ngram_baseline import fit_ngram_baseline
from genloom.metrics.statistics import IntervalEstimate
from genloom.store.workspace import Workspace
from genloom.trust import text
from genloom.trust.canaries import NUM_CANDIDATES, add_canaries, draw_candidates, iter_canaries
from genloom.trust.privacy import (
    CHANCE_EXPOSURE,
    PrivacyReport,
    count_personal_data,
    estimate_auc,
    measure_exposure,
    measure_extraction,
    measure_membership,
)
from tests import worlds
from tests.errors import raises_code


def make_documents(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("abcdefgh ", k=300)) for _ in range(count)]


def test_a_model_that_remembers_ten_documents_gives_an_auc_near_one() -> None:
    train, held_out = make_documents(10, 0), make_documents(10, 1)

    def losses(documents: list[str]) -> np.ndarray:  # of n-grams, which remember what they counted
        return np.array([fit_ngram_baseline(train, [each], 6).bits_per_byte.mean for each in documents])

    membership = measure_membership(losses(train), losses(held_out))
    assert membership.auc.mean > 0.95
    assert membership.is_leaking
    assert membership.found.mean > 0.9
    assert 0.5 < membership.auc.low < membership.auc.mean


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_remembers_nothing_gives_an_auc_near_a_half(seed: int) -> None:
    rng = np.random.default_rng(seed)
    membership = measure_membership(rng.standard_normal(100), rng.standard_normal(100))
    assert abs(membership.auc.mean - 0.5) < 0.15
    assert membership.auc.high - membership.auc.low < 0.2
    equal = estimate_auc(np.ones(10), np.ones(12))
    assert equal.mean == 0.5
    assert not equal.excludes(0.5)


def test_the_interval_of_the_auc_holds_the_truth_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), {}
    for shift in (0.0, 1.0, 3.0):
        truth = 0.5 * (1 + math.erf(shift / 2))
        estimates = [estimate_auc(rng.standard_normal(20), rng.standard_normal(30) + shift) for _ in range(400)]
        hits[shift] = sum(not estimate.excludes(truth) for estimate in estimates) / 400
    assert all(share > 0.9 for share in hits.values()), hits
    apart = estimate_auc(np.zeros(10), np.ones(10))
    assert apart.mean == 1
    assert 0.5 < apart.low < 0.95
    assert apart.high == pytest.approx(1)


def test_extraction_counts_verbatim_continuations_beside_chance() -> None:
    rests = make_documents(20, 2)
    train = [(rest + "…", rest) for rest in rests[:15]] + [("other" + rest, rest) for rest in rests[15:]]
    extraction = measure_extraction(train, [("nothing of it", rest) for rest in rests], 50)
    assert extraction.train.mean == 0.75
    assert extraction.held_out is not None
    assert extraction.held_out.mean == 0
    assert extraction.is_leaking
    assert not measure_extraction(train[15:], train[15:], 50).is_leaking
    assert measure_extraction([("ab", "abc")], [], 50).train.mean == 0  # a rest that is shorter counts whole
    assert measure_extraction([("abcd", "abc")], [], 50).train.mean == 1


def test_exposure_is_the_rank_among_random_secrets() -> None:
    rng = np.random.default_rng(0)
    candidates = rng.standard_normal(511)
    learned = measure_exposure(np.full(5, -10.0), candidates)
    assert learned.exposures == (9.0,) * 5
    assert learned.is_leaking
    unknown = measure_exposure(rng.standard_normal(400), candidates)
    assert unknown.mean.mean == pytest.approx(CHANCE_EXPOSURE, abs=0.3)
    assert not measure_exposure(rng.standard_normal(1), candidates).is_leaking
    assert measure_exposure(np.array([100.0]), candidates).exposures == (0.0,)


def test_personal_data_are_counted_by_kind() -> None:
    found = [text.find_personal_data(each) for each in ("mail mia@example.org", "card 4111 1111 1111 1111", "none", "")]
    report = count_personal_data(found)
    assert report is not None
    assert report.counts == {"email": 1, "card": 1}
    assert report.share.mean == 0.5
    assert count_personal_data([]) is None


def test_a_prefix_and_the_rest_are_parts_of_the_text() -> None:
    for value in (*make_documents(3, 4), "ab", "a", ""):
        prefix, rest = text.split_prefix(value)
        assert value.startswith(prefix + rest)
    assert text.split_prefix("abcd") == ("ab", "cd")


class TestCanaries:
    @pytest.fixture
    def workspace(self, tmp_path: Path) -> Workspace:
        return Workspace(tmp_path)

    def test_secrets_are_training_documents_of_a_data_set_of_their_own(self, workspace: Workspace) -> None:
        data = worlds.create_dataset(workspace, documents=12)
        changed = add_canaries(workspace, data, 5, seed=3)
        assert changed.name == "tales-canaries"
        assert changed.manifest["canaries"]["count"] == 5
        canaries = list(iter_canaries(changed))
        assert len({item.value for item in canaries}) == 5
        assert changed.count_documents("train") == data.count_documents("train") + 5
        assert changed.count_documents("val") == data.count_documents("val")
        assert not list(iter_canaries(data))
        assert workspace.get_dataset("tales").digest == data.digest
        changed.verify()
        assert add_canaries(workspace, data, 5, seed=3).digest == changed.digest
        assert add_canaries(workspace, data, 5, seed=4).digest != changed.digest

    def test_candidates_have_the_form_of_secrets_and_are_none(self, workspace: Workspace) -> None:
        changed = add_canaries(workspace, worlds.create_dataset(workspace, documents=12), 20)
        candidates = draw_candidates("text")
        assert len(candidates) == NUM_CANDIDATES
        secrets = {item.value for item in iter_canaries(changed)}
        assert not secrets & set(candidates)
        assert {len(value) for value in candidates} == {len(value) for value in secrets}

    def test_data_that_cannot_have_any_are_refused(self, workspace: Workspace) -> None:
        changed = add_canaries(workspace, worlds.create_dataset(workspace, documents=12), 2)
        with raises_code("trust.no_canaries", data="tales-canaries"):
            add_canaries(workspace, changed, 2)
        with raises_code("trust.no_canaries", medium="image"):
            add_canaries(workspace, worlds.create_image_dataset(workspace, count=12), 2)


def test_a_report_is_stored_as_json_and_as_a_page(tmp_path: Path) -> None:
    membership = measure_membership(np.zeros(10), np.ones(10), "base/1")
    report = PrivacyReport("notes/1", "notes@abc", membership, notes=("canaries <were> not measured",))
    report.save(tmp_path)
    stored = json.loads((tmp_path / "privacy.json").read_text())
    assert stored["membership"]["auc"]["mean"] == 1
    assert stored["leaking"]
    page = (tmp_path / "privacy.html").read_text()
    assert "&lt;were&gt;" in page
    assert "AUC 1.000" in page
    assert "base/1" in str(report)
    assert not PrivacyReport("notes/1", "notes@abc").is_leaking
    one = measure_exposure(np.zeros(1), np.ones(3))
    assert PrivacyReport("n/1", "n", exposure=one).to_json()["exposure"]["mean"]["low"] is None
    assert isinstance(one.mean, IntervalEstimate)
