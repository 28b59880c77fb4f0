"""Masking secrets in text before anybody reads it: the one masker for logs, outputs and messages.

Standard library only, as the guard masks with it what scripts print.
"""

from n2wbackup.lib.redaction.masker import MARK, Masker, Stream, mask, masker
from n2wbackup.lib.redaction.writings import SHORT

__all__ = ["MARK", "SHORT", "Masker", "Stream", "mask", "masker"]
