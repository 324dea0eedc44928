"""Content rules: which texts are refused, warned of or logged, by combinations of words.

The package's policy.toml holds the rules that the law of many countries demands; policy.toml of a workspace adds rules
and lists of its own. A rule applies if a text has, close together, an entry of each of its lists, and none of its
exceptions.
"""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from genloom.errors import GenloomError
from genloom.settings import MAX_RECIPE_BYTES, option, parse_settings, to_toml
from genloom.store.consent import Likeness
from genloom.trust.classifiers import build_classifier, compute_scores, list_media
from genloom.trust.policy_words import TextReader, decode_text, parse_entry

Action = Literal["refuse", "warn", "log"]
ConsentAction = Literal["refuse", "warn", "log", "allow"]
Target = Literal["prompt", "output"]

POLICY_FILE = "policy.toml"  # in the workspace
DEFAULT_FILE = Path(__file__).with_name(POLICY_FILE)
MAX_WINDOW = 1000
_SEVERITY: Mapping[str, int] = {"refuse": 0, "warn": 1, "log": 2}
_MAX_CHARS = 200_000  # of a text that are read: half of them at its beginning, half at its end


@dataclass(frozen=True)
class Rule:
    """A table [rules.NAME] of a policy file."""

    name: str = ""  # its key in the file
    action: Action = option("refuse", "Action: refuse, warn or log.", choices=("refuse", "warn", "log"))
    reason: str = option("", "Subject of the rule, as people read it.")
    all: tuple[str, ...] = option((), "Lists, or words, of each of which the text has an entry.")
    none: tuple[str, ...] = option((), "Lists, or words, of which the text has no entry.")
    window: int = option(0, "Words within which the entries lie. 0: anywhere.", minimum=0, maximum=MAX_WINDOW)
    classifier: str = option("", "Classifier whose score is at least the threshold, besides the words of `all`.")
    threshold: float = option(0.5, "Score of the classifier from which the rule applies.", minimum=0, maximum=1)
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the classifier
    on: tuple[Target, ...] = option(("prompt", "output"), "Texts to check: prompt, output or both.")
    is_fixed: bool = option(False, "Whether a workspace cannot replace the rule; only the package's rules can be so.")


@dataclass(frozen=True)
class PolicySettings:
    """The table [settings] of a policy file."""

    log_text: bool = option(False, "Whether the ledger keeps the text that a rule applied to, besides its SHA-256.")


@dataclass(frozen=True)
class ConsentRules:
    """The table [consent] of a policy file: what is done about persons in the data of a model."""

    needed: tuple[Likeness, ...] = option(("voice", "face"), "Likenesses that need a consent.")
    assumed: tuple[Likeness, ...] = option(("voice",), "Likenesses that data may hold if nothing is said of persons.")
    missing: ConsentAction = option("refuse", "Action without a consent: refuse, warn, log or allow.")
    invalid: ConsentAction = option("refuse", "The same where a consent has ended or is for something else.")
    unstated: ConsentAction = option("warn", "The same where nothing was said of persons, and there is a sign of some.")
    generation: ConsentAction = option("warn", "The same at each generation by a model whose consent has ended.")


@dataclass(frozen=True)
class ContentPolicy:
    """The rules that hold in a workspace, and the lists of words that they name."""

    rules: Mapping[str, Rule]
    lists: Mapping[str, tuple[str, ...]]
    settings: PolicySettings
    consent: ConsentRules = ConsentRules()

    def to_json(self) -> dict[str, Any]:
        """Return the rules as JSON values."""
        rules = {name: {f.name: getattr(rule, f.name) for f in fields(Rule)[1:]} for name, rule in self.rules.items()}
        consent = {f.name: getattr(self.consent, f.name) for f in fields(ConsentRules)}
        return {"rules": rules, "settings": {"log_text": self.settings.log_text}, "consent": consent}


@dataclass(frozen=True)
class Decision:
    """A rule that applies to a text, with the words that it found."""

    rule: str
    action: Action
    reason: str
    words: tuple[str, ...]  # one entry of each list, as the text has it in small letters
    score: float | None = None  # of the classifier; None: the rule has none

    def to_json(self) -> dict[str, Any]:
        """Return the decision as JSON values."""
        score = {} if self.score is None else {"score": self.score}
        return {"rule": self.rule, "action": self.action, "reason": self.reason, "words": list(self.words), **score}


# Files


def load_policy(root: Path) -> ContentPolicy:
    """Return the rules of a workspace: the package's, and those of its policy.toml.

    Raise GenloomError: trust.bad_policy for a file that cannot be read or a setting that does not exist,
    trust.fixed_rule for one that replaces a rule of the law.
    """
    path = root / POLICY_FILE
    try:
        state = path.stat()
    except FileNotFoundError:
        return _load_files(path, None)
    except OSError as error:
        raise GenloomError("trust.bad_policy", path=path, reason=error.strerror or error) from None
    return _load_files(path, (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=16)
def _load_files(path: Path, state: tuple[int, int] | None) -> ContentPolicy:
    default = _parse_file(DEFAULT_FILE)
    if state is None:
        return default
    own = _parse_file(path, default)
    if fixed := [name for name, rule in default.rules.items() if rule.is_fixed and name in own.rules]:
        raise GenloomError("trust.fixed_rule", path=path, rule=fixed[0], reason=default.rules[fixed[0]].reason)
    return ContentPolicy({**default.rules, **own.rules}, {**default.lists, **own.lists}, own.settings, own.consent)


def _parse_file(path: Path, default: ContentPolicy | None = None) -> ContentPolicy:
    """Return the rules of one file; with `default`, those of a workspace, which may name the lists of the default."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_RECIPE_BYTES + 1)
        if len(content) > MAX_RECIPE_BYTES:
            raise ValueError(f"it is larger than {MAX_RECIPE_BYTES:,} bytes")
        return _parse_tables(tomllib.loads(content.decode("utf-8")), default)
    except (OSError, ValueError) as error:  # invalid UTF-8 or TOML is a ValueError
        raise GenloomError("trust.bad_policy", path=path, reason=error) from None


def _parse_tables(tables: Mapping[str, Any], default: ContentPolicy | None) -> ContentPolicy:
    if unknown := sorted(tables.keys() - {"rules", "lists", "settings", "consent"}):
        raise ValueError(f"it has [{unknown[0]}], where [rules.NAME], [lists], [settings] and [consent] are known")
    for name in ("rules", "lists", "settings", "consent"):
        if not isinstance(tables.get(name, {}), Mapping):
            raise ValueError(f"{name} must be a table, [{name}]")
    lists: dict[str, tuple[str, ...]] = {}
    for name, entries in tables.get("lists", {}).items():
        if not isinstance(entries, list) or not all(isinstance(each, str) and parse_entry(each) for each in entries):
            raise ValueError(f"lists.{name} must be a list of words")
        if default is not None and name in default.lists:
            raise ValueError(f"lists.{name} is a list of the package. Give yours another name")
        lists[name] = tuple(entries)
    known_lists = {*lists, *(default.lists if default else ())}
    rules = {}
    for name, table in tables.get("rules", {}).items():
        if not isinstance(table, Mapping):
            raise ValueError(f"rules.{name} must be a table, [rules.{name}]")
        rule = parse_settings(Rule, {**table, "name": name}, f"rules.{name}")
        if not (rule.all or rule.classifier):
            raise ValueError(f"rules.{name} names no list, no word and no classifier")
        if rule.classifier:
            build_classifier(rule.classifier, rule.settings)  # a wrong setting is found here
        elif rule.settings:
            raise ValueError(f"rules.{name}.settings are those of a classifier, and it names none")
        if rule.is_fixed and default is not None:
            raise ValueError(f"rules.{name}.is_fixed is for the package's rules")
        for entry in (*rule.all, *rule.none):
            if entry not in known_lists and not parse_entry(entry):
                raise ValueError(f"rules.{name} has an entry without a word: {entry!r}")
        rules[name] = rule
    settings = parse_settings(PolicySettings, tables.get("settings", {}), "settings")
    return ContentPolicy(rules, lists, settings, parse_settings(ConsentRules, tables.get("consent", {}), "consent"))


def write_template(root: Path) -> Path:
    """Write a policy.toml with an example to a workspace; raise trust.policy_exists if there is one."""
    path = root / POLICY_FILE
    root.mkdir(parents=True, exist_ok=True)
    example = {
        "settings": {"log_text": False},
        "rules": {
            "our-project": {"action": "log", "reason": "names of our project", "all": ["project"], "on": ["prompt"]}
        },
        "lists": {"project": ["project nightingale", "nightingale*"]},
    }
    header = "# Content rules of this workspace, besides those of Genloom (genloom policy show). See docs/trust.md.\n\n"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(header + to_toml(example))
    except FileExistsError:
        raise GenloomError("trust.policy_exists", path=path) from None
    return path


# Decisions


def check_text(policy: ContentPolicy, text: str, target: Target = "prompt") -> list[Decision]:
    """Return the rules that apply to a text, the strictest first.

    Raise GenloomError (trust.bad_classifier) for a classifier that does not keep its contract.
    """
    text = _shorten_text(text)
    # A text with tags, escapes or names of programs is read as it stands, too, so that neither way hides a word.
    readers = [TextReader(policy.lists, each) for each in dict.fromkeys((text, decode_text(text)))]
    decisions = []
    for name, rule in policy.rules.items():
        found = [each.find_words(rule.all, rule.none, rule.window) if rule.all else () for each in readers]
        words = next((each for each in found if each is not None), None)
        if target not in rule.on or words is None:
            continue
        if not rule.classifier:
            decisions.append(Decision(name, rule.action, rule.reason or name, words))
        elif "text" in list_media(rule.classifier) and not (rule.none and readers[0].has_entry(rule.none)):
            decisions += _classify_values(name, rule, [text], words)
    return sorted(decisions, key=lambda decision: _SEVERITY[decision.action])


def check_values(policy: ContentPolicy, medium: str, values: Sequence[Any]) -> list[tuple[int, Decision]]:
    """Return the rules with a classifier of the medium that apply to outputs, each with the number of the output."""
    found = []
    for name, rule in list_value_rules(policy, medium):
        for number, value in enumerate(values):
            found += [(number, decision) for decision in _classify_values(name, rule, [value], ())]
    return sorted(found, key=lambda pair: _SEVERITY[pair[1].action])


def list_value_rules(policy: ContentPolicy, medium: str) -> list[tuple[str, Rule]]:
    """Return the rules that read outputs of a medium by a classifier; `check_text` applies those of text."""
    rules = [(name, rule) for name, rule in policy.rules.items() if rule.classifier and "output" in rule.on]
    return [(name, rule) for name, rule in rules if medium in list_media(rule.classifier)]


def _classify_values(name: str, rule: Rule, values: Sequence[Any], words: tuple[str, ...]) -> list[Decision]:
    """Return the decision if the score of the one value reaches the threshold."""
    [score] = compute_scores(rule.classifier, rule.settings, values).tolist()
    return [Decision(name, rule.action, rule.reason or name, words, round(score, 4))] if score >= rule.threshold else []


def find_list_entries(policy: ContentPolicy, name: str, text: str) -> str:
    """Return the first entry of a list in a text; "" if it has none."""
    words = TextReader(policy.lists, _shorten_text(text)).find_words([name])
    return words[0] if words else ""


def _shorten_text(text: str) -> str:
    """Return the beginning and the end of a long text: a model that cannot read all of it reads the end."""
    half = _MAX_CHARS // 2
    return text if len(text) <= _MAX_CHARS else f"{text[:half]}\n{text[-half:]}"


def hash_text(text: str) -> str:
    """Return the SHA-256 of a text, by which the ledger names it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
