"""The structures of decode.cpp and matrix.h, field by field."""

from ctypes import POINTER, Structure, c_float, c_int32, c_void_p


class CMatrix(Structure):
    _fields_ = (
        ("rows", c_int32), ("columns", c_int32), ("bits", c_int32),
        ("quants", c_void_p), ("scales", c_void_p), ("bias", c_void_p),
    )  # fmt: skip


class CLayer(Structure):
    _fields_ = (
        *((name, CMatrix) for name in ("qkv", "out", "up", "down", "cross_query", "cross_out")),
        *((name, c_void_p) for name in ("norm_attention", "norm_mlp", "norm_query", "norm_key", "norm_cross")),
    )


class CNetwork(Structure):
    _fields_ = (
        *((name, c_int32) for name in ("depth", "width", "heads", "key_heads", "head_width", "hidden")),
        ("activation", c_int32), ("window", c_int32), ("eps", c_float), ("layers", POINTER(CLayer)),
        ("norm", c_void_p), ("head", CMatrix), ("cosines", c_void_p), ("sines", c_void_p),
    )  # fmt: skip


class CCache(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("keys", "values", "capacities")),
        ("max_capacity", c_int32),
        *((name, c_void_p) for name in ("state_keys", "state_values", "state_counts", "state_capacities")),
    )


class CBatch(Structure):
    _fields_ = (
        *((name, c_int32) for name in ("num_tokens", "num_runs", "num_logits")),
        *((name, c_void_p) for name in ("rows", "positions", "run_starts", "logit_tokens")),
    )
