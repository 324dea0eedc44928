"""Options of a server: where it listens, whom it answers, and where its keys are."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from genloom.cli.options.numbers import int_range
from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.server.config import Config
    from genloom.server.oidc import Provider

_PACKAGES = (
    "argon2",
    "fastapi",
    "jwt",
    "llguidance",
    "mcp",
    "prometheus_client",
    "python_multipart",
    "segno",
    "uvicorn",
)


@Parameter(name="*")
@dataclass(frozen=True)
class ServingOptions:
    """The options that `serve` and `studio` share."""

    port: Annotated[int, int_range(0, 65535)] = 7860
    """Port; 0 is any free one."""

    lan: bool = False
    """Also listen on the private addresses of this machine, and show a QR code for a phone."""

    keys: Path | None = None
    """File of keys and accounts. [default: server/keys.toml in the workspace]"""

    public_url: str = ""
    """Address under which a proxy serves it, e.g. https://studio.example.org."""

    allow_host: tuple[str, ...] = ()
    """Further name that clients may call this machine by, e.g. studio.lan."""

    allow_origin: tuple[str, ...] = ()
    """Origin of pages of other programs that may call the API with a key, e.g. app://obsidian.md."""

    keyless: bool = False
    """Let programs on this machine use /v1 without a key."""

    ollama: bool = False
    """Also answer on this machine as Ollama does, on its port 11434, for programs that know only that."""

    alias: tuple[str, ...] = ()
    """Another name for a model that programs insist on, e.g. gpt-4o=notes."""

    oidc_issuer: str = ""
    """Provider of OpenID Connect to sign in with, e.g. https://login.example.org."""

    oidc_client: str = "genloom"
    """Name of this server at the provider; its secret is in GENLOOM_OIDC_SECRET."""

    def build_config(self, host: str = "127.0.0.1", num_replicas: int = 0) -> "Config":
        """Return the configuration; tell which packages are missing, if they are."""
        if missing := [package for package in _PACKAGES if find_spec(package) is None]:
            raise GenloomError("server.not_installed", packages=", ".join(missing))
        from genloom.server.config import Config

        return Config(
            host=host,
            port=self.port,
            is_lan=self.lan,
            keys=self.keys,
            public_url=self.public_url,
            hosts=self.allow_host,
            origins=self.allow_origin,
            keyless_prefix="/v1/" if self.keyless else "",
            is_ollama=self.ollama,
            aliases=dict(map(split_alias, self.alias)),
            num_replicas=num_replicas,
            oidc=self._build_provider(),
        )

    def _build_provider(self) -> "Provider | None":
        from genloom.server.oidc import Provider

        if not self.oidc_issuer:
            return None
        return Provider(self.oidc_issuer, self.oidc_client, os.environ.get("GENLOOM_OIDC_SECRET", ""))


def split_alias(text: str) -> tuple[str, str]:
    """Return the name and the model in `name=model`."""
    name, _, model = text.partition("=")
    if not name or not model:
        raise GenloomError("server.bad_alias", value=text)
    return name, model
