"""Training steps against torch, and schedules against transformers."""

import numpy as np
import pytest

pytestmark = pytest.mark.parity


def test_twenty_steps_of_training(tmp_path):
    """The same weights and batches: losses and weights after 20 steps of AdamW with warm-up, cosine and clipping."""
    import torch
    import transformers

    from mf_core import AutoModel, Trainer, TrainingArguments

    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=2, n_embd=64, n_head=4, vocab_size=300, n_positions=64)
    theirs = transformers.GPT2LMHeadModel(config).eval()  # evaluation mode: no dropout
    theirs.save_pretrained(tmp_path / "hf")
    off = dict.fromkeys(("embedding_dropout_prob", "hidden_dropout_rate", "attention_dropout_rate"), 0.0)
    ours = AutoModel.from_pretrained(tmp_path / "hf", **off)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 300, 33).astype(np.int32) for _ in range(48)]
    args = TrainingArguments(
        output_dir=str(tmp_path / "out"), batch_size=4, learning_rate=1e-3, weight_decay=0.1, warmup_steps=5,
        lr_scheduler_type="cosine", max_steps=20, logging_steps=1, max_grad_norm=0.5,
    )  # fmt: skip
    trainer = Trainer(task="text_generation", model=ours, args=args, train_dataset=rows)
    losses = list(trainer.train().losses.values())

    groups = [
        {"params": [p for p in theirs.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in theirs.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    scheduler = transformers.get_cosine_schedule_with_warmup(optimizer, 5, 20)
    total, epoch = trainer._plan()
    for loss, (batch,) in zip(losses, trainer._steps(epoch, total), strict=True):
        ids = torch.tensor(batch).long()
        logits = theirs(ids[:, :-1]).logits
        expected = torch.nn.functional.cross_entropy(logits.reshape(-1, 300), ids[:, 1:].reshape(-1))
        optimizer.zero_grad()
        expected.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        assert abs(expected.item() - loss) < 1e-5
    weights = {name: p.asnumpy() for name, p in ours.parameters_and_names()}
    for name, tensor in theirs.state_dict().items():
        if name in weights:
            assert np.abs(tensor.numpy() - weights[name]).max() < 1e-5, name


@pytest.mark.parametrize(
    "kind", ["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"]
)
def test_schedules(kind):
    import torch
    import transformers

    from mf_core import TrainingArguments
    from mf_core.trainer.schedule import schedule

    peak, warmup, total = 3e-4, 7, 100
    extra = {"polynomial": {"lr_end": 1e-5}, "cosine_with_restarts": {"num_cycles": 3}}.get(kind, {})
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    theirs = transformers.get_scheduler(kind, optimizer, warmup, total, scheduler_specific_kwargs=extra)
    args = TrainingArguments(
        learning_rate=peak, warmup_steps=warmup, lr_scheduler_type=kind, lr_end=extra.get("lr_end", 0.0),
        lr_num_cycles=extra.get("num_cycles", 1),
    )  # fmt: skip
    rate = schedule(args, total)
    for step in range(total):
        assert abs(theirs.get_last_lr()[0] - rate(step)) < 1e-8, step
        optimizer.step()
        theirs.step()
