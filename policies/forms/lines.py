"""Form fields that take several entries."""

from typing import Any

from django import forms


class Lines(forms.CharField):
    """One entry per line; the value is a list."""

    widget = forms.Textarea(attrs={"rows": 4, "cols": 40})

    def prepare_value(self, value: Any) -> Any:  # noqa: ANN401 - a list, or what was typed
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:  # noqa: ANN401 - Django says text; this field is a list
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:  # noqa: ANN401 - as Django declares it
        return bool(list(initial or []) != self.to_python(data))


class Words(Lines):
    """Words separated by spaces, commas or line ends; the value is a list."""

    widget = forms.Textarea(attrs={"rows": 2, "cols": 24})

    def to_python(self, value: Any) -> Any:  # noqa: ANN401 - see Lines
        return (value or "").replace(",", " ").split()


class VolumeIds(Words):
    """The ids of volumes."""
