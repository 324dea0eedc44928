"""Consent rules: what training and sharing need of the persons in the data, and what happens without it.

Data hold a person's voice or face if the collector says so, if a consent names it, or, as far as a rule can tell, if
the medium has voices, or captions name persons.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from genloom import plugins
from genloom.media.abilities import get_ability
from genloom.store.consent import Consent, Purpose, apply_withdrawals, join_names, read_consents
from genloom.store.dataset import Dataset
from genloom.text_format import format_count
from genloom.trust.policy import ConsentAction, ConsentRules, ContentPolicy, find_list_entries

ConsentTarget = Literal["training", "export", "prompt"]

_MAX_CAPTIONS = 20_000  # that are searched for persons
_PURPOSES: Mapping[ConsentTarget, Purpose] = {"training": "training", "export": "sharing", "prompt": "generation"}


@dataclass(frozen=True)
class ConsentFinding:
    """A reason to refuse, or to warn, because of the persons in a data set."""

    rule: str  # consent-missing, consent-unstated or consent-invalid
    action: ConsentAction
    reason: str
    data: str
    digest: str


def judge_entry(
    rules: ConsentRules,
    entry: Mapping[str, Any],
    target: ConsentTarget,
    withdrawals: Mapping[tuple[str, str], date],
    today: date,
) -> list[ConsentFinding]:
    """Return the findings on a data set as a card or manifest describes it: name, digest, persons and consent."""
    name, digest = str(entry.get("name") or ""), str(entry.get("digest") or "")
    stated = [str(person) for person in entry.get("persons") or ()]
    consents = apply_withdrawals(name, read_consents(entry.get("consent")), withdrawals)
    findings = []
    if needed := [person for person in stated if person in rules.needed]:
        covered = {of for consent in consents for of in consent.of}
        if missing := [person for person in needed if person not in covered]:
            reason = f"the data set {name!r} holds {' and '.join(missing)} of persons, and no consent to it"
            findings.append(ConsentFinding("consent-missing", rules.missing, reason, name, digest))
    for kind, group in _group_invalid(consents, _PURPOSES[target], today).items():
        reason = f"{kind}: the consent of {join_names(group)} to the data set {name!r}"
        action = rules.generation if target == "prompt" else rules.invalid
        findings.append(ConsentFinding("consent-invalid", action, reason, name, digest))
    if target == "prompt":  # once a model is there, only consents that no longer hold are told
        findings = [finding for finding in findings if finding.rule == "consent-invalid"]
    return findings


def judge_dataset(
    policy: ContentPolicy, dataset: Dataset, withdrawals: Mapping[tuple[str, str], date], today: date
) -> list[ConsentFinding]:
    """Return the findings on the training on a data set, also on one of which nothing was said of persons."""
    entry = {"name": dataset.name, "digest": dataset.digest}
    entry |= {key: dataset.manifest[key] for key in ("persons", "consent") if key in dataset.manifest}
    findings = judge_entry(policy.consent, entry, "training", withdrawals, today)
    if not dataset.manifest.get("persons") and (sign := find_persons(policy, dataset)):
        reason = f"the data set {dataset.name!r} {sign}, and nothing was said of a consent"
        findings.append(
            ConsentFinding("consent-unstated", policy.consent.unstated, reason, dataset.name, dataset.digest)
        )
    return findings


def find_persons(policy: ContentPolicy, dataset: Dataset) -> str:
    """Return by what sign a data set may hold voices or faces of persons; "" without one."""
    likenesses = get_ability(plugins.find_part("medium", dataset.medium), "persons")
    if assumed := [each for each in likenesses if each in policy.consent.assumed]:
        return f"may hold a {' and a '.join(assumed)}"
    if not likenesses:
        return ""
    count, example = 0, ""
    for caption in _iter_captions(dataset):
        if words := find_list_entries(policy, "persons", caption):
            count, example = count + 1, example or words
    return f"names persons in {format_count(count, 'caption')} (as {example!r})" if count else ""


def describe_persons(
    entry: Mapping[str, Any], withdrawals: Mapping[tuple[str, str], date], today: date
) -> list[tuple[Consent, str]]:
    """Return the consents to a data set that a card or manifest describes, each with its state."""
    consents = apply_withdrawals(str(entry.get("name") or ""), read_consents(entry.get("consent")), withdrawals)
    return [(consent, consent.get_state(today)) for consent in consents]


def _iter_captions(dataset: Dataset) -> Iterable[str]:
    """Yield captions and names of sources, of up to 20,000 training documents."""
    for number, item in enumerate(dataset.iter_metadata("train", "caption")):
        if number == _MAX_CAPTIONS:
            return
        yield str(item.meta.get("caption") or "")


def _group_invalid(consents: Iterable[Consent], purpose: Purpose, today: date) -> dict[str, list[Consent]]:
    """Return the consents that do not allow this purpose today, by the reason."""
    found: dict[str, list[Consent]] = {}
    for consent in consents:
        state = consent.get_state(today)
        if state != "valid":
            found.setdefault(state, []).append(consent)
        elif purpose not in consent.purposes:
            found.setdefault(f"not for {purpose}", []).append(consent)
    return found
