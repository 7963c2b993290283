"""Taking part in a run: callbacks of our own, of ``transformers``' form, and MindSpore's, which are MindFormers'."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..boundary import user_code
from ..errors import ArgumentTypeError

if TYPE_CHECKING:
    from .arguments import TrainingArguments
    from .state import TrainerControl, TrainerState

#: Event -> what MindSpore's callbacks call it.
_MINDSPORE_EVENTS = {
    "on_train_begin": "on_train_begin",
    "on_epoch_begin": "on_train_epoch_begin",
    "on_step_begin": "on_train_step_begin",
    "on_step_end": "on_train_step_end",
    "on_epoch_end": "on_train_epoch_end",
    "on_train_end": "on_train_end",
    "on_evaluate_begin": "on_eval_begin",
    "on_evaluate": "on_eval_end",
}


class Callback:
    """Base of callbacks; a subclass overrides the events that it wants. The events are those of ``transformers``.

    Each event gets the run's settings, its state, and a control whose flags may be set (``should_training_stop``,
    ``should_save``, …). Keywords that come beside: ``model``, ``tokenizer``, ``trainer``; ``logs`` to ``on_log``;
    ``metrics`` to ``on_evaluate``; ``loss``, a tensor on the device, to ``on_step_end``; ``checkpoint``, its path, to
    ``on_save``. Only what does not change the state or the model is safe.
    """

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Before the first step."""

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Before a pass over the data."""

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Before a step."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After a step; logging, evaluation and saving follow, where they are due or asked for."""

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """After a pass over the data."""

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After ``logs`` have been brought to the host."""

    def on_evaluate_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Before an evaluation."""

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After an evaluation."""

    def on_predict(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After a prediction."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After a checkpoint has been taken; it is being written."""

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """After the last step."""


class CallbackList:
    """Calls every callback's event, in order.

    Args:
        callbacks: Objects with any of the events of :class:`Callback`, or callbacks of MindSpore.
        **context: Keywords that every event gets.

    Raises:
        ArgumentTypeError: One of them has no event.
    """

    def __init__(self, callbacks: Iterable[Any], **context: Any) -> None:
        self._callbacks = [_adapted(callback) for callback in callbacks]
        self._context = context

    def call(
        self, event: str, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Call one event, such as ``"on_step_end"``, of all of them."""
        for callback in self._callbacks:
            method = getattr(callback, event, None)
            if method is not None:
                with user_code():
                    method(args, state, control, **self._context, **more)


def as_list(callbacks: Any) -> list[Any]:
    """Return the callbacks that a user gave: one, several, or None."""
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]


def _adapted(callback: Any) -> Any:
    from mindspore.train.callback import Callback as MindSporeCallback

    if isinstance(callback, MindSporeCallback):
        return _MindSporeAdapter(callback)
    if not any(hasattr(callback, event) for event in vars(Callback) if event.startswith("on_")):
        raise ArgumentTypeError(
            f"{callback!r} is not a callback: it has none of the events", value=callback,
            hint="subclass mf_core.Callback, and give an instance of it",
        )  # fmt: skip
    return callback


class _MindSporeAdapter:
    """Gives a MindSpore callback what it expects: a run context with MindSpore's names of the run's numbers."""

    def __init__(self, callback: Any) -> None:
        self._callback = callback

    def __getattr__(self, event: str) -> Any:
        name = _MINDSPORE_EVENTS.get(event)
        if name is None:
            raise AttributeError(event)

        def call(args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
            context = self._context(args, state, event, kwargs)
            getattr(self._callback, name)(context)
            if context.get_stop_requested():
                control.should_training_stop = True

        return call

    @staticmethod
    def _context(args: TrainingArguments, state: TrainerState, event: str, kwargs: dict[str, Any]) -> Any:
        from mindspore.train.callback import RunContext
        from mindspore.train.callback._callback import InternalCallbackParam

        params = InternalCallbackParam()
        per_epoch = round(state.max_steps / state.num_train_epochs) if 0 < state.num_train_epochs < 1e9 else 0
        begun = 1 if event in ("on_step_begin", "on_epoch_begin") else 0
        params.update({
            "mode": "eval" if "evaluate" in event else "train",
            "cur_step_num": state.global_step + begun,
            "cur_epoch_num": state.epoch_number + 1,
            "epoch_num": max(1, round(min(state.num_train_epochs, 1e9))),
            "batch_num": per_epoch or state.max_steps,
            "train_network": kwargs.get("model"), "network": kwargs.get("model"), "eval_network": kwargs.get("model"),
            "net_outputs": kwargs.get("loss"), "metrics": kwargs.get("metrics") or {},
            "dataset_sink_mode": False, "parallel_mode": "stand_alone", "device_number": 1,
            "optimizer": None, "loss_fn": None, "args": args, "list_callback": None,
        })  # fmt: skip
        return RunContext(params)
