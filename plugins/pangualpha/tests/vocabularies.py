"""SentencePiece vocabularies for the tests, trained on texts that are made here."""

import io
import random

import sentencepiece

CHINESE = (
    "我爱北京。你好,今天天气不错。我们在学校里学习语言模型,老师说明天会下雨。小猫坐在垫子上,小狗跑过公园。"
    "人工智能可以写诗、翻译和回答问题!你喜欢吃苹果还是香蕉?春天来了,花开了,鸟儿在树上唱歌。"
)
ENGLISH = (
    "The cat sat on the mat, and the dog ran over the hill. We train a language model in the morning; it writes a poem "
    "by noon! Do you like apples or bananas? <s> [x] = {y} / 0123456789 #&%@_-+*~^|\\\"'`: QWERTYUIOPASDFGHJKLZXCV"
    "BNM>$()"
)


def train(folder, **options):
    """Write a ``vocab.model`` of a few hundred pieces into ``folder`` and return its path."""
    generator = random.Random(0)
    words = [*ENGLISH.split(), *(CHINESE[i : i + 2] for i in range(0, len(CHINESE), 2)), *CHINESE, "▂", "▃"]
    texts = [*ENGLISH, *CHINESE]  # each character once by itself, so that the vocabulary has it
    texts += [" ".join(generator.choices(words, k=12)) for _ in range(400)]
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=written, minloglevel=2,
        **{"vocab_size": 700, "hard_vocab_limit": False, "character_coverage": 1.0, "model_type": "unigram",
           "user_defined_symbols": ["<eod>", "<pad>"], **options},
    )  # fmt: skip
    path = folder / "vocab.model"
    path.write_bytes(written.getvalue())
    return path
