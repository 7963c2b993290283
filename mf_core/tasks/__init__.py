"""The tasks that come with the core, offered through the same hook as a plugin's."""

from ..hookspecs import hookimpl
from ..specs import TaskSpec


def _task(name: str, pipeline: str, recipe: str, description: str) -> TaskSpec:
    return TaskSpec(
        name=name, pipeline=f"mf_core.tasks.{pipeline}", recipe=f"mf_core.tasks.{recipe}",
        aliases=(name.replace("_", "-"),) if "_" in name else (), description=description,
    )  # fmt: skip


@hookimpl
def mf_tasks() -> list[TaskSpec]:
    """Return the core's tasks."""
    return [
        _task("text_generation", "text_generation:TextGenerationPipeline", "causal_lm:CausalLMRecipe",
              "continue a text"),
        _task("fill_mask", "fill_mask:FillMaskPipeline", "masked_lm:MaskedLMRecipe", "find masked words"),
        _task("text_classification", "text_classification:TextClassificationPipeline",
              "classification_recipes:TextClassificationRecipe", "label texts and pairs of them"),
        _task("token_classification", "token_classification:TokenClassificationPipeline",
              "classification_recipes:TokenClassificationRecipe", "find and label parts of texts"),
        _task("question_answering", "question_answering:QuestionAnsweringPipeline",
              "question_recipe:QuestionAnsweringRecipe", "find answers in texts"),
        _task("translation", "text_to_text:TranslationPipeline", "seq2seq_recipe:TranslationRecipe",
              "translate texts"),
        _task("summarization", "text_to_text:SummarizationPipeline", "seq2seq_recipe:SummarizationRecipe",
              "summarize texts"),
        TaskSpec(
            name="feature_extraction", pipeline="mf_core.tasks.feature_extraction:FeatureExtractionPipeline",
            aliases=("feature-extraction",), description="vectors of texts, for search",
        ),
        _task("masked_language_modeling", "fill_mask:FillMaskPipeline", "masked_lm:MaskedLMRecipe",
              "train a masked language model"),
        _task("image_classification", "image_classification:ImageClassificationPipeline",
              "image_recipes:ImageClassificationRecipe", "label images"),
        _task("masked_image_modeling", "masked_image:MaskedImageModelingPipeline",
              "masked_image:MaskedImageModelingRecipe", "restore masked parts of images"),
        _task("zero_shot_image_classification",
              "zero_shot_image_classification:ZeroShotImageClassificationPipeline",
              "contrastive:ContrastiveRecipe", "label images by any names"),
        _task("contrastive_language_image_pretrain",
              "zero_shot_image_classification:ZeroShotImageClassificationPipeline",
              "contrastive:ContrastiveRecipe", "train a model that compares images and texts"),
    ]  # fmt: skip
