"""A small model with a chat template, for ``mf chat``."""

import pytest

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{{ mood }}{% endif %}"
)


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory):
    from mf_core import AutoModel, AutoTokenizer

    folder = tmp_path_factory.mktemp("chat") / "talker"
    AutoModel.from_pretrained("gpt2_tiny").save_pretrained(folder)
    AutoTokenizer.from_pretrained("gpt2_tiny", chat_template=TEMPLATE).save_pretrained(folder)
    return str(folder)
