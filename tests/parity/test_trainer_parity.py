"""Training against torch and ``transformers``: 20 steps with each optimizer, and the schedules."""

import numpy as np
import pytest

pytestmark = pytest.mark.parity

ROWS = [np.random.default_rng(7).integers(0, 300, 33).astype(np.int32) for _ in range(48)]
#: Adafactor brings rows whose gradients are tiny, and so mostly rounding, to the size of all others.
CLOSE = {"adafactor": 5e-4}
DECAY, RATES = 0.1, {"adamw": 1e-3, "adam": 1e-3, "sgd": 0.1, "adagrad": 1e-2, "adafactor": 1e-3}


def theirs_of(name, model, rate):
    import torch
    import transformers

    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    if name == "adafactor":  # as transformers' Trainer makes it
        return transformers.Adafactor(groups, lr=rate, scale_parameter=False, relative_step=False)
    classes = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD", "adagrad": "Adagrad"}
    return getattr(torch.optim, classes[name])(groups, lr=rate)


def round_products(model):
    """Have each product of a model of transformers', and those of its gradients, read what is rounded to bfloat16."""
    import torch

    def near(x):
        return x.bfloat16().float()

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight):
            ctx.save_for_backward(x, weight)
            return near(x) @ near(weight)

        @staticmethod
        def backward(ctx, dout):
            x, weight = ctx.saved_tensors
            return near(dout) @ near(weight).T, near(x.flatten(0, -2)).T @ near(dout.flatten(0, -2))

    def forward(layer, x):
        weight = layer.weight.T if isinstance(layer, torch.nn.Linear) else layer.weight
        y = Product.apply(x, weight)
        return y if layer.bias is None else y + layer.bias

    for layer in model.modules():
        if type(layer).__name__ in ("Linear", "Conv1D"):
            layer.forward = forward.__get__(layer)


@pytest.mark.parametrize("name", sorted(RATES))
@pytest.mark.parametrize("accumulation", [1, 2])
def test_twenty_steps(tmp_path, name, accumulation):
    check_twenty_steps(tmp_path, name, accumulation, CLOSE.get(name, 1e-5))


def test_twenty_steps_in_bfloat16(tmp_path):
    # A sum in another order may be rounded to the next number, and the update of a small gradient turns with it.
    check_twenty_steps(tmp_path, "adamw", 1, 1e-3, dtype="bfloat16")


def check_twenty_steps(tmp_path, name, accumulation, close, **settings):
    import torch
    import transformers

    from mf_core import AutoModel, Trainer, TrainingArguments
    from mf_core.trainer.loader import Loader

    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=2, n_embd=64, n_head=4, vocab_size=300, n_positions=64)
    theirs = transformers.GPT2LMHeadModel(config).eval()  # evaluation mode: no dropout
    theirs.save_pretrained(tmp_path / "hf")
    off = dict.fromkeys(("embedding_dropout_prob", "hidden_dropout_rate", "attention_dropout_rate"), 0.0)
    ours = AutoModel.from_pretrained(tmp_path / "hf", **off)
    rate = RATES[name]
    args = TrainingArguments(
        output_dir=str(tmp_path / "out"), batch_size=4, gradient_accumulation_steps=accumulation, learning_rate=rate,
        weight_decay=DECAY, optim=name, warmup_steps=5, lr_scheduler_type="cosine", max_steps=20, logging_steps=1,
        max_grad_norm=0.5, save_strategy="no", **settings,
    )  # fmt: skip
    trainer = Trainer(args, task="text_generation", model=ours, train_dataset=ROWS)
    losses = list(trainer.train().losses.values())

    if settings:
        round_products(theirs)
    optimizer = theirs_of(name, theirs, rate)
    scheduler = transformers.get_cosine_schedule_with_warmup(optimizer, 5, 20)
    groups = Loader(trainer.recipe, ROWS, args).groups()
    for number, loss in enumerate(losses):
        ids = torch.tensor(np.concatenate([batch[0] for batch in next(groups).batches])).long()
        assert len(ids) == 4 * accumulation
        logits = theirs(ids[:, :-1]).logits
        expected = torch.nn.functional.cross_entropy(logits.reshape(-1, 300), ids[:, 1:].reshape(-1))
        optimizer.zero_grad()
        expected.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        assert abs(expected.item() - loss) < close, (number, expected.item(), loss)
    weights = {parameter: p.asnumpy() for parameter, p in ours.parameters_and_names()}
    checked = 0
    for parameter, tensor in theirs.state_dict().items():
        if parameter in weights:
            difference = np.abs(tensor.numpy() - weights[parameter])
            if name in ("adagrad", "adafactor") and parameter.endswith("attn.c_attn.bias"):
                # A key's bias moves no softmax: its gradient is rounding alone, which these scale up to whole steps.
                difference[64:128] = 0
            assert difference.max() < close, parameter
            checked += 1
    assert checked == len(weights)


@pytest.mark.parametrize(
    "kind", ["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"]
)
def test_schedules(kind):
    import torch
    import transformers

    from mf_core import TrainingArguments
    from mf_core.optim.schedules import schedule

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
