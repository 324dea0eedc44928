"""Files of formats that no medium reads, and what to do with them."""

_PICTURES = (
    *(".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".xcf", ".ico", ".tga", ".ppm", ".exr", ".eps", ".ai"),
    *(".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2"),  # of cameras
)
_SCORES = (".mscz", ".mscx", ".sib", ".mus", ".musx", ".gp3", ".gp4", ".gp5", ".gpx", ".mei", ".ly", ".dorico")
CONVERSION_HINTS = {
    **dict.fromkeys(_PICTURES, "save it as .png"),
    **dict.fromkeys(_SCORES, "export it as .musicxml"),
    **dict.fromkeys((".doc", ".dot", ".wps", ".wpd"), "save it as .docx"),
    **dict.fromkeys((".xls", ".xlsb", ".xltx"), "save it as .xlsx"),
    **dict.fromkeys((".ppt", ".pptm", ".ppsx", ".pps", ".odp"), "save it as .pptx"),
    **dict.fromkeys((".djvu", ".xps", ".ps", ".chm"), "save it as .pdf"),
    **dict.fromkeys((".mobi", ".azw3", ".fb2", ".lit"), "convert it to .epub"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".bz2", ".xz", ".zst", ".rar"), "unpack it first"),
    **dict.fromkeys((".mht", ".mhtml"), "save it as .html"),
    **dict.fromkeys((".ass", ".ssa", ".lrc"), "save it as .srt"),
    **dict.fromkeys((".sqlite", ".feather", ".arrow", ".dbf"), "save it as .csv or .parquet"),
    ".fodt": "save it as .odt",
    ".msg": "save it as .eml",
    ".pages": "export it as .docx or .pdf",
}
