"""A locale of the system in which ONNX Runtime can normalize strings.

Its default, en_US.UTF-8, is not everywhere; letters are the same in all of these.
"""

import locale
from typing import Any

_NAMES = ("en_US.UTF-8", "C.UTF-8", "C.utf8")


def _is_installed(name: str) -> bool:
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, name)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_CTYPE, before)
    return True


LOCALE = next(filter(_is_installed, _NAMES), _NAMES[0])


def use_locale(model: Any) -> None:
    """Has the nodes of a model that name no locale use one that is installed."""
    for node in model.graph.node:
        named = any(a.name == "locale" and a.s for a in node.attribute)
        if node.op_type == "StringNormalizer" and not named:
            kept = [a for a in node.attribute if a.name != "locale"]
            del node.attribute[:]
            node.attribute.extend(kept)
            node.attribute.add(name="locale", type=3, s=LOCALE.encode())
