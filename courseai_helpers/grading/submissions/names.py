"""Finds the names that a cell binds and reads, on its syntax tree."""

import ast
import re
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from courseai_helpers.grading.submissions.additions import LONGEST, translate_magics

# Who uses these can reach any name, or tell that a cell was not run.
REACHING = {"dir", "eval", "exec", "get_ipython", "globals", "locals", "vars"}
# What stands for what was put in and out before: _, __, _3, _i3, Out.
HISTORY = re.compile(r"_+i*\d*|In|Out")
HARMLESS_MAGICS = ("matplotlib", "config")
COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")  # run on the spot
BINDING = (
    ast.Assign,
    ast.AnnAssign,
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.ClassDef,
)


@dataclass
class Names:
    """What a cell does to the names of the notebook.

    Attributes:
        bound: The names it binds, and those whose values it changes.
        read: The names it reads that others have bound.
        late: The names that its functions read, whenever they are called.
        unclear: Whether it may do more than can be seen.
    """

    bound: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    unclear: bool = False


@lru_cache(maxsize=4096)  # most cells of a class are the same
def find_names(source: str) -> Names:
    """Returns what the code of a cell does to names; not to be changed."""
    found = Names(unclear=len(source) > LONGEST)
    if found.unclear:
        return found
    try:
        statements = ast.parse(translate_magics(source)).body
    except (SyntaxError, ValueError):
        return found  # it can't be run
    except (MemoryError, RecursionError):
        return Names(unclear=True)
    try:
        read_block(statements, set(), found)
    except (MemoryError, RecursionError, SyntaxError, ValueError):
        return Names(unclear=True)
    used = found.read | found.late
    history = any(map(HISTORY.fullmatch, used))
    found.unclear = history or bool(used & REACHING) or "*" in found.bound
    return found


def read_block(statements: Iterable[ast.stmt], bound: set[str], found: Names) -> None:
    """Finds the names in statements, when some have surely been bound before."""
    bound = set(bound)
    for statement in statements:
        if is_harmless_magic(statement):
            continue
        changed = set(list_changed(statement))
        found.bound |= changed
        if isinstance(statement, ast.For):
            read_code(statement.iter, bound, found)
            names = ast.walk(statement.target)
            inside = bound | {node.id for node in names if isinstance(node, ast.Name)}
            read_block(statement.body, inside, found)
            read_block(statement.orelse, bound, found)
        else:
            read_code(statement, bound, found)
            if isinstance(statement, BINDING):
                bound |= changed


def read_code(code: ast.AST, bound: set[str], found: Names) -> None:
    """Finds the names in an expression or a statement, whatever the order in it."""
    top = symtable.symtable(ast.unparse(code), "cell", "exec")
    read = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    if isinstance(code, ast.AugAssign):
        read |= set(list_roots(code.target))
    for table in top.get_children():
        names = set(list_free(table))
        if table.get_name() in COMPREHENSIONS:
            read |= names
        else:
            found.late |= names
    found.read |= read - bound


def list_free(table: symtable.SymbolTable) -> Iterator[str]:
    """Returns the names of the notebook that a function or class reads."""
    for symbol in table.get_symbols():
        if symbol.is_global() and symbol.is_referenced():
            yield symbol.get_name()
    for child in table.get_children():
        yield from list_free(child)


def list_changed(statement: ast.stmt) -> Iterator[str]:
    """Returns the names that a statement binds, or whose values it changes."""
    for node in ast.walk(statement):
        match node:
            case ast.Name(ctx=ast.Store() | ast.Del()):
                yield node.id
            case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
                yield from list_roots(node)
            case ast.Expr(value=ast.Call(func=ast.Attribute() as method)):
                yield from list_roots(method)  # model.eval(), rows.append(...)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from (a.asname or a.name.partition(".")[0] for a in node.names)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name


def list_roots(expression: ast.expr) -> Iterator[str]:
    """Returns the name that an expression such as model.fc or rows[0] begins with."""
    while isinstance(expression, ast.Attribute | ast.Subscript):
        expression = expression.value
    if isinstance(expression, ast.Name):
        yield expression.id


def is_harmless_magic(statement: ast.stmt) -> bool:
    """Tells whether a statement is %matplotlib or %config, which reads no names."""
    match statement:
        case ast.Expr(
            ast.Call(
                ast.Attribute(ast.Call(ast.Name("get_ipython")), "run_line_magic"),
                [ast.Constant(name), *_],
            )
        ):
            return name in HARMLESS_MAGICS
    return False
