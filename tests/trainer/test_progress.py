"""What a run shows, and how wide it is."""

from mf_core.trainer.reporting.progress import describe_logs

LOGS = {
    "loss": 2.5, "learning_rate": 1e-3, "grad_norm": 1.25, "tokens_per_second": 12345.6, "flops_utilization": 0.42,
    "memory_bytes": 1.5e9,
}  # fmt: skip


def test_numbers_that_do_not_fit_are_left_out_from_the_end():
    assert describe_logs(LOGS) == "loss 2.5000  lr 1.00e-03  grad norm 1.25  12346 tokens/s  MFU 42%  1.50 GB"
    assert describe_logs(LOGS, 40) == "loss 2.5000  lr 1.00e-03  grad norm 1.25"
    assert describe_logs(LOGS, 0) == "loss 2.5000"
