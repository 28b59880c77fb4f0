#!/usr/bin/env python3
"""Take what browsers load from other projects into static/vendor, and write down where it came from.

    tools/vendor.py

It needs npm. To upgrade, change the versions below, or in tools/editor/package.json (then
`npm install --package-lock-only` there), and run it again. Each file lies beside a compressed
twin, which the server sends to browsers that take it. MANIFEST.json lists each package with its version,
licence and integrity, and each file with its SHA-256; a test compares them.
"""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "static" / "vendor"
EDITOR = Path(__file__).with_name("editor")
TABLER = ("@tabler/core", "1.6.1")
ICONS = ("@tabler/icons", "3.52.0")
# The icons that pages use: `{% icon "snowflake" %}`.
USED_ICONS = Path(__file__).with_name("icons.txt").read_text().split()


def main() -> None:
    manifest: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        tabler, facts = _package(*TABLER, Path(scratch))
        css = (tabler / "dist/css/tabler.min.css").read_text()
        css = css.partition("/*# sourceMappingURL")[0]
        files = {"tabler.css": css, "tabler-auto.css": _dark_where_the_system_is(css)}
        manifest["tabler"] = facts | {"files": _write("tabler", files, tabler)}

        icons, facts = _package(*ICONS, Path(scratch))
        files = {"icons.svg": _sprite(icons / "icons/outline")}
        manifest["tabler-icons"] = facts | {"files": _write("tabler-icons", files, icons)}
        manifest["codemirror"] = _editor(Path(scratch))
    (VENDOR / "MANIFEST.json").write_text(json.dumps(manifest, indent=2) + "\n")


def _package(name: str, version: str, scratch: Path) -> tuple[Path, dict[str, str]]:
    """Download the package; return its folder, and what the manifest says of it."""
    told = subprocess.run(
        ["npm", "pack", "--json", f"{name}@{version}"],  # noqa: S607 - the npm of this machine
        cwd=scratch,
        check=True,
        capture_output=True,
    )
    packed = json.loads(told.stdout)[0]
    folder = scratch / name.replace("/", "-")
    with tarfile.open(scratch / packed["filename"]) as archive:
        archive.extractall(folder, filter="data")
    licence = json.loads((folder / "package/package.json").read_text())["license"]
    facts = {"package": name, "version": version, "license": licence}
    return folder / "package", facts | {"integrity": packed["integrity"]}


def _editor(scratch: Path) -> dict[str, object]:
    """Bundle CodeMirror with what puts it into our page; return what the manifest says of it.

    The packages are those of tools/editor/package-lock.json, with their integrity.
    """
    folder = scratch / "editor"
    shutil.copytree(EDITOR, folder)
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],  # noqa: S607 - as above
        cwd=folder,
        check=True,
    )
    made = folder / "made.js"
    bundle = ["node_modules/.bin/esbuild", "editor.js", "--bundle", "--minify", "--format=iife"]
    bundle += ["--target=es2020", "--legal-comments=none", f"--outfile={made}"]
    subprocess.run(bundle, cwd=folder, check=True)
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    parts = {
        name.removeprefix("node_modules/"): {
            "version": each["version"],
            "integrity": each["integrity"],
        }
        for name, each in locked.items()
        if name and not each.get("dev")
    }
    licences = {each["license"] for name, each in locked.items() if name and not each.get("dev")}
    package = folder / "node_modules/codemirror"
    return {
        "package": "codemirror",
        "license": " ".join(sorted(licences)),
        **parts.pop("codemirror"),
        "with": parts,
        "source": {"editor.js": hashlib.sha256((EDITOR / "editor.js").read_bytes()).hexdigest()},
        "files": _write("codemirror", {"editor.js": made.read_text()}, package),
    }


def _write(name: str, files: dict[str, str], package: Path) -> dict[str, str]:
    """Write the files and the licence; return the SHA-256 of each."""
    folder = VENDOR / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    licence = (package / "LICENSE").read_text() if (package / "LICENSE").exists() else ""
    sums = {}
    for file, text in {**files, **({"LICENSE": licence} if licence else {})}.items():
        data = text.encode()
        (folder / file).write_bytes(data)
        sums[file] = hashlib.sha256(data).hexdigest()
        if file != "LICENSE":
            (folder / f"{file}.gz").write_bytes(gzip.compress(data, 9, mtime=0))
    return sums


def _dark_where_the_system_is(css: str) -> str:
    """Repeat Tabler's dark rules for pages that follow the system: CSS alone then chooses, without a script."""
    found = []
    for selectors, body in re.findall(r"([^{}]*\.theme-dark[^{}]*)\{([^{}]*)\}", css):
        own = [one for one in selectors.split(",") if one.startswith(".theme-dark")]
        if own and ":not(" not in selectors:
            own = [one.replace(".theme-dark", '[data-bs-theme="auto"]') for one in own]
            found.append(f"{','.join(own)}{{{body}}}")
    return "@media (prefers-color-scheme: dark) {\n" + "\n".join(found) + "\n}\n"


def _sprite(folder: Path) -> str:
    """Return one SVG with a symbol for each icon."""
    symbols = []
    for name in USED_ICONS:
        drawn = re.findall(r"<(?:path|circle|line)[^>]*/>", (folder / f"{name}.svg").read_text())
        shapes = "".join(each for each in drawn if 'stroke="none"' not in each)
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{shapes}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


if __name__ == "__main__":
    main()
