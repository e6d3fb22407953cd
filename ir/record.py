"""Data classes that are made fast: only type checkers keep them frozen.

For a frozen data class Python writes and compiles six methods, in about 0.4 ms, and
sets each attribute of its instances by a call. A record has three of them, one if
instances are equal only to themselves: ResNet-50 with built kernels is ready 40 of 475
ms sooner. What users meet is frozen at run time too.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass

    def record(*, frozen, eq=True, **options):
        """A `dataclasses.dataclass` of the same options, its methods fewer."""
        assert frozen

        def made(cls):
            keyed = eq and vars(cls).get("__hash__") is None
            found = dataclass(cls, eq=eq, repr=False, unsafe_hash=keyed, **options)
            if "__repr__" not in vars(cls):
                found.__repr__ = _text
            return found

        return made

    def _text(self):
        names = self.__dataclass_fields__
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({values})"


__all__ = ["record"]
