"""What a failure means for the attachment it happened to: two tables, as data."""

from mo_sync.verdicts.kinds import MEANINGS, OUT_OF_REACH, UNANSWERED, Step, Trouble, Verdict
from mo_sync.verdicts.page import markdown
from mo_sync.verdicts.table import TABLE, TROUBLES, Row, Ruling, elsewhere, judge, judge_trouble, scg_number

__all__ = [
    "MEANINGS",
    "OUT_OF_REACH",
    "TABLE",
    "TROUBLES",
    "UNANSWERED",
    "Row",
    "Ruling",
    "Step",
    "Trouble",
    "Verdict",
    "elsewhere",
    "judge",
    "judge_trouble",
    "markdown",
    "scg_number",
]
