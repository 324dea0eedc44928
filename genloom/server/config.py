"""The configuration of a server: where it listens, whom it answers, and its limits."""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from genloom.errors import GenloomError
from genloom.server.oidc import Provider, is_safe_address

DEFAULT_PORT = 7860
OLLAMA_PORT = 11434
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ANY_ADDRESS = ("0.0.0.0", "::")
_PRIVATE_NETWORKS = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]


@dataclass(frozen=True)
class Config:
    """The options of `genloom serve` and `genloom studio`."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    is_lan: bool = False
    """Whether it also listens on the private addresses of this machine."""

    keys: Path | None = None
    """File of keys and accounts. None: server/keys.toml in the workspace."""

    public_url: str = ""
    """Address under which a proxy serves it, e.g. https://studio.example.org."""

    hosts: tuple[str, ...] = ()
    """More names in the header Host that are answered."""

    origins: tuple[str, ...] = ()
    """Origins of other programs' pages that may call the API with a key, e.g. app://obsidian.md."""

    keyless_prefix: str = ""
    """Beginning of the addresses that programs on this machine may use without a key, e.g. /v1/."""

    is_ollama: bool = False
    """Whether it also answers as Ollama does, on that one's port."""

    aliases: Mapping[str, str] = field(default_factory=dict)
    """Models of ours by the names that programs insist on, e.g. {"gpt-4o": "notes"}."""

    oidc: Provider | None = None
    """Provider of OpenID Connect that people sign in with, besides their passwords."""

    num_replicas: int = 0
    """Engines on the cluster that is connected; 0: one process of this machine."""

    max_body_bytes: int = 16_000_000
    max_requests: int = 1024
    """Requests of one user at a time."""

    max_channels: int = 256
    """Channels of events of one user at a time."""

    max_rate: float = 500.0
    """Requests of one user in a second, on average."""

    body_seconds: float = 20.0
    """Time for the body of a request; a long one gets more, by its size."""

    shutdown_seconds: float = 10.0
    """Time for requests that are open when the server ends."""

    def __post_init__(self) -> None:
        if self.public_url and urlsplit(self.public_url).scheme not in _DEFAULT_PORTS:
            raise GenloomError("server.bad_public_url", url=self.public_url)
        if self.oidc and not is_safe_address(self.oidc.issuer):
            raise GenloomError("server.bad_oidc_issuer", issuer=self.oidc.issuer)
        if self.keyless_prefix and self.is_open:
            raise GenloomError("server.open_keyless", host="--lan" if self.is_lan else self.public_url or self.host)

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach it, themselves or through a proxy."""
        return self.has_open_address or bool(self.public_url)

    @property
    def has_open_address(self) -> bool:
        """Whether it listens where other machines can reach it."""
        return self.is_lan or not is_loopback(self.host)

    @property
    def is_https(self) -> bool:
        """Whether browsers reach it by HTTPS, so that cookies need it."""
        return self.public_url.startswith("https:")

    def list_hosts(self) -> frozenset[str]:
        """Return the names, without ports, that the header Host may have; how it listens adds only this machine's."""
        public = {split_host(urlsplit(self.public_url).netloc)} if self.public_url else set()
        return (self._list_direct_hosts() | public) - {""}  # which is what a malformed header is read as

    def list_own_origins(self) -> frozenset[str]:
        """Return the origins of the studio's own pages, which may use cookies."""
        port = "" if self.port == _DEFAULT_PORTS["http"] else f":{self.port}"
        public = {normalise_origin(self.public_url)} if self.public_url else set()
        return frozenset(f"http://{host}{port}" for host in self._list_direct_hosts()) | public

    def _list_direct_hosts(self) -> frozenset[str]:
        names = {*LOOPBACK_NAMES, *self.hosts}
        if self.has_open_address:
            names |= {*map(format_host, list_addresses()), *list_host_names()}
        return frozenset(name.lower() for name in names)

    def list_urls(self) -> list[str]:
        """Return the addresses under which browsers find it: the public one, or this machine's and then its others."""
        if self.public_url:
            return [normalise_origin(self.public_url)]
        reachable = [] if is_loopback(self.host) else [self.host]
        if self.host in _ANY_ADDRESS:
            reachable = list_addresses()
        if self.is_lan:
            reachable = list_private_addresses()
        loopback = [self.host] if is_loopback(self.host) else ["127.0.0.1"] if self.host in _ANY_ADDRESS else []
        return [f"http://{format_host(host)}:{self.port}" for host in [*loopback, *reachable]]


def normalise_origin(url: str) -> str:
    """Return the origin of a URL as browsers write it: scheme, name and a port that is not the usual one."""
    parts = urlsplit(url)
    port = parts.port
    suffix = f":{port}" if port and port != _DEFAULT_PORTS.get(parts.scheme) else ""
    return f"{parts.scheme}://{format_host(parts.hostname or '')}{suffix}".lower()


def split_host(netloc: str) -> str:
    """Return the name in `name:port`, or "" if that is not what it is."""
    name, colon, port = netloc.rpartition(":") if not netloc.endswith("]") else (netloc, "", "")
    if not colon:
        name, port = netloc, "0"
    return name.lower() if port.isascii() and port.isdigit() else ""


def format_host(address: str) -> str:
    """Return an address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(address: str) -> bool:
    """Return whether an address belongs to a local network (RFC 1918, and RFC 4193 for IPv6)."""
    return any(ipaddress.ip_address(address) in network for network in _PRIVATE_NETWORKS)


def list_addresses() -> list[str]:
    """List the addresses of this machine, without those that only it can reach."""
    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    found = [a.address for each in psutil.net_if_addrs().values() for a in each if a.family in families]
    return sorted({address for address in found if "%" not in address and not is_loopback(address)})


def list_private_addresses() -> list[str]:
    """List the addresses of this machine that only its local network can reach, IPv4 first."""
    private = [address for address in list_addresses() if is_private(address)]
    return sorted(private, key=lambda address: (":" in address, address))


def list_host_names() -> list[str]:
    """List the names of this machine on the local network."""
    name = socket.gethostname().lower()
    return [name, f"{name.partition('.')[0]}.local"] if name else []
