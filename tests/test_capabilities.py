"""Every optional ability of a part is declared in one place, and some built-in part has it."""

from typing import Any, get_args

import pytest

from genloom import capabilities, plugins
from genloom.capabilities import GridCodec, Hook, PartModule, TurnableCodec
from genloom.codecs import bpe, density, waveform
from genloom.conditioners.goals import GoalsConditioner
from genloom.generate.grammar import GrammarConstraint
from genloom.networks import convolution, dense, dit, ngram, recurrent, transformer, transformer_block
from genloom.networks.lora import Adapter
from genloom.networks.native.quantized_transformer import QuantizedTransformer
from genloom.objectives.autoregressive import Autoregressive
from genloom.objectives.dpo import DPO
from genloom.objectives.flow import Flow
from genloom.objectives.kto import KTO
from genloom.objectives.shortcut import Shortcut
from genloom.objectives.variational import Variational
from genloom.types import ConditionSpec, NetworkSpec, SignalSpace, TokenSpace

TOKENS, IMAGE = TokenSpace(5, 8), SignalSpace(1, (8, 8))
CAUSAL, GRID = NetworkSpec(TOKENS, TOKENS, is_causal=True), NetworkSpec(IMAGE, IMAGE)
PROTOCOLS = {
    name: value
    for name, value in vars(capabilities).items()
    if getattr(value, "_is_runtime_protocol", False) and value.__module__ == capabilities.__name__
}


def get_kind(name: str) -> str:
    """Return the kind of part that an ability belongs to; parts of other kinds may use its names for something else."""
    return (
        "network"
        if name.endswith(("Network", "Layer", "Group"))
        else "codec"
        if name.endswith("Codec")
        else "conditioner"
        if name.endswith("Conditioner")
        else "objective"
    )


def list_abilities(part: object) -> set[str]:
    package = type(part).__module__.split(".")[1]
    return {
        name for name, protocol in PROTOCOLS.items() if package == f"{get_kind(name)}s" and isinstance(part, protocol)
    }


PARTS: dict[str, tuple[Any, set[str]]] = {
    "transformer": (
        transformer.build(CAUSAL, transformer.Config(width=8, depth=1, heads=1)),
        {"LogitsNetwork", "OutputHeadNetwork", "ResizableNetwork", "SpecifiedNetwork"},
    ),
    "attention": (
        transformer_block.SelfAttention(transformer.Config(width=8, depth=1, heads=1)),
        {"AdaptableLayer"},
    ),
    "recurrent": (recurrent.build(CAUSAL, recurrent.Config(width=8)), {"SpecifiedNetwork"}),
    "ngram": (
        ngram.build(CAUSAL, ngram.Config(base=transformer.Config(width=8, depth=1, heads=1))),
        {"CountingNetwork", "StepwiseNetwork"},
    ),
    "convolution": (convolution.build(GRID, convolution.Config(width=4)), {"FeatureNetwork", "ResizableNetwork"}),
    "dense": (
        dense.build(NetworkSpec(IMAGE, IMAGE, condition=ConditionSpec(vector=1)), dense.Config(4)),
        {"SpecifiedNetwork"},
    ),
    "dit": (dit.build(GRID, dit.Config(8, 1, 8)), {"ResizableNetwork", "SpecifiedNetwork"}),
    "autoregressive": (Autoregressive(TOKENS), {"ExactLikelihood"}),
    "flow": (Flow(IMAGE), {"InvertibleSampler", "ScaledLikelihood"}),
    "shortcut": (Shortcut(IMAGE), {"LearnedGuidance", "Distillable"}),
    "variational": (Variational(IMAGE), {"QuantizedLatent"}),
    "dpo": (DPO(Autoregressive(TOKENS)), {"WrappingObjective"}),
    "kto": (KTO(Autoregressive(TOKENS)), {"WrappingObjective", "BatchPreparing"}),
    "bytes": (
        plugins.find_part("codec", "bytes").Codec.fit([], None),
        {"ChatCodec", "FillingCodec", "SpecialTokensCodec", "StreamingCodec"},
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_abilities_of_built_in_parts(name):
    part, abilities = PARTS[name]
    assert list_abilities(part) == abilities


def test_no_ability_is_declared_that_no_part_has():
    abilities = set().union(*(abilities for _, abilities in PARTS.values()))
    abilities |= {"ParameterGroup"} if isinstance(Adapter.kind, str) else set()
    for cls, names in (
        (QuantizedTransformer, {"JointNetwork", "LastLogitsNetwork", "PrefixCachingNetwork", "TruncatingNetwork"}),
        (plugins.find_part("codec", "tokenizer").Codec, {"ContinuationCodec"}),
        (GrammarConstraint, {"PredictingConstraint"}),
        (plugins.find_part("codec", "notes").Codec, {"AugmentingCodec", "ConstrainedCodec", "MarkedCodec"}),
        (GoalsConditioner, {"ResamplingConditioner", "TurnableConditioner"}),
        (waveform.Codec, {"ResizableCodec"}),
    ):
        assert all(isinstance(cls.__new__(cls), PROTOCOLS[name]) for name in names)
        abilities |= names
    abilities |= {"TurnableCodec"} if isinstance(density.Codec(density.Config()), TurnableCodec) else set()
    abilities |= {"GridCodec"} if isinstance(density.Codec(density.Config()), GridCodec) else set()
    assert abilities | {"AutoencoderCodec", "StoredCodec"} == set(PROTOCOLS)  # the latter is for plugins
    assert "autoencoder" in plugins.find_part("codec", "latent").Codec.__dataclass_fields__


def test_the_hooks_of_modules_are_those_of_part_module():
    assert set(get_args(Hook)) == set(PartModule.__annotations__)


def test_a_module_without_a_hook_gives_none():
    assert plugins.get_hook("codec", "bpe", "default_config") is bpe.default_config
    assert plugins.get_hook("codec", "bytes", "default_config") is None


def test_helpers_return_what_a_part_declares_or_nothing():
    quantized = Variational(IMAGE, latent=2, levels=(3, 3))
    assert capabilities.get_levels(quantized) == (3, 3)
    assert capabilities.get_levels(Flow(IMAGE)) == ()
    assert capabilities.unwrap_objective(DPO(Autoregressive(TOKENS))) == Autoregressive(TOKENS)
    assert capabilities.unwrap_objective(quantized) is quantized
    assert capabilities.get_chat_template(object()) is None
    assert capabilities.get_special_tokens(object()) == {}
