"""`/api/trust`: keys that mark and sign outputs, certificates of others, and content rules with their decisions."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.access import require_scope
from genloom.server.files import build_file_response
from genloom.server.remote_error import RemoteError
from genloom.server.studio.services import CurrentWorkspace, Limit, build_page
from genloom.server.studio.shapes.shape import Page
from genloom.server.studio.shapes.trust import (
    Certificate,
    Decision,
    NewRules,
    NewTrustKey,
    RuleCheck,
    RuleMatch,
    Rules,
    TrustKey,
    TrustKeys,
)
from genloom.store.files import lock_folder, write_atomic
from genloom.trust import policy, signing

router = APIRouter()


@router.get("/api/trust/keys", response_model=TrustKeys)
@require_scope("admin")
def list_trust_keys(workspace: CurrentWorkspace) -> Any:
    """List the keys that mark and sign outputs, without their secrets, and the certificates that are trusted."""
    can_sign = signing.is_available()
    return {"keys": [key.to_record() for key in workspace.keys.list_keys()], "can_sign": can_sign}


@router.post("/api/trust/keys", response_model=TrustKey, status_code=201)
@require_scope("admin")
def create_trust_key(body: NewTrustKey, workspace: CurrentWorkspace) -> Any:
    """Make a new key for outputs from now on; what earlier keys marked or signed is still recognised."""
    keys = workspace.keys
    is_new_authority = bool(body.name) or body.kind == "marking"
    return (keys.create_key(body.kind, body.name) if is_new_authority else keys.rotate_key(body.kind)).to_record()


@router.get("/api/trust/certificate")
@require_scope("admin")
def export_certificate(workspace: CurrentWorkspace) -> Response:
    """Send the certificate of this workspace, by which others recognise its signatures. It holds no secret."""
    with tempfile.TemporaryDirectory() as folder:
        data = workspace.keys.export_key(Path(folder) / "certificate.pem").read_bytes()
    return build_file_response(data, "application/x-pem-file", f"{workspace.folder.name}.pem", is_download=True)


@router.post("/api/trust/certificates", response_model=Page[TrustKey], status_code=201)
@require_scope("admin")
def trust_certificate(body: Certificate, workspace: CurrentWorkspace) -> Any:
    """Trust the signatures of another authority."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "certificate.pem"
        path.write_text(body.pem, encoding="utf-8")
        return Page[Any](data=[key.to_record() for key in workspace.keys.trust_certificate(path)])


@router.get("/api/trust/policy", response_model=Rules)
@require_scope("admin")
def get_policy(workspace: CurrentWorkspace) -> Any:
    """Return the content rules that hold, and the file of this workspace."""
    return describe_policy(workspace)


@router.put("/api/trust/policy", response_model=Rules)
@require_scope("admin")
def set_policy(body: NewRules, workspace: CurrentWorkspace) -> Any:
    """Replace the file with the workspace's own rules; an empty text removes it. A wrong file changes nothing."""
    path = workspace.folder / policy.POLICY_FILE
    check_policy_file(body.text)
    with lock_folder(workspace.folder / "server"):
        if body.text.strip():
            write_atomic(path, body.text)
        else:
            path.unlink(missing_ok=True)
    return describe_policy(workspace)


@router.post("/api/trust/policy/check", response_model=Page[RuleMatch])
@require_scope("admin")
def check_policy(body: RuleCheck, workspace: CurrentWorkspace) -> Any:
    """Return the rules that apply to a text, the strictest first; nothing is recorded."""
    return Page[Any](data=[found.to_json() for found in workspace.check_content(body.text, body.target)])


@router.get("/api/trust/decisions", response_model=Page[Decision])
@require_scope("admin")
def list_decisions(
    workspace: CurrentWorkspace, cursor: Annotated[int, Query(ge=0, lt=2**53)] = 0, limit: Limit = 50
) -> Any:
    """List the decisions of content rules, newest first."""
    entries = [entry for entry in workspace.ledger.iter_entries(["policy"]) if not cursor or entry.seq < cursor]
    names = ("rule", "action", "target", "model", "sha256", "text")
    return build_page(
        entries[::-1][: limit + 1],
        limit,
        lambda entry: {"id": entry.id, "at": entry.at, **{name: entry.body.get(name) for name in names}},
        lambda entry: str(entry.seq),
    )


def describe_policy(workspace: Workspace) -> dict[str, Any]:
    path = workspace.folder / policy.POLICY_FILE
    held = policy.load_policy(workspace.folder)
    with tempfile.TemporaryDirectory() as folder:  # a workspace without rules of its own
        default = policy.load_policy(Path(folder))
        example = policy.write_template(Path(folder)).read_text(encoding="utf-8")
    rules = [
        {
            "name": name,
            "action": rule.action,
            "reason": rule.reason or name,
            "on": list(rule.on),
            "is_fixed": rule.is_fixed,
            "is_own": rule != default.rules.get(name),
        }
        for name, rule in held.rules.items()
    ]
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return {"rules": rules, "log_text": held.settings.log_text, "text": text, "example": example}


def check_policy_file(text: str) -> None:
    """Raise GenloomError for rules that could not hold (trust.bad_policy, trust.fixed_rule)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / policy.POLICY_FILE
        path.write_text(text, encoding="utf-8")
        try:
            policy.load_policy(path.parent)
        except GenloomError as error:
            message = str(error).replace(str(path), policy.POLICY_FILE)  # not the path that was only here
            raise RemoteError(error.code, message, error.fields) from None
