"""Check public names: none uses a word that the glossary rules out, and no class name stands twice.

`python -m checks.names` prints each fault as `file:line: what is wrong` and exits with 1 if there
is one. The words come from the table "Words we do not use as names" of docs/glossary.md.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipeline", "schemas", "deploy", "checks")
# Names that are not ours to choose, with the reason.
FIXED = {
    "learn_one": "river's interface",
    "predict_proba_one": "river's interface",
    "backup_place": "a setting that installations have",
    "place": "a key in the JSON of `trace --json`",
}
_SECTION = "## Words we do not use as names"
# A run of capitals, a capitalised word, or a run of small letters and digits.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class PublicName:
    """A public name, where it is defined, and whether it is a class, a field or something else."""

    file: Path
    line: int
    name: str
    kind: str


def words_of(name: str) -> list[str]:
    """Return the words of a name in small letters.

    >>> words_of("HTTPServer_held")
    ['http', 'server', 'held']
    """
    return [word.casefold() for word in _WORD.findall(name)]


def forbidden_words(glossary: str) -> frozenset[str]:
    """Return the single words in the first column of the glossary's last table.

    >>> sorted(forbidden_words("## Words we do not use as names\\n| told, in hand | emit |"))
    ['told']
    """
    _, _, section = glossary.partition(_SECTION)
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    words = {word.strip() for row in rows for word in row.split(",")}
    return frozenset(word for word in words if re.fullmatch(r"[a-z]+", word)) - {"not"}


def public_names(path: Path) -> Iterator[PublicName]:
    """Yield the module, classes, functions, parameters, fields and constants that a file defines.

    Fields of a contract (a class of schemas/ that declares JSON) are data, not names of the code:
    they are left out, and so is all that begins with an underscore.
    """
    yield PublicName(path, 1, path.stem, "module")
    tree = ast.parse(path.read_text("utf-8"))
    is_contract = path.is_relative_to(ROOT / "schemas")
    yield from _names_in(path, tree.body, fields=not is_contract)


def _names_in(path: Path, body: list[ast.stmt], *, fields: bool) -> Iterator[PublicName]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            if not node.name.startswith("_"):
                yield PublicName(path, node.lineno, node.name, "class")
                if fields:
                    yield from _names_in(path, node.body, fields=True)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_"):
                yield PublicName(path, node.lineno, node.name, "function")
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                for argument in arguments:
                    yield PublicName(path, argument.lineno, argument.arg, "parameter")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and not target.id.startswith("_"):
                    yield PublicName(path, target.lineno, target.id, "variable")


def faults() -> Iterator[str]:
    """Yield a sentence for each name that breaks a rule."""
    forbidden = forbidden_words((ROOT / "docs/glossary.md").read_text("utf-8"))
    classes: dict[str, list[PublicName]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for public in public_names(path):
                if public.name in FIXED:
                    continue
                where = f"{path.relative_to(ROOT)}:{public.line}"
                for word in sorted(forbidden.intersection(words_of(public.name))):
                    yield f'{where}: {public.kind} {public.name}: the glossary rules out "{word}"'
                if public.kind == "class":
                    classes[public.name].append(public)
    for name, definitions in sorted(classes.items()):
        if len(definitions) > 1:
            files = ", ".join(str(item.file.relative_to(ROOT)) for item in definitions)
            yield f"class {name} is defined in several modules: {files}; give each its own name"


def main() -> None:
    """Print all faults; exit with 1 if there is one."""
    sentences = list(faults())
    print("\n".join(sentences) if sentences else "names: no fault")
    sys.exit(bool(sentences))


if __name__ == "__main__":
    main()
