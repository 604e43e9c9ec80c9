"""From bytes to the fields of single events, whatever they come wrapped in."""

from mo_sync.shapes.inboxrow import RECEIVED
from mo_sync.shapes.opened import Opened, expand
from mo_sync.shapes.pieces import Piece, pieces
from mo_sync.shapes.text import decode
from mo_sync.shapes.words import spelled, texts

__all__ = ["RECEIVED", "Opened", "Piece", "decode", "expand", "pieces", "spelled", "texts"]
