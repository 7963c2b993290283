"""What holds for every plugin, whatever it offers."""

from __future__ import annotations

from ..package_checks.loading import LoadingChecks
from ..package_checks.packaging import PackagingChecks
from ..package_checks.targets import TargetChecks
from .distribution import records_of

__all__ = ["PluginContract", "records_of"]


class PluginContract(PackagingChecks, TargetChecks, LoadingChecks):
    """A plugin is found, costs little, changes nothing, and has what it promises.

    Attributes:
        distribution: Whose plugin it is, ``"mf-mamba"``.
        import_budget_ms: Most milliseconds that importing its entry module and calling its hooks may take, best of
            three fresh processes.
    """
