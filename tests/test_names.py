"""Names follow the rules of CONTRIBUTING: the field's words, verbs for functions, one meaning for one name."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ("genloom", "bench", "recipes", "tools")
# Names that were replaced by the field's; none of them comes back as an identifier.
_REPLACED = """
    DARING Wishes Allowance Attempts Attempting Tried Opinions Opinion Lessons Sides Drawn Begun Wanted Looked
    can_look things_looked Asked Mixture Beginning beginnings suited sized regularised restarted Leaving Written
    hand_over working_copy Stepped Checked Warned misfit kept_of_symbols kept_of_samples guided_from guided_until
    Toward Turned Hole pulled Seats silent solutions Course Slope taken_back wander telling_apart fooling nudge squeezed
    rebuilt taught_by flowing Inform news Beside Unfilled likeliest Speaking mended Making folder_aside Unlikeness
    Kinship barred Exercise Chooser risen stirred unprompted row_length symbols part_names rows_within best_device
    chinchilla_gap length_kwargs random_inputs random_condition unreadable_error halving_factors overlapping_kernel"""
REPLACED = frozenset(_REPLACED.split())
_IRREGULAR = "told kept found held led shown made given taken drawn done gone known lost sent taught thought"
IRREGULAR = frozenset(_IRREGULAR.split())
# Verbs that end like one, and `created`, which OpenAI and Hugging Face say.
NOT_PARTICIPLES = frozenset({"seed", "feed", "embed", "created"})
# Names that many parts define on purpose: the contract of a plug-in, or of a command.
_SHARED = """Config Codec SamplingParams build build_columns main run check evaluate compare
    default_config resize_config with_dropout read select fit activations_per_token save show sheet count_units
    build_router find_shared build_document count_matching_files compute_sketches compute_similarity describe_changes
    EditOptions build_edit unpack_edit measure_safeguards describe open preview encode decode parse
    require_save_suffix extract_style_features cut split render render_sound build_metadata load_library"""
SHARED = frozenset(_SHARED.split())

# Single words that functions of a module may be named: contracts of plug-ins and commands, the verbs of the steps and
# of the Python API, and mathematics and system calls by their own names. Others are a verb and a noun.
_SINGLE = """
    open read save load show sheet preview render cut split parse encode decode describe fit build check select
    resolve summary run main option
    collect train generate evaluate compare rate learn forget choose withdraw promote rollback remove restore diagnose
    parts replay verify trace copies translate summarize classify ask embed write answer
    analyze optimize refine
    speak transcribe upscale
    sigmoid logit lerp quantize"""
SINGLE = frozenset(_SINGLE.split())


def trees(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        if path.name != "old_names.py":
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def identifiers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of every name, attribute, parameter, function and class."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name


def test_replaced_names_do_not_come_back() -> None:
    assert not [
        f"{path}:{line} {name}"
        for path, tree in trees(*PRODUCT)
        for line, name in identifiers(tree)
        if name in REPLACED
    ]


def test_no_function_is_a_bare_participle() -> None:
    for path, tree in trees(*PRODUCT, "tests"):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                word = node.name.strip("_")
                is_participle = word in IRREGULAR or (word.endswith("ed") and word not in NOT_PARTICIPLES)
                assert "_" in word or not is_participle, f"{path}:{node.lineno} {node.name}: name a verb and a noun"


def test_functions_of_modules_are_a_verb_and_a_noun() -> None:
    """Methods may be a verb alone: their object is the noun."""
    assert not [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in trees(*PRODUCT)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("__")
        if "_" not in (word := node.name.strip("_")) and word not in SINGLE
    ]


def test_one_name_has_one_meaning() -> None:
    """A function or class that four modules define is either a contract or a name too vague."""
    places = defaultdict(set)
    for path, tree in trees("genloom"):
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name not in SHARED:
                places[node.name].add(path)
    assert not {name: sorted(paths) for name, paths in places.items() if len(paths) >= 4}
