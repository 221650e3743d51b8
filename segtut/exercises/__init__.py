"""The checks behind the book's exercises: `check("4.4-iou", answer)` says what is wrong."""

from segtut.exercises import data_preparation, evaluation, model, training
from segtut.exercises.registry import Verdict, check, names

__all__ = ["Verdict", "check", "data_preparation", "evaluation", "model", "names", "training"]
