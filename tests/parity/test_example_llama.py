"""The example ``mf-llama`` against ``transformers``: its checkpoints, logits, texts, and what it writes."""

from pathlib import Path

import numpy as np
import pytest

from mf_core.testing import PluginEnvironment, Wheelhouse

pytestmark = pytest.mark.parity

PROJECT = Path(__file__).parents[2] / "examples" / "mf-llama"
KINDS = {
    "grouped": {},
    "tied": {"tie_word_embeddings": True},
    "biased": {"attention_bias": True, "mlp_bias": True},
    "wide": {"head_dim": 12, "num_key_value_heads": 4, "rope_theta": 500.0},
}
#: Reads each checkpoint, in an environment that has the plugin and neither torch nor transformers.
READ = """
    import sys
    import mindspore as ms
    import numpy as np
    from mf_core import AutoModel
    assert "torch" not in sys.modules
    for kind in {kinds!r}:
        model = AutoModel.from_pretrained(f"{folder}/{{kind}}")
        given = np.load(f"{folder}/{{kind}}.npz")
        logits = model(ms.Tensor(given["ids"], ms.int32), ms.Tensor(given["mask"], ms.int32)).asnumpy()
        prompts = [row[kept == 1].tolist() for row, kept in zip(given["ids"], given["mask"])]
        texts = model.generate(prompts, max_new_tokens=12, do_sample=False, eos_token_id=None)
        np.savez(f"{folder}/{{kind}}-ours.npz", logits=logits, **{{f"text{{i}}": t for i, t in enumerate(texts)}})
        model.save_pretrained(f"{folder}/{{kind}}-saved")
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Checkpoints that transformers wrote, with ids and a mask for each."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("llama")
    for seed, (kind, fields) in enumerate(KINDS.items()):
        torch.manual_seed(seed)
        sizes = {
            "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64,
            "initializer_range": 0.2, **fields,
        }  # fmt: skip
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith(("bias", "norm.weight")):
                    parameter.normal_(1.0 if "norm" in name else 0.0, 0.2)
        model.save_pretrained(folder / kind)
        ids = np.random.default_rng(seed).integers(0, 100, (2, 11))
        mask = np.ones_like(ids)
        mask[0, :4] = 0
        np.savez(folder / f"{kind}.npz", ids=ids, mask=mask)
    return folder


@pytest.fixture(scope="module")
def ours(theirs, tmp_path_factory):
    """The same folder, after the plugin has read the checkpoints, and written them again."""
    folder = tmp_path_factory.mktemp("plugin")
    environment = PluginEnvironment(folder / "environment", Wheelhouse(folder / "wheels"))
    environment.borrow("mf-cpu-backend")
    environment.install(PROJECT)
    done = environment.run(READ.format(folder=theirs, kinds=list(KINDS)))
    assert done.code == 0, done.stderr
    return theirs


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_greedy_texts_are_theirs(kind, ours):
    import torch
    import transformers

    model = transformers.LlamaForCausalLM.from_pretrained(ours / kind)
    given, found = np.load(ours / f"{kind}.npz"), np.load(ours / f"{kind}-ours.npz")
    ids, mask = torch.tensor(given["ids"]), torch.tensor(given["mask"])
    with torch.no_grad():
        logits = model(ids, attention_mask=mask).logits.numpy()
    seen = given["mask"] == 1
    assert np.abs(logits).max() > 1
    np.testing.assert_allclose(found["logits"][seen], logits[seen], atol=2e-5 * np.abs(logits).max())
    for row in range(2):
        prompt = ids[row][mask[row] == 1][None]
        text = model.generate(prompt, max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)
        assert found[f"text{row}"].tolist() == text[0].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_writes_transformers_reads(kind, ours):
    import transformers

    first, again = (transformers.LlamaForCausalLM.from_pretrained(ours / name) for name in (kind, f"{kind}-saved"))
    weights, back = first.state_dict(), again.state_dict()
    assert weights.keys() == back.keys()
    for name, tensor in weights.items():
        assert (tensor == back[name]).all(), name
    for field in ("num_key_value_heads", "head_dim", "rope_parameters", "attention_bias", "tie_word_embeddings"):
        assert getattr(first.config, field) == getattr(again.config, field), field
