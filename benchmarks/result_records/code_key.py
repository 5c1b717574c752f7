"""What code a result depends on: the files that its program reaches by imports, however deep.

    code_key("benchmarks.studies.habits")        a hash of those files' code
    code_files("benchmarks.studies.habits")      the files

Imports are read from the source, recursively; nothing is run. An import from a package's `__init__` leads to the module
that defines the name, and not to all that the package holds. Comments, docstrings and blank lines are not code: who
explains a line throws no result away. Files that a module names in quotes (`"data/best_observation_only.json"`) count
where they lie beside it or a room that it is in. What a program finds in other ways (entry points, strings with module
names) must be named.
"""

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("frl_env", "frl_algos", "benchmarks")
DATA = (".json", ".npz", ".csv", ".parquet")


def code_key(*entries: str | Path, without: tuple[str, ...] = (), root: Path = ROOT) -> str:
    """Hash of the code that programs depend on: 16 hexadecimal digits.

    Args:
        entries: Modules (`"benchmarks.studies.habits"`), or files of others; their imports are followed.
        without: Modules and rooms that do not count, nor what only they import: those that show results.
        root: The checkout.

    Raises:
        ValueError: If a module does not exist or can't be parsed.
    """
    digest = hashlib.sha256()
    files = code_files(*entries, without=without, root=root)
    for file in sorted(files):
        place = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
        digest.update(f"{place}\n".encode())
        digest.update(_code(file, file.stat().st_mtime_ns))
    return digest.hexdigest()[:16]


def code_files(*entries: str | Path, without: tuple[str, ...] = (), root: Path = ROOT) -> frozenset[Path]:
    """The files that programs reach by imports, their own among them; see `code_key`."""
    todo = [_module_file(entry, root) if isinstance(entry, str) else entry.resolve() for entry in entries]
    barred = [_place(name, root) for name in without]
    found: set[Path] = set()
    while todo:
        file = todo.pop()
        if file not in found and not any(file.is_relative_to(place) for place in barred):
            found.add(file)
            if file.suffix == ".py":
                todo += _reached(file, root, file.stat().st_mtime_ns)
    return frozenset(found)


def _module_file(name: str, root: Path) -> Path:
    base = root.joinpath(*name.split("."))
    for file in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
        if file.is_file():
            return file
    raise ValueError(f"there is no module {name} in this checkout")


def _place(name: str, root: Path) -> Path:
    """The file of a module, the folder of a room."""
    file = _module_file(name, root)
    return file.parent if file.name == "__init__.py" and not name.endswith("__init__") else file


@lru_cache(maxsize=4_096)
def _reached(file: Path, root: Path, _changed: int) -> tuple[Path, ...]:
    """Files that one file imports or names."""
    home = file.parent
    while (home / "__init__.py").is_file():
        home = home.parent
    found: list[Path] = []
    for node in _running(_parsed(file, _changed)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found += _defining(alias.name, None, _near(alias.name, file, home), root)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = file.relative_to(home).parent.parts
                inside = package[: len(package) - node.level + 1]
                module = ".".join([*inside, *([module] if module else [])])
            for alias in node.names:
                found += _defining(module, alias.name, _near(module, file, home), root)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(DATA):
            found += _beside(file, node.value, home)
    return tuple(found)


def _beside(file: Path, name: str, home: Path) -> list[Path]:
    """A file of data by its name, beside the module or a room that it is in."""
    if "\n" in name:
        return []
    rooms = [room for room in file.parents if room == file.parent or (room != home and room.is_relative_to(home))]
    return [room / name for room in rooms if (room / name).is_file()][:1]


def _near(module: str, file: Path, home: Path) -> Path | None:
    """Folder in which to look for an imported module; None for an installed package's imports of other packages."""
    installed = home.name in ("site-packages", "dist-packages")
    return None if installed and module.split(".")[0] != file.relative_to(home).parts[0] else home


def _defining(module: str, name: str | None, home: Path | None, root: Path) -> list[Path]:
    """The file that defines a name of a module, past the `__init__` files that pass it on; none of other packages."""
    parts = module.split(".")
    if parts[0] in PACKAGES:
        base = root
    elif home and ((home / parts[0] / "__init__.py").is_file() or (home / f"{parts[0]}.py").is_file()):
        base = home
    else:
        return []
    place = base.joinpath(*parts)
    if place.with_name(f"{place.name}.py").is_file():
        return [place.with_name(f"{place.name}.py")]
    init = place / "__init__.py"
    if not init.is_file():
        return []
    if name is None or name == "*":
        return [init]
    if (place / f"{name}.py").is_file() or (place / name / "__init__.py").is_file():
        return _defining(f"{module}.{name}", None, base, root)
    for node in _running(_parsed(init, init.stat().st_mtime_ns)):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _defining(node.module, alias.name, base, root)
    return [init]


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        checked = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        todo += node.orelse if checked and isinstance(node, ast.If) else list(ast.iter_child_nodes(node))


@lru_cache(maxsize=4_096)
def _parsed(file: Path, _changed: int) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except SyntaxError as problem:
        raise ValueError(f"{file.name} is not Python: {problem}") from problem


@lru_cache(maxsize=4_096)
def _code(file: Path, _changed: int) -> bytes:
    """A file without comments, docstrings and blank lines; files of data as they are."""
    content = file.read_bytes()
    if file.suffix != ".py":
        return content
    lines: list[str | None] = [*content.decode().split("\n")]
    for node in ast.walk(_parsed(file, _changed)):
        # A docstring, or the string that describes a constant: a statement that does nothing.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = None
    for token in tokenize.generate_tokens(io.StringIO(content.decode()).readline):
        if token.type == tokenize.COMMENT:
            line = lines[token.start[0] - 1]
            lines[token.start[0] - 1] = line and line[: token.start[1]]
    return "\n".join(line.rstrip() for line in lines if line and line.strip()).encode()
