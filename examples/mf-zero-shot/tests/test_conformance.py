"""What every task of mf-framework must do, checked on this package's."""

from mf_core.testing import TaskContract


class TestZeroShotClassification(TaskContract):
    distribution = "mf-zero-shot"
    task = "zero_shot_classification"
    model = "gpt2_tiny"
    inputs = ("The soup was warm, and everybody had enough.", "It rained into the tent all night.")
    examples = [
        {"text": "The soup was warm.", "label": "good"},
        {"text": "It rained into the tent.", "label": "bad"},
    ] * 4
