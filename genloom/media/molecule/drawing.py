"""Drawings of molecules as SVG and PNG, and sheets of several."""

import io
from collections.abc import Sequence
from html import escape
from textwrap import wrap
from typing import Any

from genloom.media.molecule.facts import NOTICE, compute_facts, describe_fault
from genloom.media.molecule.libraries import load_chem, load_library
from genloom.media.molecule.molecule import Mol, Molecule, find_mol

WIDTH, HEIGHT = 320, 260  # of one drawing
LINE_HEIGHT, MARGIN, COLUMNS, MAX_DRAWN = 16, 8, 4, 100
CAPTION_LINES = 3


def lay_out(mol: Mol) -> Mol:
    """Return a copy of a molecule with the coordinates of a drawing."""
    chem = load_chem()
    load_library("rdkit.Chem.rdDepictor").SetPreferCoordGen(False)
    copy = chem.Mol(mol)
    copy.RemoveAllConformers()
    load_library("rdkit.Chem.rdDepictor").Compute2DCoords(copy, canonOrient=True)
    return copy


def draw_mol(mol: Mol | None, drawer: Any) -> Any:
    """Draw a molecule, or nothing, and return what was drawn."""
    options = drawer.drawOptions()
    options.includeMetadata = False
    options.padding = 0.08
    options.maxFontSize = 16
    options.fixedBondLength = 28
    options.addStereoAnnotation = False
    if mol is not None:
        drawing = load_library("rdkit.Chem.Draw.rdMolDraw2D")
        drawing.PrepareAndDrawMolecule(drawer, lay_out(mol))
    drawer.FinishDrawing()
    return drawer.GetDrawingText()


def draw_svg(value: Molecule) -> bytes:
    """Return a drawing as SVG, with the notice in its description."""
    drawing = load_library("rdkit.Chem.Draw.rdMolDraw2D")
    svg: str = draw_mol(find_mol(value), drawing.MolDraw2DSVG(WIDTH, HEIGHT))
    head, mark, rest = svg.partition("<!-- END OF HEADER -->")
    described = f"{head}<title>{escape(value.smiles)}</title><desc>{escape(NOTICE)}</desc>"
    return (described + rest if mark else svg).encode()


def draw_image(mol: Mol) -> Any:
    """Return a drawing as a picture of Pillow."""
    from PIL import Image

    drawing = load_library("rdkit.Chem.Draw.rdMolDraw2D")
    return Image.open(io.BytesIO(draw_mol(mol, drawing.MolDraw2DCairo(WIDTH, HEIGHT)))).convert("RGB")


def draw_png(values: Sequence[Molecule], captions: Sequence[str] = ()) -> bytes:
    """Return drawings in rows as PNG, each above its caption and properties, with the notice in its metadata."""
    from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

    values = values[:MAX_DRAWN]
    captions = [*captions, *[""] * len(values)][: len(values)]
    columns = min(max(len(values), 1), COLUMNS)
    height = HEIGHT + (CAPTION_LINES * LINE_HEIGHT + MARGIN)
    rows = -(-max(len(values), 1) // columns)
    image = Image.new("RGB", (columns * WIDTH, rows * height), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for number, (value, caption) in enumerate(zip(values, captions, strict=True)):
        left, top = number % columns * WIDTH, number // columns * height
        if (mol := find_mol(value)) is not None:
            image.paste(draw_image(mol), (left, top))
        lines = [*wrap(caption, 52)[: CAPTION_LINES - 1], summarise_facts(value)]
        for line, text in enumerate(lines):
            width = pen.textlength(text, font)
            place = (left + max((WIDTH - width) / 2, 2), top + HEIGHT + line * LINE_HEIGHT)
            pen.text(place, text, "#333333", font)
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("Description", NOTICE)
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def summarise_facts(value: Molecule) -> str:
    """Return the main properties in the width of a drawing."""
    facts = compute_facts(value)
    if not facts:
        return describe_fault(value)[:52]
    return f"{facts['mw']:.0f} Da · logP {facts['logp']:z.1f} · QED {facts['qed']:.2f} · SA {facts['sa']:.1f}"
