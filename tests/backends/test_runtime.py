"""Threads and processes: calls queue, results are those of serial calls, and a forked child gets an error at once."""

import subprocess
import sys
import textwrap

import pytest

#: Two models, calls of unequal shapes, and a function that compares what threads got with what one thread gets.
PRELUDE = """
import asyncio, multiprocessing, sys, threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from mindspore import Tensor
from mf_core import GPT2Config, GPT2LMHeadModel, pipeline, set_seed
from mf_core.errors import BackendError

def small_model(seed):
    set_seed(seed)
    config = GPT2Config(vocab_size=120, hidden_size=16, num_layers=1, num_heads=2, seq_length=64, eos_token_id=None)
    return GPT2LMHeadModel(config)

models = [small_model(1), small_model(2)]

def call(number):
    model = models[number % 2]
    prompts = [np.random.default_rng((number, row)).integers(0, 110, (3, 20, 9)[number % 3]).tolist()
               for row in range(1 + number % 4 // 3)]
    if number % 5 == 4:
        return model(Tensor(np.array(prompts, np.int32))).asnumpy().argmax(-1).tolist()
    return model.generate(prompts, max_new_tokens=1 + number % 4, seed=number)

def in_threads(count, calls):
    results, start = {}, threading.Barrier(count)
    def work(thread):
        start.wait()
        for number in range(thread, thread + calls):
            results[thread, number] = call(number)
    threads = [threading.Thread(target=work, args=[thread]) for thread in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert len(results) == count * calls, "a thread has failed"
    assert all(call(number) == result for (_, number), result in results.items())
"""


def run_script(path, code, timeout=300):
    script = path / "script.py"
    script.write_text(PRELUDE + textwrap.dedent(code), encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=timeout, cwd=path)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout


def test_first_calls_from_threads_and_a_fork_after_use(tmp_path):
    out = run_script(
        tmp_path,
        """
        in_threads(8, 6)

        with ThreadPoolExecutor(4) as executor:
            assert list(executor.map(call, range(8))) == [call(number) for number in range(8)]

        async def together():
            return await asyncio.gather(*(asyncio.to_thread(call, number) for number in range(4)))

        assert asyncio.run(together()) == [call(number) for number in range(4)]

        def child(queue, use):
            try:
                queue.put(f"came back with {use()}")
            except BackendError as error:
                queue.put(str(error))

        context = multiprocessing.get_context("fork")
        uses = {"generate": lambda: call(0), "forward": lambda: call(4), "make": lambda: small_model(1)}
        for name, use in uses.items():
            queue = context.Queue()
            process = context.Process(target=child, args=[queue, use])
            process.start()
            print(name, queue.get(timeout=20))
            process.join(20)
            assert process.exitcode == 0
        assert call(0)
        """,
    )
    assert out.count("spawn") == 3
    assert out.count("[MF401]") == 3


@pytest.mark.slow
def test_eight_threads_with_fifty_calls_each(tmp_path):
    run_script(tmp_path, "in_threads(8, 50)")


@pytest.mark.slow
def test_threads_whose_calls_compile_graphs(tmp_path, monkeypatch):
    """As they do without the backend's kernels."""
    monkeypatch.setenv("MF_KERNELS", "0")
    run_script(tmp_path, "in_threads(4, 4)")


@pytest.mark.slow
def test_spawned_processes_work(tmp_path):
    run_script(
        tmp_path,
        """
        if __name__ == "__main__":
            expected = call(0)
            with multiprocessing.get_context("spawn").Pool(2) as pool:
                assert pool.map(call, [0, 0]) == [expected] * 2
        """,
    )
