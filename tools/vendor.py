"""Write genloom/studio/vendor: libraries, icons and fonts of the studio as files that a browser loads without a build.

    python tools/vendor.py            # needs node and npm; nobody else does

`tools/vendor/package.json` pins the versions, `package-lock.json` their digests. Each module of `tools/vendor/entries`
becomes one minified file. The folder gets a table of its files (vendor.toml) and the licence texts.
"""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "tools/vendor"
WORK = ROOT / "build/vendor"
MODULES = WORK / "node_modules"
OUT = ROOT / "genloom/studio/vendor"

STYLES = {"uplot.css": "uplot/dist/uPlot.min.css"}
FONTS = {
    f"roboto-{subset}-{weight}.woff2": f"@fontsource/roboto/files/roboto-{subset}-{weight}-normal.woff2"
    for subset in ["latin", "latin-ext"]
    for weight in [400, 500, 700]
}
FONT_LICENCE = "Apache-2.0"  # the name table of each font file says so; the package around them is MIT


def run_command(*command: str) -> None:
    subprocess.run(command, cwd=WORK, check=True)


def install_packages() -> None:
    """Install the pinned packages into build/vendor."""
    WORK.mkdir(parents=True, exist_ok=True)
    for name in ["package.json", "package-lock.json", ".npmrc"]:
        shutil.copy(PINS / name, WORK / name)
    shutil.copytree(PINS / "entries", WORK / "entries", dirs_exist_ok=True)
    run_command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")


def bundle_entry(entry: Path) -> list[str]:
    """Write one ES module with all it imports; return the packages in it."""
    meta = WORK / f"{entry.name}.meta.json"
    flags = ["--bundle", "--format=esm", "--minify", "--target=es2022", "--legal-comments=none", "--log-level=warning"]
    source = f"entries/{entry.name}"
    run_command("node_modules/.bin/esbuild", source, f"--outfile={OUT / entry.name}", f"--metafile={meta}", *flags)
    inputs = [
        path.split("/")[1:] for path in json.loads(meta.read_text())["inputs"] if path.startswith("node_modules/")
    ]
    return sorted({"/".join(parts[:2]) if parts[0].startswith("@") else parts[0] for parts in inputs})


def write_icons() -> None:
    """Write the icons as templates of lit, by name."""
    lines = [
        "// Made by tools/vendor.py from Lucide (ISC).",
        "import { svg } from './lit.js';",
        "export const drawings = {",
    ]
    for name in (PINS / "icons.txt").read_text().split():
        source = (MODULES / f"lucide-static/icons/{name}.svg").read_text()
        [body] = re.findall(r"<svg.*?>(.*)</svg>", source, re.DOTALL)
        lines.append(f"  {re.sub(r'-(.)', lambda m: m[1].upper(), name)}: svg`{' '.join(body.split())}`,")
    (OUT / "icons.js").write_text("\n".join([*lines, "};"]) + "\n")


def read_package(package: str) -> dict[str, str]:
    return json.loads((MODULES / package / "package.json").read_text())


def copy_licence(package: str) -> str:
    """Copy the licence text of a package, and return the licence's name."""
    text = next(path for path in sorted((MODULES / package).iterdir()) if path.name.lower().startswith("licen"))
    shutil.copy(text, OUT / "licences" / (package.strip("@").replace("/", "-") + ".txt"))
    return read_package(package)["license"]


def describe_file(name: str, packages: list[str], licences: list[str]) -> str:
    """Return the entry of a file in vendor.toml."""
    data = (OUT / name).read_bytes()
    rows = {
        "name": name,
        "packages": [f"{package} {read_package(package)['version']}" for package in packages],
        "licences": sorted(set(licences)),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "gzip": len(gzip.compress(data, 9, mtime=0)),
    }
    return "[[file]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in rows.items())


def main() -> None:
    install_packages()
    shutil.rmtree(OUT, ignore_errors=True)
    (OUT / "licences").mkdir(parents=True)
    contents = {entry.name: bundle_entry(entry) for entry in sorted((PINS / "entries").glob("*.js"))}
    for types in (PINS / "entries").glob("*.d.ts"):
        shutil.copy(types, OUT / types.name)
    write_icons()
    contents["icons.js"] = ["lucide-static"]
    for name, source in {**STYLES, **FONTS}.items():
        shutil.copy(MODULES / source, OUT / name)
    contents |= {name: [source.split("/")[0]] for name, source in STYLES.items()}
    tables = [describe_file(name, each, [copy_licence(package) for package in each]) for name, each in contents.items()]
    tables += [describe_file(name, ["@fontsource/roboto"], [FONT_LICENCE]) for name in FONTS]
    shutil.copy(ROOT / "LICENSE", OUT / "licences/roboto.txt")
    header = "# Written by tools/vendor.py; tests/studio/test_vendor.py compares.\n\n"
    (OUT / "vendor.toml").write_text(header + "\n".join(tables))


if __name__ == "__main__":
    main()
