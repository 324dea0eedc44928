"""Errors as clients read them: `{"error": {message, type, param, code}}` with every status from 400."""

import logging
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from genloom.errors import GenloomError
from genloom.program import NAME, find_program

LOGGER = logging.getLogger("genloom.server")

# Every other GenloomError is a request that cannot be met as it is: 400.
_STATUSES = {
    401: """server.no_key server.bad_key server.two_keys server.key_in_address server.bad_token server.bad_login""",
    403: "server.missing_scope server.foreign_origin server.foreign_site",
    404: """server.unknown_id server.unknown_route server.unknown_route_nearest
        store.unknown_name store.unknown_name_near store.unknown_id store.nothing_known store.no_such_version
        store.in_bin store.output_gone store.data_version_gone store.original_gone store.no_such_question
        store.no_question api.not_imported api.unknown_data_version api.no_outputs""",
    409: """store.exists store.restore_blocked store.event_id_taken store.ambiguous_in_bin api.still_needed
        api.built_in_removal train.run_locked train.run_finished exchange.output_exists learn.already_forgotten
        learn.not_active rate.no_earlier_promotion rate.output_changed
        store.changed_elsewhere store.output_changed store.removed_elsewhere store.removed_meanwhile""",
    405: "server.wrong_method",
    408: "server.body_too_slow server.headers_too_slow",
    413: "server.body_too_large",
    415: "server.bad_content_type",
    421: "server.foreign_host",
    429: "server.too_many_requests",
    431: "server.headers_too_large",
    500: """server.bug server.bad_keys_file store.damaged store.damaged_active_version store.entry_changed
        store.entry_malformed store.entry_missing
        store.entry_unchained store.ledger_cut_off store.output_record_changed store.newer_format store.no_permission
        store.read_only store.io_error store.write_failed store.file_too_large store.system_error
        store.file_blocks_folder store.folder_blocks_file store.name_too_long_here server.engine_fault
        store.damaged_marking_key store.ledger_gone store.ledger_head_damaged store.marking_key_gone
        store.storage_event api.damaged_checkpoint api.damaged_job api.ledger_lost codecs.damaged_file
        model.unreadable_job networks.ngram_damaged train.bad_job_file trust.changed_file trust.damaged_key
        trust.damaged_revocation studio.database_damaged studio.job_failed studio.worker_failed""",
    503: """server.too_many_connections store.ledger_unavailable generate.out_of_memory train.out_of_memory
        train.out_of_memory_finetuning store.storage_busy store.storage_failed store.storage_missing""",
    507: "store.disk_full api.disk_almost_full",
}
STATUS_BY_CODE = {code: status for status, codes in _STATUSES.items() for code in codes.split()}
_PUBLIC_CODES = {"trust.content_policy": "content_policy"}
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_PATH = re.compile(r"(?<![\w/:.~-])~?/(?:[^\s/'\",:;()]+/)+(?=[^\s/'\",:;()])")


class APIError(GenloomError):
    """An error with its HTTP status; its text is in `genloom/messages/`, as that of every GenloomError."""

    def __init__(
        self,
        code: str,
        /,
        *,
        status: int = 0,
        param: str | None = None,
        public_code: str = "",
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Build the error.

        Parameters
        ----------
        code
            Code of the text, e.g. "server.missing_scope".
        status
            HTTP status. 0: by the code, 400 if that is not in the table.
        param
            Field of the request that the error is about, e.g. "messages".
        public_code
            Code that clients of OpenAI know, if it differs, e.g. "context_length_exceeded".
        headers
            Headers of the answer, e.g. {"retry-after": "1"}.
        extra
            Values beside the four fields, e.g. {"n_ctx": 512}.
        fields
            Values in the text.
        """
        super().__init__(code, **fields)
        self.status, self.param, self.public_code = status, param, public_code
        self.headers, self.extra = dict(headers or {}), dict(extra or {})

    def __reduce__(self) -> tuple[Any, ...]:
        details = {name: getattr(self, name) for name in ("status", "param", "public_code", "headers", "extra")}
        return _rebuild_error, (self.code, {**self.fields, **details})


def _rebuild_error(code: str, arguments: dict[str, Any]) -> APIError:
    return APIError(code, **arguments)


def annotate_error(
    error: GenloomError, param: str, public_code: str = "", extra: Mapping[str, Any] | None = None
) -> APIError:
    """Return an error with the field of the request that it is about, and the code that clients know."""
    status = get_status(error)
    return APIError(error.code, status=status, param=param, public_code=public_code, extra=extra, **error.fields)


def get_status(error: GenloomError) -> int:
    """Return the HTTP status of an error."""
    status = error.status if isinstance(error, APIError) else 0
    return status or STATUS_BY_CODE.get(error.code, 400)


def build_error_body(error: GenloomError) -> dict[str, Any]:
    """Return `{"error": {...}}`, which is also what an error within a stream sends."""
    status = get_status(error)
    default_type = "server_error" if status >= 500 else "invalid_request_error"
    public_code = _PUBLIC_CODES.get(error.code, error.code)
    body = {"message": hide_paths(error), "type": _TYPES.get(status, default_type), "param": None, "code": public_code}
    if "details" in error.fields:  # for programs that say it in their own words
        body["details"] = error.fields["details"]
    if isinstance(error, APIError):
        body |= {"param": error.param, "code": error.public_code or public_code, **error.extra}
    return {"error": body}


def build_error_response(error: GenloomError) -> JSONResponse:
    """Return the answer for an error; clients are told not to repeat what would fail again."""
    status = get_status(error)
    headers = error.headers if isinstance(error, APIError) else {}
    if status >= 500 and "retry-after" not in headers:
        headers = {**headers, "x-should-retry": "false"}
    return JSONResponse(build_error_body(error), status, headers)


def build_bug_error(error: BaseException) -> APIError:
    """Log a bug of ours under a new report number, and return the 500 that names only the number."""
    report = secrets.token_hex(4)
    LOGGER.error("report %s: %s", report, type(error).__name__, exc_info=error)
    return APIError("server.bug", public_code="internal_error", report=report)


_BRANCH = re.compile(r"[^\w-]|^constrained-")


def build_validation_error(error: RequestValidationError) -> APIError:
    """Return the 400 for a request that does not fit its shape: the first field at fault, and what it must be."""
    problems = error.errors()
    same_field = [each for each in problems if each["loc"][:2] == problems[0]["loc"][:2]]
    # Of a field that may be of several types, the problem of the type that it has says most.
    first = next((each for each in same_field if not each["type"].endswith("_type")), problems[0])
    place, *location = first["loc"] or ("body",)
    # A union names its branches in the location; the field before them is what the user wrote.
    param = ".".join(str(part) for part in location if not _BRANCH.search(str(part))) or None
    if first["type"] == "missing" and not location:
        return APIError("server.body_missing")
    return APIError("server.bad_value", param=param, place=param or place, reason=_describe_reason(first))


def _describe_reason(problem: Mapping[str, Any]) -> str:
    reason = str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    return reason[:1].lower() + reason[1:]


def hide_paths(error: GenloomError) -> str:
    """Return the text of an error without the folders of this machine: of a path, only its last part is shown."""
    text = str(error).replace(find_program(), NAME) if PurePath(find_program()).is_absolute() else str(error)
    is_own = error.code.startswith("server.")  # whose texts name addresses, which look like paths
    for value in sorted(_iter_paths(error.fields, PurePath if is_own else (PurePath, str)), key=len, reverse=True):
        text = text.replace(value, PurePath(value).name or "/")
    return text if is_own else hide_folders(text)


def hide_folders(text: str) -> str:
    """Return a text in which only the last part of each path is left."""
    return _PATH.sub("", text)


def _iter_paths(fields: Mapping[str, Any], kinds: type | tuple[type, ...]) -> Iterator[str]:
    for value in fields.values():
        if isinstance(value, GenloomError):
            yield from _iter_paths(value.fields, kinds)
        elif isinstance(value, kinds) and str(value).startswith(("/", "~/")) and len(str(value)) > 1:
            yield str(value)
