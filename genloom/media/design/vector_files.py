"""The outline of a plane design as SVG and DXF: closed curves in millimetres, y upward in DXF as in CAD programs."""

import io
from html import escape

from genloom.media.design.libraries import import_library
from genloom.media.design.outlines import MILLIMETRES, build_unit_domain, list_outlines, measure_area
from genloom.media.design.structure import Structure

DECIMALS = 4  # of millimetres


def write_svg(structure: Structure) -> bytes:
    """Return a drawing in its real size, the material black."""
    domain = build_unit_domain(structure)
    width, height = (MILLIMETRES * size for size in domain.size[:2])
    paths = []
    for polygon in list_outlines(structure):
        points = (f"{x:.{DECIMALS}f} {height - y:.{DECIMALS}f}" for x, y in polygon)
        paths.append(f"M{'L'.join(points)}Z")
    title = escape(structure.goals.title) if structure.goals else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.6g}mm" height="{height:.6g}mm" '
        f'viewBox="0 0 {width:.6g} {height:.6g}"><title>{title}</title>'
        f'<path fill="#000" fill-rule="evenodd" d="{"".join(paths)}"/></svg>\n'
    ).encode()


def write_dxf(structure: Structure) -> bytes:
    """Return a DXF drawing (R2010, millimetres), a closed polyline for every curve, on the layers OUTLINE and HOLES."""
    ezdxf = import_library("ezdxf")
    # Times and random ids would make every file of one design another one.
    ezdxf.options.write_fixed_meta_data_for_testing = True
    try:
        document = ezdxf.new("R2010", units=4)  # millimetres
        document.layers.add("OUTLINE", color=7)
        document.layers.add("HOLES", color=1)
        for polygon in list_outlines(structure):
            layer = "OUTLINE" if measure_area(polygon) > 0 else "HOLES"
            points = [(round(float(x), DECIMALS), round(float(y), DECIMALS)) for x, y in polygon]
            document.modelspace().add_lwpolyline(points, close=True, dxfattribs={"layer": layer})
        stream = io.StringIO()
        document.write(stream)
    finally:
        ezdxf.options.write_fixed_meta_data_for_testing = False
    return stream.getvalue().encode()
