"""Fields of several entries."""

from typing import Any

from django import forms


class Lines(forms.CharField):
    """Entries, one a line; as a list."""

    widget = forms.Textarea(attrs={"rows": 4, "cols": 40})

    def prepare_value(self, value: Any) -> Any:  # noqa: ANN401 - a list, or what was typed
        """Return what the field shows."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:  # noqa: ANN401 - Django says text; this field is a list
        """Return the entries."""
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:  # noqa: ANN401 - as Django declares it
        """Tell whether the entries are others than before."""
        return bool(list(initial or []) != self.to_python(data))


class VolumeIds(Lines):
    """Volume ids, separated by blanks, commas or line ends; as a list."""

    widget = forms.Textarea(attrs={"rows": 2, "cols": 24})

    def to_python(self, value: Any) -> Any:  # noqa: ANN401 - see Lines
        """Return the ids."""
        return (value or "").replace(",", " ").split()
