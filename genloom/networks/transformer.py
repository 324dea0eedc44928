"""Attention over positions (the shape of Llama, Qwen and GPT-2); it fills roles whose input is a sequence.

Shape letters: B batch, L length, S cached length, D width, H heads, G key heads, K head width, F hidden width,
V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.networks.attention import Rotary, Scaling, attend, rotate, spans
from genloom.networks.dropout import Dropout
from genloom.networks.embedding import Beside, Grid, Inform, Symbols, latest
from genloom.networks.memory import Keys, Memory, alike, remember, restarted, within
from genloom.types import Condition, Role, Signal, Tokens


@dataclass(frozen=True)
class Config:
    width: int = 256
    depth: int = 4
    heads: int = 4
    key_heads: int = 0  # 0: as many as heads
    hidden: int = 0  # 0: 4 x width, or 8/3 x width for SwiGLU, rounded up to 32
    head_width: int = 0  # 0: width / heads
    activation: str = "swiglu"  # or "relu2", squared ReLU (So et al. 2021), or "gelu" in its tanh form
    norm: str = "rms"  # or "layer"
    bias: str = ""  # which linear maps add one: "" none, "qkv", or "all"
    qk_norm: bool = True
    tied: bool = True  # one matrix reads symbols in and scores them at the end
    softcap: float = 0.0  # bound of the logits; 0: none
    hashed: int = 0  # rows of each hashed table of bigrams and trigrams added to the embedding; 0: none
    dropout: float = 0.0  # share of features left out in training, where text is read many times over
    positions: str = "rotary"  # or "learned", one vector a position
    window: int = 0  # how far back a position sees; 0: as far as the network has learned
    rotary_base: float = 10000.0
    rotary_scale: float = 1.0  # positions are read as if they lay this much closer
    rotary_length: int = 0  # of the texts before scaling: waves much shorter than it are kept (Llama 3); 0: none is
    rotary_low: float = 1.0  # waves that turn less often than this in that length are scaled whole
    rotary_high: float = 4.0  # waves that turn more often than this are kept
    norm_eps: float = 1e-5

    @property
    def K(self) -> int:
        """The width of a head."""
        return self.head_width or self.width // self.heads


def build(role: Role, config: Config) -> "Transformer":
    check(role, config)
    return Transformer(role, config)


def check(role: Role, config: Config) -> None:
    """Raises ValueError for a role or a size that this network cannot have."""
    if min(config.width, config.heads, config.depth) < 1:
        raise ValueError(
            "A transformer's width, heads and depth must be 1 or more, "
            f"got {config.width}, {config.heads} and {config.depth}."
        )
    takes = role.takes
    sequence = isinstance(takes, Tokens) or len(takes.size) == 1
    if not sequence:
        raise ValueError(f"The transformer reads sequences, and {takes} is none. Choose another network for it.")
    if isinstance(takes, Tokens) and role.cond.field:
        raise ValueError("The transformer reads a field beside a signal, not beside symbols. Choose another network.")
    grid = (takes.length,) if isinstance(takes, Tokens) else takes.size
    if isinstance(role.gives, Signal) and role.gives.size not in ((), grid):
        raise ValueError(f"The transformer keeps the length of {takes}, so {role.gives} needs another: choose dense.")
    if (config.width % config.heads and not config.head_width) or config.K % 2:
        raise ValueError(
            f"A transformer's width must be heads x an even number, got width {config.width}, heads {config.heads}."
        )
    if isinstance(takes, Tokens) and takes.grid and config.K % (2 * len(takes.grid)):
        raise ValueError(
            f"On a grid of {len(takes.grid)} axes, heads must be a multiple of {2 * len(takes.grid)} wide."
        )
    if config.heads % (config.key_heads or config.heads):
        raise ValueError(f"heads ({config.heads}) must be a multiple of key_heads ({config.key_heads}).")
    if not 0 <= config.dropout < 1:
        raise ValueError(f"dropout is a share from 0 to below 1, got {config.dropout}.")
    choices = {
        "activation": ("swiglu", "relu2", "gelu"),
        "norm": ("rms", "layer"),
        "bias": ("", "qkv", "all"),
        "positions": ("rotary", "learned"),
    }
    for setting, known in choices.items():
        if (value := getattr(config, setting)) not in known:
            raise ValueError(f"Unknown {setting} {value!r}: a transformer has {', '.join(map(repr, known))}.")


def suited(size: int) -> dict[str, Any]:
    """Settings to begin with for so many bytes of training text."""
    return {"tied": False, "softcap": 15.0}


def sized(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """The settings at a size of the dial's ladder, `heads` at most; what a person has set stays."""
    width, groups = settings.get("width", width), settings.get("key_heads") or 1
    fitting = (h for h in range(heads, 0, -1) if width % (2 * h) == 0 and h % groups == 0)
    return {"width": width, "depth": depth, "heads": next(fitting, groups), **settings}


def regularised(settings: Mapping[str, Any], dropout: float) -> dict[str, Any]:
    """The settings for a text that is read many times over; what a person has set stays."""
    return {"dropout": dropout, **settings}


def kept(config: Config, length: int) -> int:
    """Numbers a position that a step of training keeps for its backward pass."""
    return config.depth * (16 * config.width + 3 * config.heads * length)


class Transformer(nn.Module):
    """x is B L (symbols) or B C L (signal); gives logits B L V, features B C L, or B C where a role gives a vector."""

    def __init__(self, role: Role, config: Config):
        super().__init__()
        self.role, self.config = role, config
        D = config.width
        self.enter: Symbols | Grid
        if isinstance(role.takes, Tokens):
            self.enter = Symbols(role.takes, D, config.hashed, std=0.02 if config.tied else 1.0)
        else:
            self.enter = Grid(role.takes, role.cond, D)
        self.beside = Beside(role.cond.field, D) if isinstance(role.takes, Tokens) and role.cond.field else None
        self.inform = Inform(role.timed, role.cond.vector, D) if role.timed or role.cond.vector else None
        self.blocks = nn.ModuleList(Block(config, role, self.inform is not None) for _ in range(config.depth))
        length = role.takes.length if isinstance(role.takes, Tokens) else role.takes.size[0]
        self.window = min(config.window or length, length)
        self.norm = norm_of(config)
        self.places = nn.Embedding(length, D) if config.positions == "learned" else None
        scaling = Scaling(config.rotary_scale, config.rotary_length, config.rotary_low, config.rotary_high)
        grid = role.takes.grid if isinstance(role.takes, Tokens) else ()
        self.rotary = Rotary(config.K, config.rotary_base, scaling, grid)
        out = role.gives.vocab if isinstance(role.gives, Tokens) else role.gives.channels
        self.head = nn.Linear(D, out, bias=False)
        nn.init.zeros_(self.head.weight)
        if config.tied and isinstance(self.enter, Symbols) and isinstance(role.gives, Tokens):
            self.head.weight = self.enter.embed.weight

    def start(self, count: int, length: int) -> Keys:
        """An empty memory for `count` rows of up to `length` positions."""
        config, like = self.config, self.norm.weight
        assert isinstance(self.enter, Symbols), "only symbols are read in pieces"
        shape = (count, config.key_heads or config.heads, length + 1, config.K)
        pairs = [(like.new_zeros(shape), like.new_zeros(shape)) for _ in self.blocks]
        return Keys(pairs, torch.zeros(count, dtype=torch.long, device=like.device), self.enter.before(count))

    def forward(
        self,
        x: Tensor,
        t: Tensor | None = None,
        cond: Condition | None = None,
        lengths: Tensor | None = None,
        cache: Keys | None = None,
        segments: Tensor | None = None,
        leaves: bool = True,
    ) -> Tensor:
        """`segments` B L numbers the documents of packed rows. With `leaves` off, what `leave` takes is given."""
        h_BLD = self.states(x, t, cond, lengths, cache, segments)
        return self.leave(h_BLD, lengths) if leaves else h_BLD

    def states(
        self,
        x: Tensor,
        t: Tensor | None,
        cond: Condition | None,
        lengths: Tensor | None,
        cache: Keys | None,
        segments: Tensor | None,
    ) -> Tensor:
        """Features B L D of every position, normed, from which logits are made."""
        positions = None if segments is None else restarted(segments)
        if isinstance(self.enter, Symbols):
            h_BLD = self.enter(x, self.enter.before(len(x)) if cache is None else cache.last, positions)
            if self.beside is not None and cond is not None and cond.field is not None:
                h_BLD = h_BLD + self.beside(cond.field)
        else:
            h_BLD = self.enter(x, cond)
        L = h_BLD.shape[1]
        if positions is None:
            positions = torch.arange(L, device=h_BLD.device)
        allowed, span = None, slice(0, L)
        if cache is not None:
            room = cache.pairs[0][0].shape[2] - 1  # its last place takes what padding lies beyond all others
            positions = (cache.lengths[:, None] + positions).clamp(max=room)
            span = slice(max(int(cache.lengths.min()) + 1 - self.window, 0), int(positions.max()) + 1)
            allowed = within(positions, torch.arange(span.start, span.stop, device=x.device), self.window)[:, None]
        elif segments is not None:
            assert self.role.causal, "documents are packed for what reads left to right"
            allowed = (within(positions, positions[:, None], self.window) & alike(segments))[:, None]
        elif self.role.causal and self.window < L:
            allowed = within(positions, positions, self.window)
        elif lengths is not None and not self.role.causal:  # causal rows never see the padding to their right
            allowed = (positions < lengths[:, None])[:, None, None]
        if self.places is not None:  # past the last place that was learned, all are that one
            h_BLD = h_BLD + self.places(positions.clamp(max=self.places.num_embeddings - 1))
        angles = None if self.places is not None else self.rotary.angles(positions, h_BLD.dtype)
        news_BD = self.inform(t, cond, h_BLD) if self.inform is not None else None
        for i, block in enumerate(self.blocks):
            memory = None if cache is None else (*cache.pairs[i], positions, span)
            h_BLD = block(h_BLD, angles, allowed, news_BD, cond, memory)
        if cache is not None:
            counts = torch.full_like(cache.lengths, L) if lengths is None else lengths
            cache.lengths, cache.last = cache.lengths + counts, latest(cache.last, x, counts)
            assert int(cache.lengths.max()) <= cache.pairs[0][0].shape[2] - 1, "more was read than there is room for"
        return self.norm(h_BLD)

    def leave(self, h_BLD: Tensor, lengths: Tensor | None = None) -> Tensor:
        if isinstance(self.role.gives, Tokens):
            logits_BLV = self.head(h_BLD)
            cap = self.config.softcap
            return cap * torch.tanh(logits_BLV / cap) if cap else logits_BLV
        if self.role.gives.size:
            return self.head(h_BLD).mT
        return self.head(pooled(h_BLD, lengths, self.role.causal))

    def scores(self) -> tuple[Tensor, float]:
        """The matrix V D by which `leave` scores symbols, and the soft bound of the logits; 0: none."""
        return self.head.weight, self.config.softcap


def norm_of(config: Config) -> nn.RMSNorm | nn.LayerNorm:
    kind = nn.RMSNorm if config.norm == "rms" else nn.LayerNorm
    return kind(config.width, config.norm_eps)


def pooled(h_BLD: Tensor, lengths: Tensor | None, causal: bool) -> Tensor:
    """One vector a row: the last real position of a causal network, the mean over the real ones of another."""
    B, L, _ = h_BLD.shape
    lengths = h_BLD.new_full((B,), L, dtype=torch.long) if lengths is None else lengths
    if causal:
        return h_BLD[torch.arange(B, device=h_BLD.device), lengths - 1]
    real_BL1 = (torch.arange(L, device=h_BLD.device) < lengths[:, None])[..., None].to(h_BLD.dtype)
    return (h_BLD * real_BL1).sum(1) / real_BL1.sum(1)


class Block(nn.Module):
    def __init__(self, config: Config, role: Role, informed: bool):
        super().__init__()
        D = config.width
        self.causal = role.causal
        self.attention = Attention(config)
        self.prompt = Prompt(config, role.cond.tokens) if role.cond.tokens else None
        self.mlp = Mlp(config)
        self.norm_attention, self.norm_mlp = norm_of(config), norm_of(config)
        self.thin_attention, self.thin_mlp = Dropout(config.dropout), Dropout(config.dropout)
        self.modulate = nn.Linear(D, 6 * D) if informed else None
        if self.modulate is not None:
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)

    def forward(
        self,
        h_BLD: Tensor,
        angles: tuple[Tensor, Tensor] | None,
        allowed: Tensor | None,
        news_BD: Tensor | None,
        cond: Condition | None,
        memory: Memory | None,
    ) -> Tensor:
        a, m = self.norm_attention(h_BLD), self.norm_mlp
        if self.modulate is None:
            h_BLD = h_BLD + self.thin_attention(self.attention(a, angles, allowed, self.causal, memory))
            if self.prompt is not None:
                h_BLD = h_BLD + self.prompt(h_BLD, cond)
            return h_BLD + self.thin_mlp(self.mlp(m(h_BLD)))
        # Adaptive normalisation (DiT, Peebles and Xie 2023); the zero start makes it the identity.
        assert news_BD is not None
        shift, scale, gate, shift2, scale2, gate2 = self.modulate(F.silu(news_BD))[:, None].chunk(6, -1)
        a = self.attention(a * (1 + scale) + shift, angles, allowed, self.causal, memory)
        h_BLD = h_BLD + (1 + gate) * self.thin_attention(a)
        if self.prompt is not None:
            h_BLD = h_BLD + self.prompt(h_BLD, cond)
        return h_BLD + (1 + gate2) * self.thin_mlp(self.mlp(m(h_BLD) * (1 + scale2) + shift2))


class Attention(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        D, self.heads, self.key_heads = config.width, config.heads, config.key_heads or config.heads
        self.K = config.K
        self.qkv = nn.Linear(D, (self.heads + 2 * self.key_heads) * self.K, bias=config.bias != "")
        self.out = nn.Linear(self.heads * self.K, D, bias=config.bias == "all")
        self.norms = nn.ModuleList(nn.RMSNorm(self.K, config.norm_eps) for _ in range(2)) if config.qk_norm else None
        nn.init.normal_(self.qkv.weight, std=D**-0.5)
        nn.init.zeros_(self.out.weight)

    def forward(
        self,
        h_BLD: Tensor,
        angles: tuple[Tensor, Tensor] | None,
        allowed: Tensor | None,
        causal: bool,
        memory: Memory | None,
    ) -> Tensor:
        B, L, _ = h_BLD.shape
        qkv = self.qkv(h_BLD).view(B, L, -1, self.K).transpose(1, 2)
        q, k, v = qkv.split([self.heads, self.key_heads, self.key_heads], 1)
        if self.norms is not None:
            q, k = self.norms[0](q), self.norms[1](k)
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        if memory is not None:
            k, v = remember(memory, k, v)
        mixed_BHLK = attend(q, k, v, allowed, causal and allowed is None)
        return self.out(mixed_BHLK.transpose(1, 2).reshape(B, L, -1))

    def adapts(self) -> dict[str, dict[str, slice]]:
        """The maps that adapters are attached to, by the rows of each."""
        queries, keys = self.heads * self.K, self.key_heads * self.K
        return {"qkv": spans(q=queries, k=keys, v=keys), "out": spans(o=self.out.out_features)}


class Prompt(nn.Module):
    """Cross-attention to a prompt's states; a learned state that is always there stands for 'no prompt'."""

    def __init__(self, config: Config, given: int):
        super().__init__()
        D, self.heads = config.width, config.heads
        self.norm = nn.RMSNorm(D, config.norm_eps)
        self.ask = nn.Linear(D, D, bias=False)
        self.tell = nn.Linear(given, 2 * D, bias=False)
        self.nothing = nn.Parameter(torch.zeros(given))
        self.out = nn.Linear(D, D, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, h_BLD: Tensor, cond: Condition | None) -> Tensor:
        B, L, D = h_BLD.shape
        states = self.nothing.expand(B, 1, -1)
        allowed = None
        if cond is not None and cond.tokens is not None:
            states = torch.cat([states, cond.tokens.to(h_BLD.dtype)], 1)
            if cond.mask is not None:
                allowed = F.pad(cond.mask, (1, 0), value=True)[:, None, None]
        q = self.ask(self.norm(h_BLD)).view(B, L, self.heads, -1).transpose(1, 2)
        k, v = self.tell(states).view(B, states.shape[1], 2 * self.heads, -1).transpose(1, 2).chunk(2, 1)
        return self.out(attend(q, k, v, allowed).transpose(1, 2).reshape(B, L, D))


class Mlp(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        D, self.activation, self.gated = config.width, config.activation, config.activation == "swiglu"
        hidden = config.hidden or -(-(8 * D // 3 if self.gated else 4 * D) // 32) * 32
        self.up = nn.Linear(D, (1 + self.gated) * hidden, bias=config.bias == "all")
        self.down = nn.Linear(hidden, D, bias=config.bias == "all")
        nn.init.normal_(self.up.weight, std=D**-0.5)
        nn.init.zeros_(self.down.weight)

    def forward(self, h_BLD: Tensor) -> Tensor:
        if self.gated:
            gate, up = self.up(h_BLD).chunk(2, -1)
            return self.down(F.silu(gate) * up)
        if self.activation == "gelu":
            return self.down(F.gelu(self.up(h_BLD), approximate="tanh"))
        h_BLF = F.relu(self.up(h_BLD))
        return self.down(h_BLF * h_BLF)  # a product: torch's square is several times slower here

    def adapts(self) -> dict[str, dict[str, slice]]:
        """The maps that adapters are attached to, by the rows of each."""
        hidden = self.down.in_features
        up = spans(gate=hidden, up=hidden) if self.gated else spans(up=hidden)
        return {"up": up, "down": spans(down=self.down.out_features)}
