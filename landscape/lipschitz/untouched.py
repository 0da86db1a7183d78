"""Operations that write into a value: refused where it is read again under another name."""

from __future__ import annotations

from torch.fx import Node

from landscape.lipschitz.value import NoRuleError
from landscape.subject.graph import name_of

_VIEWS = """
    view reshape _unsafe_view flatten unflatten unsqueeze squeeze transpose permute t slice select
    narrow expand chunk split split_with_sizes unbind detach alias getitem
"""


def require_untouched(node: Node) -> None:
    """Refuse an operation that writes into a value which is read again under another name."""
    if not name_of(node).endswith("_") or not isinstance(written := node.args[0], Node):
        return
    aliases, waiting = {written}, [written]
    while waiting:
        one = waiting.pop()
        around = [*one.users, *(one.all_input_nodes if _is_view(one) else [])]
        for other in around:
            linked = other in one.all_input_nodes or _is_view(other)
            if linked and other is not node and other not in aliases:
                aliases.add(other)
                waiting.append(other)
    order = {one: place for place, one in enumerate(node.graph.nodes)}
    readers = {user for one in aliases for user in one.users}
    if any(order[one] > order[node] for one in readers):
        raise NoRuleError("it writes into a value that is read again")


def _is_view(node: Node) -> bool:
    return node.op == "call_function" and name_of(node) in _VIEWS.split()
