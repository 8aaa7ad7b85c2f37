"""One canonical reference per line out of what each system calls it (DOMAIN 2.6)."""

from __future__ import annotations

from dataclasses import dataclass

from reconcilers.errors import ConfigError


@dataclass(frozen=True)
class Normaliser:
    """How one system's references become canonical: prefixes off, then letter case.

    Spaces around are stripped, the first prefix of the list that fits is taken off once. Leading
    zeros stay: they are significant unless an alias table says otherwise.
    """

    strip_prefix: tuple[str, ...] = ()
    case: str = "keep"

    def __post_init__(self) -> None:
        if self.case not in ("keep", "upper", "lower"):
            raise ConfigError(f"references.case {self.case!r} is not keep, upper or lower")

    def sql(self, column: str) -> str:
        """The DuckDB expression that normalises `column`."""
        expression = f"trim({column})"
        for prefix in reversed(self.strip_prefix):
            text = prefix.replace("'", "''")
            expression = (
                f"case when starts_with(trim({column}), '{text}') "
                f"then substr(trim({column}), {len(prefix) + 1}) else {expression} end"
            )
        return expression if self.case == "keep" else f"{self.case}({expression})"

    @property
    def is_identity(self) -> bool:
        """Whether there is nothing to do."""
        return not self.strip_prefix and self.case == "keep"
