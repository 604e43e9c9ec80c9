"""Files put into a store, for tests of stores and of what stands on them."""

from __future__ import annotations

from mo_sync.store import Occupied, Placed, Placement, Store

__all__ = ["put_in_place"]


def put_in_place(store: Store, item: Placement) -> Placed | OSError:
    """As the finisher does: where nothing is, else in exchange for what is there."""
    [answer] = store.place([item])
    if not isinstance(answer, Occupied):
        return answer
    try:
        with store.exchange(item) as exchange:
            assert exchange is not None, "somebody else exchanges it"
            return exchange()
    except OSError as error:
        return error
