"""`genloom keys`: the keys that mark and sign outputs, and certificates of others."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genloom.cli.console import Console
from genloom.cli.options.workspace import CommonOptions
from genloom.cli.output_path import resolve_output_file
from genloom.cli.unused_options import refuse_unused_options
from genloom.errors import GenloomError
from genloom.program import quote_name
from genloom.text_format import format_table

if TYPE_CHECKING:
    from genloom.api.keys import KeyInfo, Keys

Action = Literal["list", "new", "show", "rotate", "export", "trust", "revoke"]
_KINDS = ("marking", "signing")


def run(
    action: Action = "list",
    name: str | None = None,
    /,
    *,
    signer: str | None = None,
    out: Path | None = None,
    secret: bool = False,
    reason: str = "",
    common: CommonOptions = CommonOptions(),
) -> None:
    """List, create, rotate, revoke and export the keys of marks and signatures, and trust those of others.

    Secrets are never printed. Only their owner can read their files, which lie in keys/ of the workspace.

    Parameters
    ----------
    action
        list, new KIND, show ID, rotate KIND, revoke ID, export KIND or trust FILE. A kind is marking or signing.
    name
        Kind of key, id of a key, or PEM file with an authority's certificate.
    signer
        With new signing: name of who signs, as readers of a file see it. [default: Genloom workspace]
    out
        With export: file for the authority's certificate, for others to trust; or for the key, with --secret.
    secret
        With export: the key itself. Who has the file can sign or mark in your name.
    reason
        With revoke: why, e.g. "the laptop was stolen".
    """
    refuse_unused_options(
        "new marking" if (action, name) == ("new", "marking") else action,
        {
            "--signer": (signer is not None, "new"),
            "--out": (out is not None, "export"),
            "--secret": (secret, "export"),
            "--reason": (bool(reason), "revoke"),
        },
    )
    workspace, console = common.open()
    keys = workspace.keys
    if action == "list":
        _require_argument(name is None, action, "nothing more")
        _print_keys(list(keys.list_keys()), console)
        return
    if action == "trust":
        _require_argument(name is not None, action, "a PEM file with an authority's certificate")
        trusted = list(keys.trust_certificate(str(name)))
        for key in trusted:
            console.print_line(f"Signatures of {key.name!r} ({key.id}) are trusted from now on.")
        console.print_result({"trusted": [key.to_record() for key in trusted]})
        return
    if action == "show":
        _require_argument(bool(name), action, "the id of a key (genloom keys shows them)")
        _show_key(keys.get_key(str(name)), console)
        return
    if action == "revoke":
        _require_argument(bool(name), action, "the id of a key (genloom keys shows them)")
        _revoke_key(keys, str(name), reason, console)
        return
    _require_argument(name in _KINDS, action, "a kind of key: marking or signing")
    if action == "export":
        _export_key(keys, str(name), out, secret, console)
        return
    if name == "marking":
        key = keys.rotate_key("marking")
    else:
        key = keys.create_key("signing", signer or "") if action == "new" else keys.rotate_key("signing")
    verb = "marks" if name == "marking" else "signs"
    console.print_line(f"The key {key.id} {verb} new outputs; what earlier ones did is still recognised.")
    console.print_result(key.to_record())


def _export_key(keys: "Keys", kind: str, out: Path | None, should_include_secret: bool, console: Console) -> None:
    _require_argument(out is not None, "export", "--out FILE")
    assert out is not None
    target = resolve_output_file(out, f"{kind}.key" if should_include_secret else "authority.pem")
    path = keys.export_key(target, "marking" if kind == "marking" else "signing", include_secret=should_include_secret)
    console.print_hint(
        f"The secret key is in {path}; keep it to yourself."
        if should_include_secret
        else f"The authority's certificate is in {path}. Others trust it with: "
        f"genloom keys trust {quote_name(path.name)}"
    )
    console.print_result({"kind": kind, "file": str(path), "secret": should_include_secret})


def _revoke_key(keys: "Keys", id: str, reason: str, console: Console) -> None:
    key = keys.revoke_key(id, reason)
    console.print_line(f"The {'authority' if key.certificate else 'key'} {key.id} is revoked.")
    if key.kind == "signing":
        console.print_hint("Give others the new certificate, and tell them to revoke the old one by its id.")
    console.print_result(key.to_record())


def _show_key(key: "KeyInfo", console: Console) -> None:
    facts = [("key", key.id), ("kind", key.kind), ("name", key.name), ("created", key.created)]
    facts += [("expires", key.expires), ("active", "yes" if key.is_active else "no"), ("revoked", key.revoked)]
    console.print_lines(f"{topic:<8} {value}" for topic, value in facts if value)
    console.print_lines(key.certificate.splitlines())
    console.print_result({**key.to_record(), "certificate": key.certificate or None})


def _print_keys(keys: "list[KeyInfo]", console: Console) -> None:
    if keys:
        rows = [(k.id, k.kind, k.name, k.created, k.expires, _describe_use(k)) for k in keys]
        console.print_lines(format_table([("key", "kind", "name", "created", "expires", "active"), *rows]))
    else:
        console.print_line("There are no keys yet; the first output that needs one makes it.")
    console.print_result({"keys": [key.to_record() for key in keys]})


def _describe_use(key: "KeyInfo") -> str:
    if key.revoked:
        return f"revoked {key.revoked[:10]}"
    return "yes" if key.is_active else "no"


def _require_argument(is_given: bool, action: str, expected: str) -> None:
    """Raise GenloomError if what an action needs is not given."""
    if not is_given:
        raise GenloomError("cli.keys_usage", action=action, expected=expected)
