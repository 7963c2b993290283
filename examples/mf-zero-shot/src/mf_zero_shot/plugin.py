"""What this package offers to mf-framework. Targets are strings: nothing is imported before somebody uses it."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import TaskSpec


@hookimpl
def mf_tasks() -> list[TaskSpec]:
    """Return the task."""
    return [
        TaskSpec(
            name="zero_shot_classification",
            pipeline="mf_zero_shot.pipeline:ZeroShotPipeline",
            recipe="mf_zero_shot.recipe:ZeroShotRecipe",
            aliases=("zero-shot-classification",),
            description="which of several labels fits a text",
        )
    ]
