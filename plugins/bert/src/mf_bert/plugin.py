"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec

_HEADS = {
    "base": "Model", "masked_lm": "ForMaskedLM", "sequence_classification": "ForSequenceClassification",
    "token_classification": "ForTokenClassification", "question_answering": "ForQuestionAnswering",
}  # fmt: skip
_FAMILIES = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert"}


def _preset(
    name: str, weights: str, parameters: int, *, description: str = "", aliases: tuple[str, ...] = (), **config: int
) -> Preset:
    return Preset(
        name=name, weights=f"hub:{weights}", parameters=parameters, aliases=aliases, description=description,
        license="MIT" if weights.startswith("FacebookAI/") else "Apache-2.0", config=config,
    )  # fmt: skip


_PRESETS = {
    "bert": (
        _preset("bert", "google-bert/bert-base-uncased", 109_482_240, aliases=("bert_base_uncased",)),
        _preset("bert_base_cased", "google-bert/bert-base-cased", 108_310_272, vocab_size=28996),
        _preset("bert_base_chinese", "google-bert/bert-base-chinese", 102_267_648, vocab_size=21128),
        _preset(
            "all_minilm_l6_v2", "sentence-transformers/all-MiniLM-L6-v2", 22_713_216, hidden_size=384, num_layers=6,
            intermediate_size=1536, description="sentence vectors: mean of the tokens, normalised",
        ),
    ),
    "roberta": (_preset("roberta_base", "FacebookAI/roberta-base", 124_645_632),),
    "distilbert": (_preset("distilbert_base_uncased", "distilbert/distilbert-base-uncased", 66_362_880),),
}  # fmt: skip


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configurations and their presets."""
    return [
        ConfigSpec(model_type=family, target=f"mf_bert.config:{name}Config", presets=_PRESETS[family])
        for family, name in _FAMILIES.items()
    ]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the models, each by its head."""
    return [
        ModelSpec(model_type=family, target=f"mf_bert.modeling:{name}{ending}", heads=(head,))
        for family, name in _FAMILIES.items()
        for head, ending in _HEADS.items()
    ]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the WordPiece and byte-level BPE tokenizers."""
    return [
        TokenizerSpec(model_type=family, target=f"mf_bert.tokenization:{name}Tokenizer")
        for family, name in _FAMILIES.items()
    ]
