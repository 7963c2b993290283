"""GPT-NeoX's hyper-parameters, as files have them."""

import pytest
from mf_gpt_neox.config import GPTNeoXConfig

from mf_core.errors import ConfigError


def test_rotary_settings_of_old_and_new_files_are_the_same():
    old = GPTNeoXConfig.from_dict({"rotary_pct": 0.5, "rotary_emb_base": 500})
    new = GPTNeoXConfig.from_dict(
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}}
    )
    assert old == new and old.rotary_width == old.head_width // 2
    written = new.to_file_dict()
    assert (written["rotary_pct"], written["rotary_emb_base"]) == (0.5, 500.0)


def test_a_field_that_the_family_has_not_is_no_field():
    config = GPTNeoXConfig.from_dict({"num_key_value_heads": 2, "rms_norm_eps": 0.5})
    assert config.attention_spec(0).key_value_heads == config.num_heads
    assert {"num_key_value_heads": 2, "rms_norm_eps": 0.5}.items() <= config.to_file_dict().items()
    assert GPTNeoXConfig().to_file_dict().keys().isdisjoint(GPTNeoXConfig.unused)
    with pytest.raises(ConfigError, match="GPTNeoXConfig has no field 'num_key_value_heads'"):
        GPTNeoXConfig(num_key_value_heads=2)
