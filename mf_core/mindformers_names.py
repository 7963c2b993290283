"""Names of MindFormers that differ here, with their replacements."""

from __future__ import annotations

_TRAINER = "Trainer builds it from TrainingArguments: "
_PARALLEL = "Trainer.set_parallel_config(data_parallel=…, model_parallel=…)"

#: What ``from mindformers import NAME`` gives -> what to write here.
INSTEAD = {
    "MindFormerConfig": "AutoConfig.from_pretrained(file) for a model, TrainingArguments.from_file(file) for a run; "
    "`mf train --config FILE` reads MindFormers' run files",
    "MindFormerBook": "AutoModel.get_support_list(), or `mf models`",
    "MindFormerRegister": "a plugin (`mf plugins new`), or AutoModel.register(config_class, model_class)",
    "MindFormerModuleType": "a plugin (`mf plugins new`), or AutoModel.register(config_class, model_class)",
    "TextStreamer": "for piece in pipeline('text_generation', model)(text, stream=True): print(piece, end='')",
    "TextIteratorStreamer": "pipeline('text_generation', model)(text, stream=True), which is an iterator of text",
    "GenerationConfig": "from mf_core.generation import GenerationConfig",
    "BaseConfig": "PretrainedConfig",
    "BaseModel": "PretrainedModel",
    "PreTrainedModel": "PretrainedModel",
    "BaseTokenizer": "PretrainedTokenizer",
    "PreTrainedTokenizer": "PretrainedTokenizer",
    "PreTrainedTokenizerFast": "PretrainedTokenizer",
    "BaseProcessor": "PretrainedProcessor",
    "BasePipeline": "Pipeline",
    "BaseTrainer": "Trainer",
    "CausalLanguageModelingTrainer": "Trainer(task='text_generation')",
    "ConfigArguments": "TrainingArguments",
    "build_context": "init_context(context_config=ContextConfig(…))",
    "build_parallel_config": _PARALLEL,
    "TransformerOpParallelConfig": _PARALLEL,
    "TransformerRecomputeConfig": "Trainer.set_recompute_config(recompute=True)",
    "get_pet_model": "add_lora(model, LoraConfig(…)), or Trainer(pet_method='lora')",
    "LoraAdapter": "add_lora(model, LoraConfig(…)), or Trainer(pet_method='lora')",
    "CausalLanguageModelDataset": "Trainer(train_dataset=path), for MindRecord, TFRecord, jsonl and text files",
    "MFLossMonitor": _TRAINER + "logging_steps",
    "CheckpointMointor": _TRAINER + "save_steps",
    "CheckpointMonitor": _TRAINER + "save_steps",
    "SummaryMonitor": _TRAINER + "report_to='tensorboard'",
    "MFTrainOneStepCell": _TRAINER + "max_grad_norm, initial_loss_scale",
    "FP32StateAdamWeightDecay": _TRAINER + "optim='adamw'",
    "FusedAdamWeightDecay": _TRAINER + "optim='adamw'",
    "CosineWithWarmUpLR": _TRAINER + "lr_scheduler_type='cosine', warmup_steps",
    "LinearWithWarmUpLR": _TRAINER + "lr_scheduler_type='linear', warmup_steps",
    "ConstantWarmUpLR": _TRAINER + "lr_scheduler_type='constant_with_warmup'",
    "PolynomialWithWarmUpLR": _TRAINER + "lr_scheduler_type='polynomial', lr_end",
    "CosineWithRestartsAndWarmUpLR": _TRAINER + "lr_scheduler_type='cosine_with_restarts'",
}
