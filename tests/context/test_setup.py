"""Setting up a process: what can be asked for, what MindSpore gets, and clusters of real processes."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mf_core.context import ContextConfig, ParallelContextConfig, current
from mf_core.errors import ArgumentError, ArgumentTypeError

BIN = Path(sys.executable).parent
#: What a launcher or a user's shell may have set.
CLUSTER_VARIABLES = ("MS_ROLE", "MS_WORKER_NUM", "MS_SCHED_HOST", "MS_SCHED_PORT", "MS_NODE_ID", "RANK_ID", "RANK_SIZE")

#: The document's three blocks: only the import and the device are others.
SINGLE = '''
from mf_core import init_context, ContextConfig


def context_init():
    """init context for mindspore."""
    context_config = ContextConfig(mode=0, device_target="CPU", device_id=0)
    rank_id, device_num = init_context(use_parallel=False, context_config=context_config)
'''
DATA_PARALLEL = '''
from mf_core import init_context, ContextConfig, ParallelContextConfig


def context_init():
    """init context for mindspore."""
    context_config = ContextConfig(mode=0, device_target="CPU", device_id=0)
    parallel_config = ParallelContextConfig(parallel_mode='DATA_PARALLEL', gradients_mean=True,
                                            enable_parallel_optimizer=False)
    rank_id, device_num = init_context(use_parallel=True, context_config=context_config,
                                       parallel_config=parallel_config)
'''
SEMI_AUTO_PARALLEL = '''
from mf_core import init_context, ContextConfig, ParallelContextConfig


def context_init():
    """init context for mindspore."""
    context_config = ContextConfig(mode=0, device_target="CPU", device_id=0)
    parallel_config = ParallelContextConfig(parallel_mode='SEMI_AUTO_PARALLEL', gradients_mean=False,
                                            enable_parallel_optimizer=False, full_batch=True)
    rank_id, device_num = init_context(use_parallel=True, context_config=context_config,
                                       parallel_config=parallel_config)
'''
#: So that a script of these tests can say which error it met.
PRELUDE = """
import json, sys, warnings
from mf_core.context import ContextConfig, ParallelContextConfig, current, init_context
from mf_core.errors import MFError

def error_of(*arguments, **keywords):
    try:
        return init_context(*arguments, **keywords)
    except MFError as error:
        return f"{type(error).__name__}: {error}"
"""


def environment(**variables):
    kept = {name: value for name, value in os.environ.items() if name not in (*CLUSTER_VARIABLES, "DEVICE_ID")}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{kept['PATH']}", **variables}


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a script in an empty directory, where it must leave nothing but ``expected``."""

    def start(code, *flags, expected=(), returncode=0, **variables):
        script, folder = tmp_path / "script.py", tmp_path / "work"
        script.write_text(textwrap.dedent(code), encoding="utf-8")
        folder.mkdir(exist_ok=True)
        result = subprocess.run(
            [sys.executable, *flags, str(script)], cwd=folder, env=environment(**variables), capture_output=True,
            text=True, timeout=300,
        )  # fmt: skip
        assert result.returncode == returncode, result.stderr
        assert {path.name for path in folder.iterdir()} == set(expected)
        return result

    return start


def answer(result):
    return json.loads(result.stdout.splitlines()[-1])


# What can be asked for ----------------------------------------------------------------------------------------------

CONTEXT_FIELDS = {
    "mode": 1, "device_target": "CPU", "device_id": 0, "save_graphs": 2, "save_graphs_path": "graphs",
    "precompile_only": True, "enable_dump": True, "save_dump_path": "dump", "enable_profiling": True,
    "profiling_options": "{}", "enable_graph_kernel": True, "graph_kernel_flags": "--opt_level=1",
    "enable_reduce_precision": True, "max_device_memory": "3.5GB", "variable_memory_max_size": "5GB",
    "print_file_path": "print.pb", "max_call_depth": 50, "env_config_path": "settings.json", "save_compile_cache": True,
    "load_compile_cache": True, "runtime_num_threads": 2, "pynative_synchronize": True, "mempool_block_size": "2GB",
    "check_bprop": True, "enable_sparse": True, "reserve_class_name_in_scope": False, "grad_for_scalar": True,
    "auto_tune_mode": "NO_TUNE", "enable_auto_mixed_precision": True,
}  # fmt: skip
GONE = {
    "precompile_only", "enable_dump", "save_dump_path", "enable_profiling", "profiling_options", "save_compile_cache",
    "load_compile_cache", "enable_sparse", "grad_for_scalar", "auto_tune_mode", "enable_auto_mixed_precision",
}  # fmt: skip
NOT_ON_CPU = {
    "enable_graph_kernel", "graph_kernel_flags", "enable_reduce_precision", "max_device_memory", "mempool_block_size",
    "variable_memory_max_size", "print_file_path",
}  # fmt: skip
PARALLEL_FIELDS = {
    "parallel_mode": "DATA_PARALLEL", "device_num": 2, "gradients_mean": True, "global_rank": 1,
    "gradient_fp32_sync": False, "auto_parallel_search_mode": "sharding_propagation",
    "search_mode": "sharding_propagation", "parameter_broadcast": True, "strategy_ckpt_load_file": "a.ckpt",
    "strategy_ckpt_save_file": "b.ckpt", "full_batch": True, "enable_parallel_optimizer": True,
    "enable_alltoall": True, "all_reduce_fusion_config": [1, 5], "pipeline_stages": 2, "grad_accumulation_step": 2,
    "parallel_optimizer_config": {"parallel_optimizer_threshold": 24},
    "comm_fusion": {"allreduce": {"mode": "auto", "config": None}},
}  # fmt: skip


@pytest.mark.parametrize("cls, fields", [(ContextConfig, CONTEXT_FIELDS), (ParallelContextConfig, PARALLEL_FIELDS)])
def test_every_field_is_taken_and_read_back(cls, fields):
    config = cls(**fields)
    for name, value in fields.items():
        assert getattr(config, name) == value
    assert set(cls.model_fields) <= set(fields)


def test_defaults_come_from_the_environment_when_the_object_is_made(monkeypatch):
    for name in ("DEVICE_ID", "RANK_SIZE"):
        monkeypatch.delenv(name, raising=False)
    config, parallel = ContextConfig(), ParallelContextConfig()
    assert (config.mode, config.device_id, config.save_graphs, config.save_graphs_path) == (0, 0, False, ".")
    assert (parallel.parallel_mode, parallel.device_num, parallel.gradients_mean) == ("STAND_ALONE", 1, False)
    monkeypatch.setenv("DEVICE_ID", "3")
    monkeypatch.setenv("RANK_SIZE", "8")
    assert (ContextConfig().device_id, ParallelContextConfig().device_num) == (3, 8)
    monkeypatch.setenv("RANK_SIZE", "many")
    with pytest.raises(ArgumentError, match=r"\$RANK_SIZE='many'"):
        ParallelContextConfig()


@pytest.mark.parametrize(
    "mode, number", [(0, 0), (1, 1), ("GRAPH_MODE", 0), ("PYNATIVE_MODE", 1), ("pynative_mode", 1)]
)
def test_modes_by_number_and_name(mode, number):
    assert ContextConfig(mode=mode).mode == number


@pytest.mark.parametrize(
    "mode", ["STAND_ALONE", "DATA_PARALLEL", "SEMI_AUTO_PARALLEL", "AUTO_PARALLEL", "HYBRID_PARALLEL"]
)
def test_parallel_modes_in_any_case(mode):
    assert ParallelContextConfig(parallel_mode=mode).parallel_mode == mode
    assert ParallelContextConfig(parallel_mode=mode.lower()).parallel_mode == mode


@pytest.mark.parametrize(
    "cls, fields, words",
    [
        (ContextConfig, {"mod": 0}, ["no field 'mod'", "did you mean 'mode'"]),
        (ContextConfig, {"device_traget": "CPU"}, ["did you mean 'device_target'"]),
        (ContextConfig, {"mode": 2}, ["mode=2", "GRAPH_MODE (0)"]),
        (ContextConfig, {"mode": True}, ["mode=True", "PYNATIVE_MODE (1)"]),
        (ContextConfig, {"mode": "EAGER"}, ["mode='EAGER'"]),
        (ContextConfig, {"device_id": -1}, ["device_id=-1"]),
        (ContextConfig, {"device_id": "0"}, ["device_id='0'"]),
        (ContextConfig, {"device_target": ""}, ["device_target"]),
        (ContextConfig, {"save_graphs": 4}, ["save_graphs", "=4"]),
        (ContextConfig, {"check_bprop": "yes"}, ["check_bprop='yes'"]),
        (ContextConfig, {"max_device_memory": "0GB"}, ["max_device_memory='0GB'", "3.5GB"]),
        (ContextConfig, {"max_device_memory": "12"}, ["max_device_memory='12'"]),
        (ContextConfig, {"max_device_memory": "nanGB"}, ["max_device_memory='nanGB'"]),
        (ContextConfig, {"mempool_block_size": "0.5GB"}, ["mempool_block_size='0.5GB'", "1GB"]),
        (ContextConfig, {"max_call_depth": 0}, ["max_call_depth=0"]),
        (ContextConfig, {"runtime_num_threads": 0}, ["runtime_num_threads=0"]),
        (ParallelContextConfig, {"gradient_mean": True}, ["did you mean 'gradients_mean'"]),
        (ParallelContextConfig, {"parallel_mode": "PARALLEL"}, ["parallel_mode='PARALLEL'"]),
        (ParallelContextConfig, {"device_num": 0}, ["device_num=0"]),
        (ParallelContextConfig, {"full_batch": 1}, ["full_batch=1"]),
        (ParallelContextConfig, {"search_mode": "guess"}, ["search_mode='guess'"]),
        (
            ParallelContextConfig,
            {"search_mode": "dynamic_programming", "auto_parallel_search_mode": "sharding_propagation"},
            ["same setting"],
        ),
        (ParallelContextConfig, {"all_reduce_fusion_config": [5, 1]}, ["all_reduce_fusion_config=[5, 1]"]),
        (ParallelContextConfig, {"comm_fusion": {"alltoall": {}}}, ["unknown key 'alltoall'"]),
        (ParallelContextConfig, {"parallel_optimizer_config": {"level": 1}}, ["unknown key 'level'"]),
    ],
)
def test_bad_fields_are_errors(cls, fields, words):
    with pytest.raises(ArgumentError) as caught:
        cls(**fields)
    for word in [*words, cls.__name__]:
        assert word in str(caught.value)


def test_before_the_first_call_a_process_is_by_itself():
    context = current()
    assert (context.rank_id, context.device_num, context.use_parallel) == (0, 1, False)
    assert context.parallel.parallel_mode == "STAND_ALONE"


# A process by itself ------------------------------------------------------------------------------------------------


def test_the_documents_first_block_and_then_a_model(run):
    code = SINGLE + textwrap.dedent("""
        import json
        import mf_core.context

        context_init()
        context_init()

        import mindspore as ms
        from mf_core import pipeline

        context = mf_core.context.current()
        text = pipeline("text_generation", "gpt2_tiny")("Once upon", max_new_tokens=2)[0]["text_generation_text"][0]
        print(json.dumps([ms.get_context("mode"), ms.get_context("device_target"), context.device_num, text]))
    """)
    mode, device, device_num, text = answer(run(code, "-W", "error"))
    assert (mode, device, device_num) == (0, "CPU", 1)
    assert text.startswith("Once upon")


def test_what_is_set_reaches_mindspore_and_changes_with_the_next_call(run, tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text("{}")
    code = PRELUDE + textwrap.dedent(f"""
        told = []

        def tell():
            names = ("mode", "pynative_synchronize", "check_bprop", "reserve_class_name_in_scope")
            told.append([ms.get_context(name) for name in names])

        given = dict(mode="PYNATIVE_MODE", device_target="cpu", pynative_synchronize=True, check_bprop=True,
                     reserve_class_name_in_scope=False, env_config_path={str(settings)!r}, runtime_num_threads=1)
        before = dict(given)
        config = ContextConfig(**given)
        dumped, fields_set = config.model_dump(), set(config.model_fields_set)
        assert init_context(False, config) == (0, 1)
        import mindspore as ms
        tell()
        assert init_context(False, given) == (0, 1)
        tell()
        assert init_context(context_config=ContextConfig(mode="GRAPH_MODE", check_bprop=False)) == (0, 1)
        tell()
        assert given == before
        assert (config.model_dump(), config.model_fields_set) == (dumped, fields_set)
        try:
            ms.device_context.cpu.op_tuning.threads_num(1)
            raise SystemExit("the threads were not set")
        except RuntimeError:
            pass
        print(json.dumps([told, error_of(context_config=dict(runtime_num_threads=2)),
                          error_of(context_config=dict(env_config_path="nowhere.json")),
                          error_of(context_config=dict(device_id=1)),
                          error_of(context_config=dict(device_target="Ascend")),
                          error_of(context_config=dict(runtime_num_threads=1))]))
    """)
    told, threads, file, device_id, target, same = answer(run(code, "-W", "error"))
    assert told == [[1, True, True, False], [1, True, True, False], [0, True, False, False]]
    assert threads.startswith("BackendError: ")
    assert "runtime_num_threads=2 comes too late" in threads
    assert file.startswith("ArgumentError: ")
    assert "env_config_path='nowhere.json'" in file
    assert device_id.startswith("BackendError: ")
    assert "device 0; it cannot change to 1" in device_id
    assert target.startswith("BackendError: ")
    assert "cannot change to 'Ascend'" in target
    assert same == [0, 1]


def test_graphs_are_written_where_asked_and_calls_nest_as_deep_as_asked(run):
    code = PRELUDE + textwrap.dedent("""
        init_context(context_config=dict(save_graphs=1, save_graphs_path="graphs", max_call_depth=50))
        import mindspore as ms

        class Deep(ms.nn.Cell):
            def __init__(self, depth):
                super().__init__()
                self.depth = depth

            def go(self, x, n):
                return x if n <= 0 else self.go(x + 1, n - 1)

            def construct(self, x):
                return self.go(x, self.depth)

        shallow = float(Deep(10)(ms.Tensor(1.0)))
        try:
            deep = float(Deep(100)(ms.Tensor(1.0)))
        except RuntimeError as error:
            deep = str(error)
        print(json.dumps([shallow, deep]))
    """)
    shallow, deep = answer(run(code, expected=["graphs"]))
    assert shallow == 11
    assert "call depth limit 50" in deep


def test_fields_that_have_no_effect_warn_and_do_not_fail(run):
    given = {name: CONTEXT_FIELDS[name] for name in sorted(GONE | NOT_ON_CPU)}
    code = PRELUDE + textwrap.dedent(f"""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = init_context(context_config={given!r})
            init_context(context_config=dict(enable_graph_kernel=False))
        told = [[type(each.message).__name__, str(each.message), each.filename] for each in caught
                if "mf_core" in each.filename or each.filename == __file__]
        print(json.dumps([result, told, __file__]))
    """)
    result, told, script = answer(run(code))
    assert result == [0, 1]
    deprecated = {message.split()[0]: message for kind, message, _ in told if kind == "DeprecationWarning"}
    limited = {message.partition("=")[0]: message for kind, message, _ in told if kind == "UserWarning"}
    assert set(deprecated) == GONE
    assert set(limited) == NOT_ON_CPU
    assert len(told) == len(GONE | NOT_ON_CPU)
    assert all("; use " in message for message in deprecated.values())
    assert "MS_DEV_PRECOMPILE_ONLY" in deprecated["precompile_only"]
    assert all("on CPU" in message and "Ascend" in message for message in limited.values())
    assert {file for _, _, file in told} == {script}


def test_devices_that_are_not_there_and_arguments_that_are_none(run):
    code = PRELUDE + textwrap.dedent("""
        answers = [error_of(context_config=dict(device_target="Ascend")), error_of(context_config=dict(mdoe=1)),
                   error_of(use_parallel="no"), error_of(context_config="CPU"),
                   error_of(parallel_config=ContextConfig())]
        assert "mindspore" not in sys.modules
        answers.append(error_of(context_config=dict(device_target="CPU", device_id=1)))
        print(json.dumps(answers))
    """)
    ascend, unknown, use_parallel, config, parallel, device_id = answer(run(code))
    assert "the backend 'ascend' is not available" in ascend
    assert "/dev/davinci" in ascend
    assert unknown.startswith("ArgumentError: ")
    assert "did you mean 'mode'" in unknown
    for wrong in (use_parallel, config, parallel):
        assert wrong.startswith(ArgumentTypeError.__name__)
    assert "there is no cpu device 1" in device_id


def test_a_parallel_mode_without_use_parallel_is_reported(run):
    result = run(PRELUDE + "init_context(parallel_config={'parallel_mode': 'DATA_PARALLEL'})")
    assert "parallel_mode='DATA_PARALLEL' has no effect: use_parallel is False" in result.stderr


# Clusters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [DATA_PARALLEL, SEMI_AUTO_PARALLEL])
def test_outside_a_cluster_the_error_gives_the_command_to_type(run, tmp_path, block):
    code = block + "\nimport sys\ntry:\n    context_init()\nfinally:\n    print('mindspore' in sys.modules)\n"
    result = run(code, returncode=1)
    assert result.stdout.split() == ["False"]
    assert "BackendError: [MF401] use_parallel=True" in result.stderr
    assert "MS_ROLE" in result.stderr
    script = tmp_path / "script.py"
    command = f"msrun --worker_num=2 --local_worker_num=2 --join=True --log_dir=output/msrun_log {script}"
    assert f"try: mf launch --workers 2 {script}; or {command}; or use_parallel=False" in result.stderr


def test_the_command_has_as_many_processes_as_asked_and_the_python_that_runs(run):
    code = PRELUDE + "print(json.dumps(error_of(True, parallel_config=dict(device_num=4))))"
    told = answer(run(code, PATH="/usr/bin:/bin", MS_ROLE="MS_WORKER", MS_WORKER_NUM="4"))
    assert "try: mf launch --workers 4 " in told
    assert f"; or PATH={BIN}:$PATH msrun --worker_num=4 --local_worker_num=4 " in told
    assert "not set: MS_SCHED_HOST, MS_SCHED_PORT" in told


def test_what_does_not_agree_with_the_cluster_is_reported_before_joining(run):
    started = {"MS_ROLE": "MS_WORKER", "MS_WORKER_NUM": "2", "MS_SCHED_HOST": "127.0.0.1", "MS_SCHED_PORT": "9"}
    code = PRELUDE + textwrap.dedent("""
        print(json.dumps([error_of(True, parallel_config=dict(device_num=3)), error_of(True, dict(device_id=5))]))
    """)
    device_num, device_id = answer(run(code, DEVICE_ID="1", **started))
    assert device_num.startswith("ArgumentError: ")
    assert "device_num=3, but the cluster has 2 processes" in device_num
    assert device_id.startswith("ArgumentError: ")
    assert "device_id=5, but the launcher put this process on device 1" in device_id


#: Follows one of the document's blocks: tells what came of it, and whether the processes reach each other.
TELL = """
import json, sys, warnings
from pathlib import Path
import mf_core.context

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    context_init()
    context_init()
    told = [str(each.message) for each in caught if each.filename == __file__]

import mindspore as ms

context = mf_core.context.current()
try:
    context.parallel.gradients_mean = False
    changed = True
except ValueError:
    changed = False
total = float(ms.ops.AllReduce()(ms.Tensor([context.rank_id + 1.0])).asnumpy()[0])
names = ("parallel_mode", "gradients_mean", "device_num", "global_rank")
modes = [ms.get_auto_parallel_context(name) for name in names]
try:
    wrong = init_context(True, parallel_config=dict(global_rank=7))
except ValueError as error:
    wrong = str(error)
single = init_context()
after = [ms.get_auto_parallel_context("parallel_mode"), mf_core.context.current().device_num]
answer = dict(rank=context.rank_id, size=context.device_num, parallel=context.parallel.model_dump(exclude_unset=True),
              use_parallel=context.use_parallel, changed=changed, total=total, modes=modes, told=told, wrong=wrong,
              single=single, after=after)
Path(sys.argv[1], f"{context.rank_id}.json").write_text(json.dumps(answer))
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def clusters(tmp_path_factory):
    """Run the document's second and third block in two clusters of two processes; return what each process told."""
    started = {}
    for name, block in (("data", DATA_PARALLEL), ("semi", SEMI_AUTO_PARALLEL)):
        folder = tmp_path_factory.mktemp(name)
        for part in ("work", "answers", "logs"):
            (folder / part).mkdir()
        (folder / "script.py").write_text(block + TELL)
        command = [
            str(BIN / "msrun"), "--worker_num=2", "--local_worker_num=2", "--join=True", f"--log_dir={folder / 'logs'}",
            f"--master_port={free_port()}", str(folder / "script.py"), str(folder / "answers"),
        ]  # fmt: skip
        started[name] = folder, subprocess.Popen(
            command, cwd=folder / "work", env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    told = {}
    for name, (folder, process) in started.items():
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        assert list((folder / "work").iterdir()) == []
        told[name] = [json.loads(path.read_text()) for path in sorted((folder / "answers").iterdir())]
    return told


def test_two_processes_find_each_other(clusters):
    for told in clusters.values():
        assert [(each["rank"], each["size"], each["use_parallel"]) for each in told] == [(0, 2, True), (1, 2, True)]
        assert [each["total"] for each in told] == [3, 3]


def test_data_parallel_is_mindspores_own(clusters):
    for rank, told in enumerate(clusters["data"]):
        assert told["modes"] == ["data_parallel", True, 2, rank]
        assert told["told"] == []


def test_what_the_cpu_does_not_compile_is_kept_and_reported_once(clusters):
    for rank, told in enumerate(clusters["semi"]):
        assert told["modes"] == ["stand_alone", False, 2, rank]
        assert len(told["told"]) == 1
        assert "no SEMI_AUTO_PARALLEL on CPU" in told["told"][0]
        assert told["parallel"] == {
            "parallel_mode": "SEMI_AUTO_PARALLEL", "gradients_mean": False, "enable_parallel_optimizer": False,
            "full_batch": True, "device_num": 2, "global_rank": rank,
        }  # fmt: skip


def test_what_was_settled_cannot_be_changed_but_by_another_call(clusters):
    for told in (*clusters["data"], *clusters["semi"]):
        assert told["changed"] is False
        assert "global_rank=7, but this process has rank" in told["wrong"]
        assert told["single"] == [0, 1]
        assert told["after"] == ["stand_alone", 1]
