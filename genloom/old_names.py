"""Names that earlier versions of Genloom wrote to disk, and their present ones.

Models, runs, outputs and recipes of earlier versions stay readable: readers of tables pass them through this module.
Nothing is written under an old name.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

# Settings, by the dataclass that holds them ("module:Class" below genloom).
FIELDS: dict[str, dict[str, str]] = {
    "codecs.autoencoder:AutoencoderSpec": {"spread": "has_log_variance"},
    "codecs.bpe:Config": {"vocab": "vocab_size"},
    "codecs.chat_template:ChatTemplate": {
        "before": "prefixes",
        "after": "suffixes",
        "stops": "eos_tokens",
        "system": "default_system",
        "start": "bos_text",
        "joined": "user_prefix_after_system",
        "reply": "generation_prompt",
        "trims": "should_strip",
    },
    "codecs.tokenizer:Config": {"vocab": "vocab_size", "length": "context_length", "start": "bos", "stop": "eos"},
    "generate.conditions:GuidanceConfig": {
        "guidance": "guidance_scale",
        "negative": "negative_prompt",
        "guided_from": "guidance_start",
        "guided_until": "guidance_end",
    },
    "generate.engine:Request": {
        "stops": "stop",
        "controls": "params",
        "ids": "prompt_ids",
        "ends": "eos_ids",
        "original": "edit",
        "toward": "interpolation",
    },
    "generate.image:EditSource": {"picture": "image", "missing": "mask", "change": "strength"},
    "generate.presets:Preset": {"about": "description"},
    "networks.convolution:Config": {"shrink": "down_blocks", "grow": "up_blocks"},
    "networks.dit:Config": {"patch": "patch_size", "hidden": "mlp_width"},
    "networks.lora:Config": {"rank_stabilised": "use_rslora", "decomposed": "use_dora"},
    "networks.ngram:Config": {"folds": "num_folds", "basis": "count_features", "apart": "count_split"},
    "networks.recurrent:Config": {"tied": "tie_embeddings"},
    "networks.transformer:Config": {"hidden": "mlp_width", "tied": "tie_embeddings", "hashed": "hash_buckets"},
    "networks.unet:Config": {
        "levels": "channel_mult",
        "blocks": "num_res_blocks",
        "attention": "attention_max_positions",
        "groups": "norm_groups",
    },
    "objectives.adversarial:Adversarial": {"smooth": "r1_weight", "nudge": "r1_eps", "cond": "condition"},
    "objectives.autoregressive:Autoregressive": {"cond": "condition"},
    "objectives.autoregressive:SamplingParams": {
        "prompts": "prompt_ids",
        "length": "max_tokens",
        "banned": "suppressed_tokens",
        "stops": "eos_ids",
        "ended": "is_finished",
    },
    "objectives.dpo:DPO": {"anchor": "rpo_alpha", "per_unit": "is_length_normalized", "flipped": "label_smoothing"},
    "objectives.flow:Flow": {"cond": "condition"},
    "objectives.flow:SamplingParams": {"known": "known_values", "again": "resample_steps", "start": "init_values"},
    "objectives.grpo:GRPO": {"clip": "clip_range"},
    "objectives.kto:KTO": {"anchor": "rpo_alpha", "good": "desirable_weight", "bad": "undesirable_weight"},
    "objectives.masked:Masked": {"cond": "condition"},
    "objectives.masked:SamplingParams": {
        "prompts": "prompt_ids",
        "known": "known_ids",
        "banned": "suppressed_tokens",
        "ended": "is_finished",
        "length": "max_tokens",
        "wander": "choice_temperature",
    },
    "objectives.shortcut:SamplingParams": {"known": "known_values", "again": "resample_steps", "start": "init_values"},
    "objectives.shortcut:Shortcut": {
        "cond": "condition",
        "guidance": "guidance_scale",
        "levels": "num_levels",
        "anchored": "flow_fraction",
    },
    "objectives.vae_gan:VaeGan": {
        "spread": "decoder_std",
        "edges": "laplacian_weight",
        "coarse": "scale_equivariance_weight",
        "fool": "adv_weight",
        "features": "feature_matching_weight",
        "smooth": "r1_weight",
        "nudge": "r1_eps",
        "cond": "condition",
    },
    "objectives.variational:SamplingParams": {"noisy": "should_add_noise"},
    "objectives.variational:Variational": {
        "spread": "decoder_std",
        "edges": "laplacian_weight",
        "coarse": "scale_equivariance_weight",
        "cond": "condition",
    },
    "rate.checks.centred:Config": {"most": "max_offset"},
    "rate.checks.code:Config": {"seconds": "timeout_seconds", "memory": "memory_mib", "unconfined": "allow_unconfined"},
    "rate.checks.colour:Config": {"name": "hue", "width": "hue_tolerance", "least": "min_share"},
    "rate.checks.json:Config": {"fenced": "allow_fence"},
    "rate.checks.length:Config": {"least": "min_length", "most": "max_length"},
    "rate.checks.outline:Config": {"least": "min_thickness", "dark": "dark_threshold"},
    "rate.checks.regex:Config": {"whole": "is_full_match", "absent": "is_absent"},
    "rate.gate:Decision": {"promote": "should_promote"},
    "rate.gate:Measure": {"allowed": "tolerance", "proof": "is_proof", "against": "is_pairwise"},
    "rate.report.receipt:Example": {"preferred": "preferred_version"},
    "rate.report.receipt:RatingSummary": {"opinions": "unpaired"},
    "rate.report.receipt:Receipt": {
        "judge": "calibration",
        "overruled": "override_reason",
        "curve_of": "curve_label",
    },
    "rate.checks.similarity:Config": {"least": "min_share", "most": "max_share", "piece": "ngram_chars"},
    "text_encoders.minilm:Config": {"length": "max_length"},
    "text_encoders.words:Config": {"length": "max_length"},
    "train.events:RunEstimate": {
        "parameters": "num_parameters",
        "amount": "total_units",
        "speed": "units_per_second",
        "expected": "expected_loss",
        "error": "error_margin",
        "floor": "ngram_baseline",
        "trained": "num_trained",
        "before": "loss_before",
        "general_before": "general_loss_before",
        "measure": "metric",
        "spent": "setup_seconds",
    },
    "train.loop:TrainConfig": {
        "decay": "cooldown",
        "rates": "optimizer",
        "clip": "max_grad_norm",
        "average": "ema_decay",
        "pieces": "grad_accum_steps",
        "compiled": "torch_compile",
    },
    "train.optimizers:OptimizerConfig": {
        "matrix": "lr_matrix",
        "table": "lr_embedding",
        "vector": "lr_vector",
        "adapter": "lr_adapter",
        "decay": "weight_decay",
    },
    "train.preference.config:PreferenceConfig": {
        "anchor": "rpo_alpha",
        "per_unit": "is_length_normalized",
        "flipped": "label_smoothing",
        "sift": "should_filter_noisy_labels",
        "rehearsal": "replay_weight",
        "group": "num_generations",
        "advantage": "advantage_estimator",
    },
    "generate.interpolation:Interpolation": {"shares": "weights"},
}

# Settings of features that no longer exist, with the value that means "off"; any other value is an unknown setting.
# With ANY, the setting never had an effect.
ANY = object()
REMOVED: dict[str, dict[str, Any]] = {
    "codecs.bpe:Config": {"length": ANY, "context_length": ANY},
    "codecs.bytes:Config": {"length": ANY, "context_length": ANY},
    "networks.transformer:Config": {"hash_buckets": 0},
}

# Values of settings, by dataclass and setting.
VALUES: dict[str, dict[str, dict[str, str]]] = {
    "train.preference.config:PreferenceConfig": {"method": {"policy": "grpo"}},
}

# The top level of a job.toml.
JOB = {
    "rows": "batch_size",
    "row_length": "pack_length",
    "length": "context_length",
    "unprompted": "cond_dropout",
    "contract": "estimate",
    "prompts": "text_encoder",
}

# Sampling parameters in the records of outputs and in presets.
PARAMS = {
    "length": "max_tokens",
    "again": "resample_steps",
    "guidance": "guidance_scale",
    "negative": "negative_prompt",
    "guided_from": "guidance_start",
    "guided_until": "guidance_end",
    "wander": "choice_temperature",
}

# Parts, by kind.
PARTS: dict[str, dict[str, str]] = {
    "objective": {"mixture": "vae_gan"},
    "codec": {"codes": "fsq_tokens", "learned": "latent"},
}

# Tensors in a state dict, by network: patterns over dotted components.
_START = r"(?:(?<=[./])|^)"
TENSORS: dict[str, list[tuple[str, str]]] = {
    "transformer": [
        (r"enter\.enter\.", "embedding.in_proj."),
        (r"enter\.", "embedding."),
        (r"beside\.read\.", "field_embed.proj."),
        (r"inform\.", "mod_embed."),
        (r"places\.", "pos_embed."),
        (r"prompt\.ask\.", "cross_attention.q_proj."),
        (r"prompt\.tell\.", "cross_attention.kv_proj."),
        (r"prompt\.nothing", "cross_attention.null_state"),
        (r"prompt\.", "cross_attention."),
        (r"modulate\.", "modulation."),
        (r"attention\.norms\.", "attention.qk_norms."),
    ],
    "convolution": [
        (r"enter\.", "in_proj."),
        (r"steps\.", "resamplers."),
        (r"(levels\.\d+\.\d+\.)read\.", r"\1conv1."),
        (r"(levels\.\d+\.\d+\.)write\.", r"\1conv2."),
        (r"(levels\.\d+\.\d+\.)tell\.", r"\1modulation."),
    ],
    "dense": [(r"enter\.", "in_proj.")],
    "detector": [
        (r"enter\.", "conv_in."),
        (r"quarter\.", "conv_down."),
        (r"down\.", "downsample."),
        (r"whole\.", "bottleneck."),
        (r"up\.", "upsample."),
        (r"both\.", "fusion."),
        (r"last\.", "conv_out."),
        (r"one\.", "conv1."),
        (r"other\.", "conv2."),
    ],
    "dit": [
        (r"enter\.", "in_proj."),
        (r"places\.", "pos_embed."),
        (r"inform\.", "mod_embed."),
        (r"modulate\.", "modulation."),
        (r"states\.read\.", "prompt_proj.states_proj."),
        (r"states\.sum\.", "prompt_proj.pooled_proj."),
        (r"(blocks\.\d+\.)changes", r"\1scale_shift_table"),
        (r"(blocks\.\d+\.)norms_qk\.", r"\1qk_norms."),
    ],
    "unet": [
        (r"enter\.", "in_proj."),
        (r"inform\.", "mod_embed."),
        (r"states\.read\.", "prompt_proj.states_proj."),
        (r"states\.sum\.", "prompt_proj.pooled_proj."),
        (r"(down|middle|up)(\.(?:\d+\.)*)norm\.", r"\1\2norm1."),
        (r"(down|middle|up)(\.(?:\d+\.)*)first\.", r"\1\2conv1."),
        (r"(down|middle|up)(\.(?:\d+\.)*)second\.", r"\1\2conv2."),
        (r"(down|middle|up)(\.(?:\d+\.)*)modulate\.", r"\1\2modulation."),
        (r"(down|middle|up)(\.(?:\d+\.)*)across\.", r"\1\2shortcut."),
        (r"attention\.norms\.", "attention.qk_norms."),
        (r"attention\.tell\.", "attention.kv_proj."),
        (r"down\.", "down_blocks."),
        (r"shrink\.", "downsamplers."),
        (r"middle\.", "mid_block."),
        (r"up\.", "up_blocks."),
        (r"grow\.", "upsamplers."),
    ],
}
TENSORS["ngram"] = TENSORS["transformer"]


# Ledger entries of the kind "forgetting"
RATINGS_FORGETTING = {
    "withdrawn": "withdrawn_events",
    "before": "base_version",
    "tainted": "tainted_versions",
    "made": "new_version",
}
DOCUMENT_FORGETTING = {
    "left": "old_data_folder",
    "data": "data_digest",
    "tainted": "tainted_versions",
    "made": "new_version",
    "in_use": "active_tainted_versions",
}


def rename_keys(table: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Rename the old keys of `table`; an old key whose present name is there too stays, and is an unknown setting."""
    return {key if (name := names.get(key, key)) in table else name: value for key, value in table.items()}


def upgrade_fields(kind: type, table: Mapping[str, Any]) -> dict[str, Any]:
    """The table of a dataclass with old field names renamed, without removed settings that were off."""
    return _upgrade_settings(f"{kind.__module__.removeprefix('genloom.')}:{kind.__qualname__}", table)


def _upgrade_settings(name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    removed = REMOVED.get(name, {})
    table = rename_keys(table, FIELDS.get(name, {}))
    table = upgrade_values(table, VALUES.get(name, {}))
    return {key: value for key, value in table.items() if key not in removed or removed[key] not in (ANY, value)}


def upgrade_values(table: Mapping[str, Any], values: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return `table` with old values of its keys renamed."""
    return {key: values[key].get(str(value), value) if key in values else value for key, value in table.items()}


def upgrade_method(method: str) -> str:
    """Return the present name of a method of learning."""
    return VALUES["train.preference.config:PreferenceConfig"]["method"].get(method, method)


def upgrade_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of a job.toml with old names of its top level and of its parts renamed."""
    job = rename_keys(job, JOB)
    for kind, names in PARTS.items():
        if isinstance(part := job.get(kind), Mapping) and part.get("name") in names:
            job[kind] = {**part, "name": names[part["name"]]}
    for kind in ("codec", "objective", "network", "text_encoder"):
        if isinstance(part := job.get(kind), Mapping):
            job[kind] = _upgrade_part_settings(f"{kind}s.{part.get('name')}:", part)
    if isinstance(learning := job.get("learning"), Mapping):
        learning = rename_keys(learning, FIELDS["train.preference.config:PreferenceConfig"])
        job["learning"] = upgrade_values(learning, VALUES["train.preference.config:PreferenceConfig"])
    return job


def _upgrade_part_settings(prefix: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a part, whose hooks (default_config, resize_config …) know present names only."""
    names = [name for name in (*FIELDS, *REMOVED) if name.startswith(prefix) and not name.endswith(":SamplingParams")]
    table = _upgrade_settings(names[0], table) if names else dict(table)
    if prefix == "networks.ngram:" and isinstance(base := table.get("base"), Mapping):
        table["base"] = _upgrade_settings("networks.transformer:Config", base)
    return table


def upgrade_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling parameters of an output's record with old names and values renamed."""
    params = rename_keys(params, PARAMS)
    return {**params, "order": "confidence"} if params.get("order") == "surest" else params


def upgrade_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request in an output's record with old names renamed, in its parameters and its other tables too."""
    request = rename_keys(request, FIELDS["generate.engine:Request"])
    if isinstance(params := request.get("params"), Mapping):
        request["params"] = upgrade_params(params)
    for name, fields in (
        ("edit", "generate.image:EditSource"),
        ("interpolation", "generate.interpolation:Interpolation"),
    ):
        if isinstance(table := request.get(name), Mapping):
            request[name] = rename_keys(table, FIELDS[fields])
    return request


def upgrade_entry(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a ledger entry with old names renamed."""
    if kind == "forgetting":
        return rename_keys(body, DOCUMENT_FORGETTING if "item" in body else RATINGS_FORGETTING)
    if kind in ("rating", "choice") and body.get("machine") is True and isinstance(body.get("rater"), str):
        return {**body, "rater": upgrade_rater(body["rater"])}
    return dict(body)


def upgrade_rater(name: str) -> str:
    """Return the present name of a check as a rater, "check-length" for "judge-length"."""
    return f"check-{name.removeprefix('judge-')}" if name.startswith("judge-") else name


def upgrade_part(kind: str, name: str) -> str:
    """Return the present name of a part."""
    return PARTS.get(kind, {}).get(name, name)


def upgrade_tensors(network: str, names: Iterable[str], expected: Iterable[str] = ()) -> dict[str, str]:
    """Map each tensor name of a network's state dict to its present one; `expected` names stay as they are."""
    known = set(expected)
    return {name: name if name in known else _upgrade_tensor(network, name) for name in names}


def upgrade_adapter_target(network: str, name: str) -> str:
    """Return the present "path.target" of an adapter target; unless fused, a target has the name of its layer."""
    path, _, target = name.rpartition(".")
    if not path:
        return name
    new_path = _upgrade_tensor(network, f"{path}.").removesuffix(".")
    return f"{new_path}.{_layer_name(new_path) if target == _layer_name(path) else target}"


def _layer_name(path: str) -> str:
    return next((word for word in reversed(path.split(".")) if not word.isdigit()), "")


def _upgrade_tensor(network: str, name: str) -> str:
    for pattern, new in TENSORS.get(network, ()):
        name = re.sub(_START + pattern, new, name)
    return name
