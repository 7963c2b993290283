"""An Ascend machine laid out in a folder: the files that its driver, CANN and MindSpore leave."""

from pathlib import Path

from mf_ascend_backend.host import Host

HOME = "/usr/local/Ascend/cann"
SITE = "/opt/python/site-packages"

#: Every file of a complete machine -> its text.
FILES = {
    "/dev/davinci0": "", "/dev/davinci1": "", "/dev/davinci_manager": "", "/dev/devmm_svm": "", "/dev/hisi_hdc": "",
    "/sys/bus/pci/devices/0000:00:1f.0/vendor": "0x8086\n", "/sys/bus/pci/devices/0000:00:1f.0/device": "0x7a30\n",
    "/sys/bus/pci/devices/0000:81:00.0/vendor": "0x19e5\n", "/sys/bus/pci/devices/0000:81:00.0/device": "0xd802\n",
    "/etc/ascend_install.info": "UserName=HwHiAiUser\nDriver_Install_Path_Param=/usr/local/Ascend\n",
    "/usr/local/Ascend/driver/version.info": "Version=25.5.0\nascendhal_version=7.35.23\n",
    "/usr/local/Ascend/driver/lib64/driver/libascend_hal.so": "",
    "/usr/local/Ascend/firmware/version.info": "Version=7.8.0.6.201\n",
    f"{HOME}/compiler/version.info": "Version=9.1.0\nversion_dir=cann-9.1.0\n",
    f"{HOME}/opp/built-in/op_impl/ai_core/tbe/kernel/ascend910b/add.json": "{}",
    f"{HOME}/lib64/libascendcl.so": "", f"{HOME}/lib64/libge_runner.so": "", f"{HOME}/lib64/libgraph.so": "",
    f"{HOME}/lib64/libhccl.so": "",
    f"{HOME}/python/site-packages/te/__init__.py": "", f"{HOME}/python/site-packages/hccl/__init__.py": "",
    f"{SITE}/mindspore/__init__.py": "", f"{SITE}/mindspore/version.py": "__version__ = '2.10.0'\n",
    f"{SITE}/mindspore/lib/plugin/libmindspore_ascend.so.2": "",
    f"{SITE}/numpy/__init__.py": "", f"{SITE}/numpy/version.py": 'version = "1.26.4"\n',
}  # fmt: skip

#: What CANN's ``set_env.sh`` and the driver's set.
ENVIRONMENT = {
    "ASCEND_HOME_PATH": HOME,
    "ASCEND_OPP_PATH": f"{HOME}/opp",
    "LD_LIBRARY_PATH": f"{HOME}/lib64:/usr/local/Ascend/driver/lib64/driver",
}


def lay_out(root: Path, *, without: tuple[str, ...] = (), files: dict[str, str] | None = None, **changes) -> Host:
    """Write a machine's files under a folder, and return it as the probe sees it.

    Args:
        root: The folder.
        without: Beginnings of the paths of files that are left out.
        files: Files beside or instead of the complete ones.
        **changes: Other attributes of the host.
    """
    for name, text in {**FILES, **(files or {})}.items():
        if not name.startswith(without or ("\0",)):
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    given = {
        "env": ENVIRONMENT, "search_path": (f"{HOME}/python/site-packages", SITE),
        "system": "Linux", "machine": "aarch64", "python": (3, 11),
    }  # fmt: skip
    return Host(root=root, **{**given, **changes})
