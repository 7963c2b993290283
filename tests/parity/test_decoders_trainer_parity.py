"""Training of decoders against torch: 20 steps of AdamW on the same batches, from the same weights."""

import numpy as np
import pytest

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 32, "bos_token_id": 1, "eos_token_id": None,
    "pad_token_id": None,
}  # fmt: skip
EXPERTS = {"head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
CASES = {
    "llama": ("Llama", {}), "qwen3": ("Qwen3", {"head_dim": 12}),
    "a mixture of experts": ("Qwen3Moe", {**EXPERTS, "norm_topk_prob": True}),
    "gemma3": ("Gemma3", {"head_dim": 8, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}),
    "gpt_neox": ("GPTNeoX", {}),
}  # fmt: skip
ROWS = [np.random.default_rng(7).integers(2, 60, 13).astype(np.int32) for _ in range(12)]
DECAY, RATE = 0.1, 1e-3


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps_of_adamw(case, tmp_path):
    from mf_core import AutoModelForCausalLM, Trainer, TrainingArguments
    from mf_core.trainer.loader import Loader

    name, changes = CASES[case]
    torch.manual_seed(0)
    kind = f"{name}TextConfig" if name == "Gemma3" else f"{name}Config"
    config = getattr(transformers, kind)(**{**SIZES, **changes})
    theirs = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    theirs.save_pretrained(tmp_path / "hf")
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    args = TrainingArguments(
        output_dir=str(tmp_path / "out"), batch_size=2, learning_rate=RATE, weight_decay=DECAY, max_steps=20,
        lr_scheduler_type="constant", logging_steps=1, max_grad_norm=0.5, save_strategy="no",
    )  # fmt: skip
    trainer = Trainer(args, task="text_generation", model=ours, train_dataset=ROWS)
    losses = list(trainer.train().losses.values())

    matrices = [parameter for parameter in theirs.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in theirs.parameters() if parameter.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}], lr=RATE
    )
    groups = Loader(trainer.recipe, ROWS, args).groups()
    assert len(losses) == 20
    for number, loss in enumerate(losses):
        ids = torch.tensor(np.concatenate([batch[0] for batch in next(groups).batches])).long()
        logits = theirs(ids[:, :-1]).logits
        expected = torch.nn.functional.cross_entropy(logits.reshape(-1, 60), ids[:, 1:].reshape(-1))
        optimizer.zero_grad()
        expected.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimizer.step()
        assert abs(expected.item() - loss) < 1e-5, (number, expected.item(), loss)
