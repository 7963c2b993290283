"""The tasks that come with the core, offered through the same hook as a plugin's."""

from ..hookspecs import hookimpl
from ..specs import TaskSpec


@hookimpl
def mf_tasks() -> list[TaskSpec]:
    """Return text generation."""
    return [
        TaskSpec(
            name="text_generation",
            pipeline="mf_core.tasks.text_generation:TextGenerationPipeline",
            recipe="mf_core.tasks.causal_lm:CausalLMRecipe",
            aliases=("text-generation",),
            description="continue a text",
        )
    ]
