"""Which versions of models were trained on which ratings: by the ledger, and by the base of each version."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace


@dataclass(frozen=True)
class RatingsTraining:
    """A training on ratings, by a round or by unlearning."""

    version: str
    base: str
    run: str  # "": see the job of the version
    used: frozenset[str]  # ledger entries

    @property
    def model(self) -> str:
        return self.version.partition("/")[0]


def list_trainings(ledger: Ledger) -> list[RatingsTraining]:
    """List the trainings on ratings, oldest first.

    A version that unlearning trained again, to the same weights, was trained on what unlearning used.
    """
    trainings: dict[str, RatingsTraining] = {}
    in_effect: set[str] = set()
    for entry in ledger.iter_entries(["rating", "choice", "withdrawal", "round", "forgetting"]):
        body = entry.body
        match entry.kind:
            case "rating" | "choice":
                in_effect.add(entry.id)
            case "withdrawal":
                in_effect.discard(body["event"])
            case "round":
                used = frozenset(body["used"])
                trainings[body["challenger"]] = RatingsTraining(body["challenger"], body["champion"], body["run"], used)
            case "forgetting" if body["new_version"] and "item" not in body:
                # Earlier versions of Genloom did not record what was used: all that was in effect.
                used = frozenset(in_effect if body.get("used") is None else body["used"])
                trainings[body["new_version"]] = RatingsTraining(body["new_version"], body["base_version"], "", used)
    return list(trainings.values())


def find_trained_versions(workspace: Workspace, ledger: Ledger, events: Collection[str]) -> list[str]:
    """Return the versions, of all models, that were trained on one of these ratings, or are based on one that was."""
    trainings, events = list_trainings(ledger), frozenset(events)
    return _add_descendants(workspace, trainings, (each.version for each in trainings if each.used & events))


def find_withdrawn_versions(workspace: Workspace, ledger: Ledger) -> list[str]:
    """Return the versions that were trained on ratings or documents that are withdrawn, or are based on one."""
    trainings = list_trainings(ledger)
    withdrawn_events = {entry.body["event"] for entry in ledger.iter_entries(["withdrawal"])}
    by_ratings = {each.version for each in trainings if each.used & withdrawn_events}
    by_documents = {
        version
        for entry in ledger.iter_entries(["forgetting"])
        if "item" in entry.body
        for version in entry.body["tainted_versions"]
    }
    return _add_descendants(workspace, trainings, by_ratings | by_documents)


def _add_descendants(
    workspace: Workspace, trainings: Collection[RatingsTraining], versions: Iterable[str]
) -> list[str]:
    """Return the versions and all that are based on them, by model and number."""
    parents = {folder.ref: folder.parent_ref for folder in workspace.list_models()}
    parents |= {each.version: each.base for each in trainings}  # also of versions that were removed
    found: set[str] = set()
    new_versions = set(versions)
    while new_versions:
        found |= new_versions
        new_versions = {version for version, parent in parents.items() if parent in new_versions} - found
    return sorted(found, key=_get_sort_key)


def _get_sort_key(ref: str) -> tuple[str, int]:
    name, _, version = ref.partition("/")
    return name, int(version) if version.isdigit() else 0
