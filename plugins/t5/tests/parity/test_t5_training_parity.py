"""Training T5 against torch."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mf_core import Trainer, TrainingArguments  # noqa: E402

from ..test_t5_tasks import CONFIG, PAIRS, write_tokenizer  # noqa: E402

pytestmark = pytest.mark.parity


def test_ten_steps(tmp_path):
    torch.manual_seed(2)
    sizes = {key: value for key, value in CONFIG.items() if key != "model_type"}
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes, decoder_start_token_id=0)).train()
    model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    data = [{"source": source, "target": target} for source, target in [*PAIRS[:3], ("cat", "小狗")]]
    args = TrainingArguments(
        output_dir=str(tmp_path / "run"), max_steps=10, batch_size=4, learning_rate=1e-3, logging_steps=1, seed=1,
        save_strategy="no", weight_decay=0.0, lr_scheduler_type="constant", max_grad_norm=1e9, adam_epsilon=1e-8,
    )  # fmt: skip
    trainer = Trainer(args, "translation", model=str(tmp_path), train_dataset=data)
    ids, mask, decoder_ids, labels = map(torch.tensor, trainer.recipe.collate(trainer.recipe.examples(data)))
    assert (labels == -100).any() and (mask == 0).any()
    counted = labels != -100
    assert torch.equal(model._shift_right(labels)[counted], decoder_ids[counted])
    trainer.train()
    found = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, weight_decay=0.0, eps=1e-8, betas=(args.adam_beta1, args.adam_beta2)
    )
    want = []
    for _ in range(10):
        output = model(input_ids=ids, attention_mask=mask, labels=labels.long())
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        want.append(float(output.loss))
    assert found == pytest.approx(want, rel=1e-5)
