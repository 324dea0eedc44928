"""Consents of persons in data: checked before training, sharing and generation; withdrawn; and listed."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from genloom.api import progress as progress_bars
from genloom.errors import GenloomError, format_message
from genloom.store.consent import apply_withdrawals, get_today, iter_trained_data, read_consents

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace
    from genloom.trust.consent import ConsentFinding, ConsentTarget


def check_training_consent(workspace: "Workspace", data: str, base: str = "", *, is_run: bool = False) -> None:
    """Apply the consent rules to the data of a training, and of all models that its base was made of.

    With `is_run`, `data` names a run to resume. A decision is recorded in the ledger, as those of content rules are.
    Raise GenloomError (trust.consent_refused) where the rules refuse.
    """
    from genloom.store.consent import list_withdrawals
    from genloom.trust.consent import judge_dataset, judge_entry
    from genloom.trust.policy import load_policy

    digest = ""
    if is_run:
        from genloom.train.job import read_job
        from genloom.train.resume import find_resumable_run

        job = read_job(find_resumable_run(workspace.store, data).folder / "job.toml")
        data, digest, base = job.data, job.digest, str(job.base.get("ref", ""))
    dataset, policy = workspace.store.get_dataset(data, digest), load_policy(workspace.folder)
    withdrawals, today = list_withdrawals(workspace.ledger), get_today()
    findings = judge_dataset(policy, dataset, withdrawals, today)
    for entry in iter_trained_data(workspace.store, base) if base else ():
        findings += judge_entry(policy.consent, entry, "training", withdrawals, today)
    _apply_findings(workspace, findings, base, "training")


def check_model_consent(workspace: "Workspace", model: str, target: "ConsentTarget") -> None:
    """Apply the consent rules to a model that generates (target prompt), learns (training) or is shared (export).

    Raise GenloomError (trust.consent_refused) where the rules refuse.
    """
    entries = list(iter_trained_data(workspace.store, model))
    if not any(entry.get("persons") or entry.get("consent") for entry in entries):
        return  # as of nearly all models: nothing else is read
    from genloom.store.consent import list_withdrawals
    from genloom.trust.consent import judge_entry
    from genloom.trust.policy import load_policy

    rules, withdrawals, today = load_policy(workspace.folder).consent, list_withdrawals(workspace.ledger), get_today()
    findings = [each for entry in entries for each in judge_entry(rules, entry, target, withdrawals, today)]
    _apply_findings(workspace, findings, model, target)


def withdraw_consent(workspace: "Workspace", data: str, who: str) -> None:
    """Record that a person has withdrawn the consent to a data set; it holds for all its versions.

    Models that are trained stay: `Model.forget` trains them again without documents of the person.

    Raises
    ------
    GenloomError
        store.unknown_name, store.unknown_name_near: there is no such data set; trust.no_consent: nobody of this name
        has consented to it.
    """
    from genloom.store.consent import record_withdrawal

    names = {row["who"] for row in list_consents(workspace) if row["data"] == data}
    if who not in names:
        workspace.store.get_dataset(data)
        raise GenloomError("trust.no_consent", data=data, who=who, known=", ".join(sorted(names)) or "nobody")
    record_withdrawal(workspace.ledger, data, who)


def list_consents(workspace: "Workspace") -> list[dict[str, Any]]:
    """List the consents to all data sets, newest versions, with their state today: valid, expired, withdrawn …"""
    from genloom.store.consent import list_withdrawals

    withdrawals, today = list_withdrawals(workspace.ledger), get_today()
    return [
        {"data": dataset.name, **consent.to_json(), "state": consent.get_state(today)}
        for dataset in workspace.store.list_datasets()
        for consent in apply_withdrawals(dataset.name, read_consents(dataset.manifest.get("consent")), withdrawals)
    ]


def _apply_findings(
    workspace: "Workspace", findings: Iterable["ConsentFinding"], model: str, target: "ConsentTarget"
) -> None:
    """Record findings in the ledger, print warnings, and refuse."""
    acted = [finding for finding in findings if finding.action != "allow"]
    for finding in acted:
        entry: Mapping[str, Any] = {"rule": finding.rule, "action": finding.action, "target": target, "model": model}
        workspace.ledger.append("policy", {**entry, "sha256": finding.digest})
        if finding.action == "warn":
            progress_bars.print_note(format_message("trust.consent_warning", reason=finding.reason))
    refused = next((finding for finding in acted if finding.action == "refuse"), None)
    if refused is not None:
        needed, other = format_message("trust.consent_needed"), format_message("trust.consent_cure")
        cure = other if refused.rule == "consent-invalid" else needed
        raise GenloomError("trust.consent_refused", target=target, reason=refused.reason, cure=cure)
