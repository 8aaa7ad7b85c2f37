"""What a notification says: an event, in the words of a template that can do no harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

_SUBJECTS = {
    "finished": "{{ job }}: {{ words }}",
    "held": "{{ job }} is held: {{ words }}",
    "failed": "{{ job }} failed: {{ words }}",
    "pause": "{{ job }}: {{ words }}",
}

_TEXT = """\
{{ subject }}
{% for name, pair in pairs.items() -%}
{{ name }}: {{ "{:,}".format(pair["keys"]) }} keys\
{% for class, amounts in pair["classes"].items() %}, {{ "{:,}".format(amounts["keys"]) }} {{ class }}{% endfor %}
{% endfor -%}
{% for gate in gates if not gate["passed"] -%}
beyond the gate {{ gate["gate"] }} of {{ gate["pair"] }}: {{ gate["value"] }}, bound {{ gate["bound"] }}
{% endfor -%}
{% if report %}report: {{ report }}
{% endif %}"""


class TemplateProblem(Exception):
    """A template that cannot be rendered; the message says where and why."""


@dataclass(frozen=True)
class Event:
    """What happened to a job: `words` say it in one line, the rest is from the run's summary."""

    event: str
    job: str
    words: str
    run_id: str | None = None
    report: str | None = None
    pairs: Mapping[str, Any] = field(default_factory=dict)
    gates: tuple[Mapping[str, Any], ...] = ()

    def document(self) -> dict[str, Any]:
        """The event as data."""
        return {**asdict(self), "subject": self.subject}

    @property
    def subject(self) -> str:
        """One line."""
        return _rendered(_SUBJECTS[self.event], {"job": self.job, "words": " ".join(self.words.split())})


def text_of(event: Event, template: str | None = None) -> str:
    """The event in words. Raises `TemplateProblem`."""
    return _rendered(template or _TEXT, event.document()).strip()


def try_out(template: str) -> None:
    """Render an event that has everything. Raises `TemplateProblem`."""
    amounts = {"keys": 1, "units": 1, "value": 1}
    pair = {"keys": 2, "classes": {"BREAK": amounts, "MATCHED": amounts}}
    gate = {"pair": "a~b", "gate": "breaks", "value": 1, "bound": 0, "passed": False}
    text_of(Event("finished", "job", "words", "run", "report.html", {"a~b": pair}, (gate,)), template)


def _rendered(template: str, values: Mapping[str, Any]) -> str:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    try:
        return environment.from_string(template).render(values)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise TemplateProblem(f"template{f', line {line}' if line else ''}: {error.message}") from error
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise TemplateProblem(f"template: {error}") from error
