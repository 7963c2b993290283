"""The probe, on machines laid out in folders: complete, and with each piece missing in turn."""

import pytest
from mf_ascend_backend.chips import A1, A3, family_of, peak_flops
from mf_ascend_backend.host import Host
from mf_ascend_backend.probe import probe

from .machine import ENVIRONMENT, HOME, SITE, lay_out


def check_of(found, name):
    return next(check for check in found.checks if check.name == name)


def test_a_complete_machine_is_available(tmp_path):
    found = probe(lay_out(tmp_path))
    assert found.available
    assert found.reason == ""
    assert found.device_count == 2
    assert [check for check in found.checks if not check.ok] == []
    assert found.details == {
        "chip": "Ascend 910B (Atlas A2)", "driver": "25.5.0", "CANN": "9.1.0", "mindspore": "2.10.0"
    }  # fmt: skip


DRIVER = "/usr/local/Ascend/driver"
KERNELS = f"{HOME}/opp/built-in/op_impl/ai_core/tbe/kernel"

MISSING = [
    # without which files, what the reason names first, what it says to do
    (("/dev/davinci0", "/dev/davinci1"), "devices: no /dev/davinci<number>", "--device=/dev/davinci0"),
    (("/dev/davinci_manager",), "/dev/davinci_manager: missing", "--device=/dev/davinci_manager"),
    (("/dev/devmm_svm",), "/dev/devmm_svm: missing", "--device=/dev/devmm_svm"),
    (("/dev/hisi_hdc",), "/dev/hisi_hdc: missing", "install Ascend's driver"),
    ((f"{DRIVER}/version.info",), f"driver: no {DRIVER}/version.info", "install Ascend's driver"),
    ((f"{DRIVER}/lib64",), "libascend_hal.so: in no folder", f"export LD_LIBRARY_PATH={DRIVER}/lib64"),
    ((HOME,), "CANN: neither ASCEND_HOME_PATH nor", "install CANN's toolkit, 9.1"),
    ((f"{HOME}/opp",), f"operators: no {HOME}/opp/built-in", "install CANN's toolkit"),
    ((KERNELS,), "operators: no", "install CANN's toolkit"),
    ((f"{HOME}/lib64/libascendcl.so",), "libascendcl.so: in no folder", f"source {HOME}/set_env.sh"),
    ((f"{HOME}/lib64/libge_runner.so",), "libge_runner.so: in no folder", f"source {HOME}/set_env.sh"),
    ((f"{HOME}/lib64/libhccl.so",), "libhccl.so: in no folder", f"source {HOME}/set_env.sh"),
    ((f"{HOME}/python/site-packages/te",), "te: CANN's Python package", "PYTHONPATH"),
    ((f"{HOME}/python/site-packages/hccl",), "hccl: CANN's Python package", "PYTHONPATH"),
    ((f"{SITE}/mindspore",), "mindspore: not installed (wanted: >=2.10,<2.11)", "pip install"),
    ((f"{SITE}/mindspore/lib",), f"mindspore's Ascend plugin: no {SITE}/mindspore/lib/plugin", "wheel of MindSpore"),
    ((f"{SITE}/numpy",), "numpy: not installed", "pip install 'numpy<2'"),
]  # fmt: skip


@pytest.mark.parametrize("without, named, remedy", MISSING, ids=[named.partition(":")[0] for _, named, _ in MISSING])
def test_the_reason_names_the_first_missing_piece_and_its_remedy(tmp_path, without, named, remedy):
    found = probe(lay_out(tmp_path, without=without))
    assert not found.available
    assert found.reason.startswith(named)
    assert remedy in found.reason


def test_toolkit_without_binary_kernels(tmp_path):
    host = lay_out(tmp_path, without=(f"{KERNELS}/ascend910b",), files={f"{KERNELS}/config/readme": ""})
    found = probe(host)
    assert found.reason.startswith(f"CANN kernels: no {KERNELS}/ascend<chip>")
    assert "package of operators for your chip" in found.reason


HIDES = "ASCEND_RT_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"system": "Darwin"}, "platform: Darwin aarch64 (wanted: Linux on x86_64 or aarch64)"),
        ({"machine": "riscv64"}, "platform: Linux riscv64"),
        ({"may_open": lambda path: path.name != "davinci1"}, "permission: /dev/davinci1 may not be opened"),
        ({"python": (3, 13)}, "python: 3.13 (wanted: 3.10, 3.11 or 3.12)"),
        ({"env": {**ENVIRONMENT, "ASCEND_OPP_PATH": ""}}, "CANN environment: ASCEND_OPP_PATH not set"),
        ({"env": {}}, "libascend_hal.so: in no folder of LD_LIBRARY_PATH"),
        ({"env": {**ENVIRONMENT, HIDES: ""}}, f"devices: {HIDES}='' hides all 2"),
    ],
)
def test_what_is_no_file_is_named_too(tmp_path, changes, named):
    found = probe(lay_out(tmp_path, **changes))
    assert not found.available
    assert found.reason.startswith(named)


def test_no_permission_names_the_group_to_join(tmp_path):
    assert "usermod -aG HwHiAiUser" in probe(lay_out(tmp_path, may_open=lambda path: False)).reason


def test_several_missing_pieces_come_in_the_order_of_installing(tmp_path):
    found = probe(lay_out(tmp_path, without=("/dev", "/usr/local/Ascend", SITE)))
    names = [check.name for check in found.checks if check.stops]
    order = ["devices", "driver", "libascend_hal.so", "CANN", "operators", "libascendcl.so", "te", "mindspore", "numpy"]
    assert [name for name in names if name in order] == order
    assert found.reason.startswith("devices")


def test_firmware_that_a_container_does_not_show_is_a_warning(tmp_path):
    found = probe(lay_out(tmp_path, without=("/usr/local/Ascend/firmware",)))
    assert found.available
    check = check_of(found, "firmware")
    assert (check.ok, check.required) == (False, False)
    assert "in a container it need not be seen" in check.remedy


def test_versions_that_do_not_match_are_warnings_with_what_matches(tmp_path):
    old = {f"{HOME}/compiler/version.info": "Version=8.1.RC1\n", f"{DRIVER}/version.info": "Version=23.0.3\n"}
    found = probe(lay_out(tmp_path, files=old))
    assert found.available
    cann, driver = check_of(found, "CANN"), check_of(found, "driver")
    assert (cann.ok, cann.found) == (False, "8.1.RC1")
    assert "9.1" in cann.wanted
    assert "MindSpore 2.6.0 goes with this one" in cann.remedy
    assert (driver.ok, driver.found) == (False, "23.0.3")
    assert "24.0.0" in driver.wanted


@pytest.mark.parametrize("version", ["8.3.RC1", "8.5.0", "9.0.0", "9.1.T2"])
def test_every_cann_that_mindspore_takes_is_taken(tmp_path, version):
    found = probe(lay_out(tmp_path, files={f"{HOME}/compiler/version.info": f"Version={version}\n"}))
    assert check_of(found, "CANN").ok


def test_mindspore_of_another_version_is_named_with_the_one_wanted(tmp_path):
    found = probe(lay_out(tmp_path, files={f"{SITE}/mindspore/version.py": "__version__ = '2.7.1'\n"}))
    assert found.reason.startswith("mindspore: 2.7.1 (wanted: >=2.10,<2.11)")


def test_the_driver_is_found_where_its_installer_says(tmp_path):
    files = {
        "/etc/ascend_install.info": "Driver_Install_Path_Param=/opt/hiai\n",
        "/opt/hiai/driver/version.info": "Version=25.5.0",
    }
    found = probe(lay_out(tmp_path, without=(f"{DRIVER}/version.info",), files=files))
    assert check_of(found, "driver").found == "25.5.0"


def test_cann_is_found_without_its_variables_and_then_the_variables_are_missing(tmp_path):
    old = {
        "/usr/local/Ascend/ascend-toolkit/latest/aarch64-linux/ascend_toolkit_install.info": "version=8.5.0\n",
        "/usr/local/Ascend/ascend-toolkit/latest/opp/built-in/op_impl/ai_core/tbe/kernel/ascend910b/x": "",
    }
    driver = {"LD_LIBRARY_PATH": "/usr/local/Ascend/driver/lib64/driver"}
    found = probe(lay_out(tmp_path, without=(HOME,), files=old, env=driver))
    assert check_of(found, "CANN").found == "8.5.0"
    assert found.reason.startswith("CANN environment: ASCEND_HOME_PATH, ASCEND_OPP_PATH not set")
    assert "source /usr/local/Ascend/ascend-toolkit/latest/set_env.sh" in found.reason


def test_libraries_may_be_known_to_the_loader_without_the_variable(tmp_path):
    files = {"/etc/ld.so.conf.d/ascend.conf": f"# CANN\n{HOME}/lib64\n/usr/local/Ascend/driver/lib64/driver\n"}
    env = {name: value for name, value in ENVIRONMENT.items() if name != "LD_LIBRARY_PATH"}
    assert probe(lay_out(tmp_path, files=files, env=env)).available


@pytest.mark.parametrize("listed, count", [("0", 1), ("0,1", 2), ("1, 7", 1)])
def test_devices_that_are_hidden_do_not_count(tmp_path, listed, count):
    found = probe(lay_out(tmp_path, env={**ENVIRONMENT, HIDES: listed}))
    assert found.device_count == count


def test_the_user_may_know_better(tmp_path):
    env = {**ENVIRONMENT, "MF_ASCEND_TRUST": "te, Operators"}
    found = probe(lay_out(tmp_path, without=(f"{HOME}/python/site-packages/te",), env=env))
    assert found.available
    check = check_of(found, "te")
    assert (check.ok, check.required) == (False, False)
    assert "trusted by MF_ASCEND_TRUST" in check.remedy


def test_chips_and_what_is_published_of_them():
    assert family_of("Ascend910B3").bfloat16
    assert family_of("Ascend910_9391") is A3
    assert family_of("Ascend910ProA") is A1
    assert not A1.kernels
    assert peak_flops("Ascend910B3", "float16") == peak_flops("Ascend910B3", "bfloat16") == 313e12
    assert peak_flops("Ascend910A", "float16") == 256e12
    assert peak_flops("Ascend910A", "bfloat16") is None
    assert peak_flops("Ascend910B3", "float32") is None
    assert peak_flops("Ascend999", "float16") is None


def test_an_empty_machine_breaks_nothing(tmp_path):
    found = probe(Host(root=tmp_path, env={}, search_path=()))
    assert not found.available
    assert found.device_count == 0
