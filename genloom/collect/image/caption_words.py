"""Column names and words that the captions of images need: see `genloom.collect.captions`."""

from genloom.collect import captions

FILE_COLUMNS = (*captions.FILE_COLUMNS, "image", "image_path", "image_file", "image_name", "img")
IMAGE_COLUMNS = ("image", "content", "img", "picture", "photo", "png", "jpg", "jpeg", "webp", "svg", "bytes")
# fmt: off
# Words by which cameras and programs name a picture without a title.
GENERIC_WORDS = frozenset((
    "img", "image", "images", "dsc", "dscn", "dscf", "dcim", "pxl", "mvi", "imgp", "gopr", "photo", "photos", "pic",
    "pics", "picture", "pictures", "screenshot", "screen", "shot", "untitled", "unnamed", "scan", "scanned", "file",
    "frame", "download", "downloads", "whatsapp", "signal", "telegram", "snapchat", "fb", "fbimg", "received",
    "cropped", "edited", "copy", "burst", "cover", "portrait", "night", "mp", "hdr", "pano", "thumb", "thumbnail",
    "original", "large", "small", "medium", "train", "test", "val", "valid", "validation", "data", "dataset", "raw",
    "export", "exports", "output", "outputs", "sample", "samples", "new", "at", "am", "pm", "wa",
))
# fmt: on
