"""Makes mutants of right solutions, by operators for this field on the syntax tree.

An operator gets a node and yields what may stand in its place: another node, or a list
of statements for a statement. Which mutants behave as before is not known here: the
oracle says so.

The general operators are ours as well. Those of cosmic-ray 8.7 were tried: 347 of the
1,997 mutants that only it makes of the same solutions were judged, and showed nothing
new. It would bring 20 packages along.
"""

import ast
import copy
import functools
import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

Replacement = ast.AST | list[ast.stmt]
Operator = Callable[[ast.AST], Iterator[Replacement]]
OPERATORS: dict[str, Operator] = {}

SWAPS = {
    "mean": ("sum", "amax", "std"),
    "sum": ("mean", "max"),
    "amin": ("amax", "mean"),
    "amax": ("amin", "mean"),
    "min": ("max", "mean"),
    "max": ("min", "sum"),
    "argmax": ("argmin",),
    "topk": ("sort",),
    "softmax": ("log_softmax", "sigmoid"),
    "relu": ("abs", "neg", "sigmoid"),
    "permute": ("reshape",),
    "forward": ("eval",),
    "values": ("keys",),
    "named_modules": ("named_children",),
    "bilinear": ("nearest", "bicubic"),
}
DROPPED_METHODS = {
    *("abs", "clamp", "clone", "copy", "cpu", "detach", "eval", "float", "flatten"),
    *("item", "numpy", "relu", "requires_grad_", "softmax", "squeeze", "tolist"),
    *("unsqueeze", "values", "view"),
}
COMPARISONS = (ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq)


def operator(function: Operator) -> Operator:
    """Adds an operator to the list of all."""
    OPERATORS[function.__name__] = function
    return function


def parse_expression(text: str) -> ast.expr:
    """Returns the tree of an expression."""
    return ast.parse(text, mode="eval").body


def wrap(text: str, node: ast.AST) -> ast.expr:
    """Returns an expression in which a node takes the place of `_`."""

    class Put(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> ast.AST:  # noqa: N802
            return copy.deepcopy(node) if name.id == "_" else name

    return Put().visit(parse_expression(text))


@operator
def change_a_number(node: ast.AST) -> Iterator[Replacement]:
    """Dims, indices, bounds and factors: the next and the last number, and others."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        for value in sorted({node.value + 1, node.value - 1, 0, 1} - {node.value}):
            yield ast.Constant(value)
    if isinstance(node, ast.Constant) and type(node.value) is float:
        yield from (ast.Constant(value) for value in (node.value * 100, 0.5))


@operator
def flip_a_truth(node: ast.AST) -> Iterator[Replacement]:
    """keepdim, align_corners, requires_grad and others the other way round."""
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield ast.Constant(not node.value)


@operator
def drop_an_item(node: ast.AST) -> Iterator[Replacement]:
    """One dim less in a reduction, one thing less in what is returned."""
    if isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Load):
        for place in range(len(node.elts)):
            rest = node.elts[:place] + node.elts[place + 1 :]
            yield type(node)(rest, ast.Load())


@operator
def swap_items(node: ast.AST) -> Iterator[Replacement]:
    """Height and width, left and top, class and heatmap change places."""
    if isinstance(node, ast.Tuple | ast.List):
        for place in range(len(node.elts) - 1):
            items = list(node.elts)
            items[place], items[place + 1] = items[place + 1], items[place]
            yield type(node)(items, node.ctx)
    if isinstance(node, ast.Call) and len(node.args) == 3:  # permute(1, 2, 0)
        first, second, third = node.args
        for args in ([second, first, third], [first, third, second]):
            yield ast.Call(node.func, args, node.keywords)


@operator
def use_another_method(node: ast.AST) -> Iterator[Replacement]:
    """mean, max or sum; minimum or maximum; another way of upsampling."""
    if isinstance(node, ast.Attribute):
        for name in SWAPS.get(node.attr, ()):
            yield ast.Attribute(node.value, name, node.ctx)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        for name in SWAPS.get(node.value, ()):
            yield ast.Constant(name)


@operator
def drop_a_call(node: ast.AST) -> Iterator[Replacement]:
    """No clone, no detach, no ReLU, no int() around an index."""
    if not isinstance(node, ast.Call):
        return
    if isinstance(node.func, ast.Attribute) and node.func.attr in DROPPED_METHODS:
        yield node.func.value
    if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
        yield node.args[0]


@operator
def drop_a_keyword(node: ast.AST) -> Iterator[Replacement]:
    """No keepdim, no align_corners, no size."""
    if isinstance(node, ast.Call):
        for place in range(len(node.keywords)):
            rest = node.keywords[:place] + node.keywords[place + 1 :]
            yield ast.Call(node.func, node.args, rest)


@operator
def change_an_operation(node: ast.AST) -> Iterator[Replacement]:
    """Plus for minus, times for divided by; one side alone."""
    if isinstance(node, ast.BinOp):
        others = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add}
        other = others.get(type(node.op), ast.Mult)
        yield ast.BinOp(node.left, other(), node.right)
        yield node.left


@operator
def change_a_comparison(node: ast.AST) -> Iterator[Replacement]:
    """Another bound; the other case."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        kind = type(node.ops[0])
        if kind in COMPARISONS:
            for other in COMPARISONS:
                if other is not kind:
                    yield ast.Compare(node.left, [other()], node.comparators)
        if kind in (ast.Is, ast.IsNot):
            flipped = ast.IsNot if kind is ast.Is else ast.Is
            yield ast.Compare(node.left, [flipped()], node.comparators)
            yield parse_expression("not target_class")


@operator
def change_a_slice(node: ast.AST) -> Iterator[Replacement]:
    """One more, one less, open at an end."""
    if isinstance(node, ast.Slice):
        lower, upper = node.lower, node.upper
        if lower is not None:
            yield ast.Slice(None, upper, node.step)
            yield ast.Slice(wrap("_ + 1", lower), upper, node.step)
        if upper is not None:
            yield ast.Slice(lower, None, node.step)
            yield ast.Slice(lower, wrap("_ + 1", upper), node.step)
            yield ast.Slice(lower, wrap("_ - 1", upper), node.step)


@operator
def drop_a_statement(node: ast.AST) -> Iterator[Replacement]:
    """A step is left out, or done always."""
    if isinstance(node, ast.Expr | ast.AugAssign | ast.Assign):
        is_docstring = isinstance(node, ast.Expr) and isinstance(
            node.value, ast.Constant
        )
        if not is_docstring:
            yield [ast.Pass()]
    if isinstance(node, ast.If | ast.With):
        yield node.body
    if isinstance(node, ast.If):
        yield node.orelse or [ast.Pass()]


@operator
def clean_up_otherwise(node: ast.AST) -> Iterator[Replacement]:
    """What stands in `finally` is done after success only, or after some exceptions."""
    if isinstance(node, ast.Try) and node.finalbody:
        after, last = node.finalbody, node.body[-1]
        if isinstance(last, ast.Return):
            yield [*node.body[:-1], *after, last]
        else:
            yield [*node.body, *after]
        for name in ("RuntimeError", "ValueError"):
            caught = ast.ExceptHandler(ast.Name(name, ast.Load()), None, [ast.Raise()])
            caught.body = [*copy.deepcopy(after), ast.Raise()]
            yield [ast.Try(node.body, [caught], after, [])]
        quiet = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])
        yield [ast.Try(node.body, [quiet], [], after)]
        yield [ast.Try(node.body, [], [], [ast.Pass()])]


@operator
def take_another_score(node: ast.AST) -> Iterator[Replacement]:
    """The probability, its logarithm, or something else in the place of the score."""
    if isinstance(node, ast.Call) and is_name(node.func, "model"):
        yield wrap("_.softmax(dim=1)", node)
        yield wrap("_.log_softmax(dim=1)", node)
        yield wrap("_.sigmoid()", node)
        yield wrap("_.abs()", node)
    is_score = isinstance(node, ast.Subscript) and is_name(node.value, "scores")
    if is_score and isinstance(node.ctx, ast.Load):
        yield wrap("_.exp()", node)
        yield wrap("_ - scores.mean()", node)
        yield wrap("_ * 0 + scores.max()", node)
        yield wrap("_ * 0 + scores.sum()", node)


@operator
def take_the_inputs(node: ast.AST) -> Iterator[Replacement]:
    """A hook keeps what goes in; an argument is mistaken for another."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        others = {
            "output": ("inputs[0]", "output[0]", "output * 2"),
            "gradients": ("activations", "gradients.abs()", "gradients.relu()"),
            "activations": ("gradients", "activations.relu()"),
            "left": ("top", "right"),
            "top": ("left", "bottom"),
            "right": ("bottom", "left"),
            "bottom": ("right", "top"),
            "name": ("name.split('.')[0]", "name.split('.')[-1]", "layer_names[0]"),
            "index": ("int(str(index)[0])", "index + 1", "0"),
            "k": ("2", "k + 1"),
        }
        for text in others.get(node.id, ()):
            yield parse_expression(text)


@operator
def change_the_hook(node: ast.AST) -> Iterator[Replacement]:
    """The hook returns something, or it is another kind of hook."""
    if isinstance(node, ast.FunctionDef) and len(node.args.args) == 3:
        names = [argument.arg for argument in node.args.args]
        if names[0] not in ("model", "self"):
            for text in (f"{names[2]} * 0.5", f"{names[2]}.detach()"):
                changed = copy.deepcopy(node)
                changed.body.append(ast.Return(parse_expression(text)))
                yield [changed]
    if isinstance(node, ast.Attribute) and node.attr == "register_forward_hook":
        yield ast.Attribute(node.value, "register_forward_pre_hook", node.ctx)


@operator
def work_in_place(node: ast.AST) -> Iterator[Replacement]:
    """The caller's own tensor is changed."""
    if isinstance(node, ast.Assign | ast.Return) and isinstance(node.value, ast.BinOp):
        first = node.value.left
        if isinstance(first, ast.Name):
            changed = ast.Name(first.id, ast.Store())
            step = ast.AugAssign(changed, node.value.op, node.value.right)
            same = copy.deepcopy(node)
            same.value = ast.Name(first.id, ast.Load())
            yield [step, same]


@operator
def scale_otherwise(node: ast.AST) -> Iterator[Replacement]:
    """The minimum is subtracted, a tiny number is added, nothing is done."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        for text in (
            "({0} - {0}.min()) / ({0}.max() - {0}.min())",
            "{0} / ({1} + 1e-2)",
            "{0} / ({1} + 1e-6)",
            "{0} / {0}.sum()",
        ):
            left, right = ast.unparse(node.left), ast.unparse(node.right)
            yield parse_expression(text.format(f"({left})", f"({right})"))


@operator
def swap_steps(node: ast.AST) -> Iterator[Replacement]:
    """Two statements change their order: the body of a function, loop or `with`."""
    if isinstance(node, ast.FunctionDef | ast.With | ast.For | ast.If):
        for place in range(len(node.body) - 1):
            changed = copy.deepcopy(node)
            body = changed.body
            body[place], body[place + 1] = body[place + 1], body[place]
            yield [changed]


@operator
def swallow_exceptions(node: ast.AST) -> Iterator[Replacement]:
    """What the forward pass raises does not reach the caller."""
    calls = isinstance(node, ast.Expr | ast.Assign) and isinstance(node.value, ast.Call)
    if calls and is_name(node.value.func, "model"):
        quiet = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])
        yield [ast.Try([node], [quiet], [], [])]


@operator
def return_otherwise(node: ast.AST) -> Iterator[Replacement]:
    """Nothing is returned, or the first thing alone."""
    if isinstance(node, ast.Return) and node.value is not None:
        yield ast.Return(None)
        if isinstance(node.value, ast.Tuple):
            yield ast.Return(node.value.elts[0])


def is_name(node: ast.AST, name: str) -> bool:
    """Tells whether a node is this name."""
    return isinstance(node, ast.Name) and node.id == name


@dataclass(frozen=True)
class Mutant:
    """A solution with one or two changes.

    Attributes:
        base: What was changed.
        changes: The operators, with the line at which each worked.
        code: The changed solution.
    """

    base: str
    changes: tuple[str, ...]
    code: str


def list_changes(
    code: str, spared: Collection[str] = ()
) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yields every single change of a solution: what it is, and what makes the code.

    Args:
        code: The solution.
        spared: The names of top-level functions that stay as they are.
    """
    tree = ast.parse(code)
    kept = {
        node
        for function in tree.body
        if isinstance(function, ast.FunctionDef) and function.name in spared
        for node in ast.walk(function)
    }
    for parent, field, place, node in list(list_places(tree)):
        if node in kept:
            continue
        for name, apply in OPERATORS.items():
            for new in apply(node):
                if place is not None or not isinstance(new, list):
                    make = functools.partial(replace, tree, parent, field, place, new)
                    yield f"{name.replace('_', ' ')}, line {node.lineno}", make


def list_places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Yields every node that has a line, with its parent and its place there."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if field in ("decorator_list", "annotation", "returns"):
                continue
            if isinstance(value, list):
                for place, item in enumerate(value):
                    if isinstance(item, ast.AST) and hasattr(item, "lineno"):
                        yield parent, field, place, item
            elif isinstance(value, ast.AST) and hasattr(value, "lineno"):
                yield parent, field, None, value


def replace(
    tree: ast.AST, parent: ast.AST, field: str, place: int | None, new: Replacement
) -> str:
    """Returns the code of a tree with one node replaced; the tree itself stays."""
    old = getattr(parent, field)
    if place is None:
        value = new
    else:
        items = new if isinstance(new, list) else [new]
        value = [*old[:place], *items, *old[place + 1 :]]
    setattr(parent, field, value)
    try:
        return ast.unparse(tree)
    finally:
        setattr(parent, field, old)


def make_mutants(
    solutions: dict[str, str], count: int, seed: int, spared: Collection[str] = ()
) -> list[Mutant]:
    """Draws different mutants of some solutions, one fifth of them with two changes.

    Args:
        solutions: Right solutions by their titles.
        count: How many mutants, if there are as many.
        seed: What the draw depends on.
        spared: The functions in them that stay as they are: other exercises.
    """
    random_ = random.Random(seed)
    changes = [
        (title, *change)
        for title in solutions
        for change in list_changes(solutions[title], spared)
    ]
    random_.shuffle(changes)
    seen = {ast.unparse(ast.parse(code)) for code in solutions.values()}
    mutants: list[Mutant] = []
    for title, change, make in changes:
        if len(mutants) < count - count // 5 and (code := make()) not in seen:
            seen.add(code)
            mutants.append(Mutant(title, (change,), code))
    for first in random_.choices(mutants, k=2 * (count - len(mutants))):
        if len(mutants) >= count:
            break
        seconds = list(list_changes(first.code, spared))
        for change, make in random_.sample(seconds, min(1, len(seconds))):
            if (code := make()) not in seen:
                seen.add(code)
                mutants.append(Mutant(first.base, (*first.changes, change), code))
    return mutants
