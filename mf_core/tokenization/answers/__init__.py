"""Answers of chat models, parsed into messages: what is thought, what is said, and which tools are called."""

from .detect import answer_parser
from .message import Delta
from .parser import AnswerParser

__all__ = ["AnswerParser", "Delta", "answer_parser"]
