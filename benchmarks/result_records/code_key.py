"""What code a result depends on: the files that its program reaches by imports, however deep.

    code_key("benchmarks.studies.habits")        a hash of those files' code
    code_files("benchmarks.studies.habits")      the files

Imports are read from the source, recursively; nothing is run. An import from a package's `__init__` leads to the module
that defines the name, and not to all that the package holds; `import package` leads to what is used of it, and to what
its `__init__` uses itself. Comments, docstrings and blank lines are not code: who explains a line throws no result
away. Files that a module names in quotes (`"data/best_observation_only.json"`) count
where they lie beside it or a room that it is in. What a program finds in other ways (entry points, strings with module
names) must be named.
"""

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterator, Sequence
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
    tree = _parsed(file, _changed)
    used = _used(tree)
    found: list[Path] = []
    for module, name, called in _imports(tree, file.relative_to(home).parent.parts):
        if file.name == "__init__.py" and name not in (None, "*") and called not in used:
            continue  # passed on: it counts where it is asked for
        near = _near(module, file, home)
        found += _defining(module, name, near, root)
        whole = module if name is None else f"{module}.{name}"
        for part in used.get(called, ()):
            found += _defining(whole, part, near, root)
    for node in _running(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(DATA):
            found += _beside(file, node.value, home)
    return tuple(found)


def _imports(tree: ast.AST, room: Sequence[str]) -> Iterator[tuple[str, str | None, str]]:
    """Each module that is imported, the name that is imported from it, and what the code calls it.

    Args:
        tree: Of a file.
        room: Names of the packages that it lies in, outermost first.
    """
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None, alias.asname or alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = room[: len(room) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((module, alias.name, alias.asname or alias.name) for alias in node.names)


def _used(tree: ast.AST) -> dict[str, set[str]]:
    """Names that the code reads, dotted ones too, and what it takes of each: attributes, or "*", the thing itself."""
    used: dict[str, set[str]] = {}
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            inner.add(id(node.value))
            owner = node.value
            while isinstance(owner, ast.Attribute):
                owner = owner.value
            if isinstance(owner, ast.Name):
                used.setdefault(ast.unparse(node.value), set()).add(node.attr)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in inner:
            used.setdefault(node.id, set()).add("*")
    return used


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
    if name is None:
        return [init]
    tree = _parsed(init, init.stat().st_mtime_ns)
    if name == "*":
        exports = [(source, each) for source, each, _ in _imports(tree, parts) if each is not None]
        return [init, *(file for source, each in exports for file in _defining(source, each, base, root))]
    if (place / f"{name}.py").is_file() or (place / name / "__init__.py").is_file():
        return _defining(f"{module}.{name}", None, base, root)
    for source, each, called in _imports(tree, parts):
        if each is not None and called == name:
            return _defining(source, each, base, root)
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
