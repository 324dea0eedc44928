"""Files that users made, sent so that no browser takes them for a page of ours."""

import re
from pathlib import Path
from urllib.parse import quote

from starlette.responses import FileResponse, Response

# A browser shows or plays these in place; whatever else users made is a download.
_INLINE_TYPES = re.compile(
    r"image/(png|jpeg|webp|gif|avif)|audio/(x-)?(wav|mpeg|ogg|flac|midi)|video/(mp4|webm)|text/plain|application/json"
)
_SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'self'"
_REPORT_SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


def build_file_response(
    content: Path | bytes, media_type: str, filename: str, *, is_download: bool = False, is_report: bool = False
) -> Response:
    """Return the answer with a file that a user or a model made.

    `is_download` asks the browser to store it. `is_report` is for our own HTML reports, which may be shown in a frame:
    they run no script and load nothing.
    """
    kind = media_type.partition(";")[0].strip().lower()
    is_inline = (is_report or _INLINE_TYPES.fullmatch(kind) is not None) and not is_download
    disposition = "inline" if is_inline else "attachment"
    headers = {
        "content-disposition": f"{disposition}; filename*=UTF-8''{quote(filename, safe='')}",
        "content-security-policy": _REPORT_SANDBOX if is_report else _SANDBOX,
        "x-content-type-options": "nosniff",
        "x-frame-options": "SAMEORIGIN",
        "cache-control": "private, no-cache",
    }
    if isinstance(content, Path):
        return FileResponse(content, headers=headers, media_type=media_type)
    return Response(content, headers=headers, media_type=media_type)
