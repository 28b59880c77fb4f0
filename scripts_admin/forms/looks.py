"""How forms look: Bootstrap's classes, and each field tied to its help and its mistakes. templates/forms shows them."""

from django import forms

_TICKED = (forms.CheckboxInput, forms.CheckboxSelectMultiple, forms.RadioSelect)


class Dressed(forms.BaseForm):
    """A form that is dressed from the start."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # whatever the form beside it takes
        dress(self)


def dress(form: forms.BaseForm) -> None:
    """Give each field its class, and tell screen readers where its help and its mistakes are."""
    for name, field in form.fields.items():
        kind = "form-control"
        if isinstance(field.widget, _TICKED):
            kind = "form-check-input"
        elif isinstance(field.widget, forms.Select):
            kind = "form-select"
        own = _id(form, name)
        told = f"{own}_errors"
        described = f"{own}_help {told}" if field.help_text else told
        field.widget.attrs |= {"class": kind, "aria-describedby": described}
        field.widget.attrs.pop("placeholder", None)  # the label says it, also to who has typed


def _id(form: forms.BaseForm, name: str) -> str:
    """Return the id of a field. The bound field is not asked: it would keep what its form may still change."""
    pattern = form.auto_id if isinstance(form.auto_id, str) else "%s"
    return pattern.replace("%s", form.add_prefix(name))
