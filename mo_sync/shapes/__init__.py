"""From bytes to the fields of single events, whatever they come wrapped in."""

from mo_sync.shapes.opened import Opened, expand
from mo_sync.shapes.pieces import Piece, pieces
from mo_sync.shapes.text import decode

__all__ = ["Opened", "Piece", "decode", "expand", "pieces"]
