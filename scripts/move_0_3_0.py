"""Moves the modules of 0.2.1 to where 0.3.0 has them, and rewrites whoever names them.

`python scripts/move_0_3_0.py` in a clean checkout of 0.2.1 or of a branch of it; then `ruff check --fix .` and
`ruff format .`. `moves_0_3_0.tsv` has a line per file: old path, new path, `-` where it goes.
"""

import re
import subprocess
from pathlib import Path

MAP = Path(__file__).with_name("moves_0_3_0.tsv")
TEXTS = ("*.py", "*.md", "*.toml", "*.yaml", "*.yml", "*.sh", "*.sql", "Makefile", ".ci/run")
FROM = re.compile(r"^([ \t]*)from ([\w.]+) import (\([^)]*\)|[^\n(#]+)([ \t]*#[^\n]*)?$", re.MULTILINE)


def module(path: str) -> str:
    """The dotted name of a file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def git(*words: str) -> str:
    """What git answers."""
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Moves and rewrites."""
    moves = dict(line.split("\t") for line in MAP.read_text().splitlines())
    moves = {old: new for old, new in moves.items() if Path(old).exists()}
    names = {module(old): module(new) for old, new in moves.items() if new != "-" and old.endswith(".py")}
    for old, new in moves.items():
        if new == "-":
            git("rm", "-q", old)
        else:
            Path(new).parent.mkdir(parents=True, exist_ok=True)
            git("mv", old, new)
    texts = [
        Path(each)
        for each in git("ls-files", *TEXTS).split()
        if not each.startswith(("scripts/", "CHANGELOG"))
    ]
    for path in texts:
        before = path.read_text()
        after = rewritten(before, names, moves)
        if after != before:
            path.write_text(after)
    for folder in sorted({str(Path(new).parent) for new in moves.values() if new.endswith(".py")}):
        while folder.partition("/")[0] in ("streams", "local_stack", "testkit"):
            start = Path(folder, "__init__.py")
            if not start.exists():
                print(f"no {start}")
            folder = str(Path(folder).parent)
            if folder == ".":
                break


def rewritten(text: str, names: dict[str, str], moves: dict[str, str]) -> str:
    """`text` with new names."""
    renamed: dict[str, str] = {}

    def imports(match: re.Match[str]) -> str:
        indent, package, body, comment = match.groups()
        if (
            package in names
            and package + ".__init__" not in names
            and f"{package.replace('.', '/')}.py" in moves
        ):
            return match.group(0)  # names of a module, not modules
        kept: list[str] = []
        lines: list[str] = []
        for item in (each.strip() for each in body.strip("() \n").split(",")):
            if not item:
                continue
            name, _, alias = item.partition(" as ")
            new = names.get(f"{package}.{name}")
            if new is None:
                kept.append(item)
                continue
            parent, _, last = new.rpartition(".")
            if last != name and not alias:
                renamed[name] = last
            lines.append(
                f"{indent}from {parent} import {last}{f' as {alias}' if alias else ''}{comment or ''}"
            )
        if not lines:
            return match.group(0)
        if kept:
            lines.insert(0, f"{indent}from {package} import {', '.join(kept)}{comment or ''}")
        return "\n".join(lines)

    text = FROM.sub(imports, text)
    for old, new in renamed.items():
        print(f"renamed: {old} -> {new}")
        text = re.sub(rf"(?<![\w.\"'/-]){old}(?=\.[A-Za-z_])", new, text)
        text = re.sub(rf"(?<=setattr\(){old}(?=, )", new, text)
    for old in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w./-]){re.escape(old)}(?![\w-])", names[old], text)
    for old in sorted((each for each in moves if moves[each] != "-"), key=len, reverse=True):
        text = text.replace(old, moves[old])
    return text


if __name__ == "__main__":
    main()
