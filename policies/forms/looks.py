"""How our forms look: Bootstrap's classes, and each field tied to its help and its mistakes."""

from django import forms

_TICKED = (forms.CheckboxInput, forms.CheckboxSelectMultiple, forms.RadioSelect)


def dress(form: forms.BaseForm) -> None:
    """Give each field its class, and tell screen readers where its help and its mistakes are."""
    for name, field in form.fields.items():
        own = form[name]
        kind = "form-control"
        if isinstance(field.widget, _TICKED):
            kind = "form-check-input"
        elif isinstance(field.widget, forms.Select):
            kind = "form-select"
        told = f"{own.auto_id}_errors"
        described = f"{own.auto_id}_help {told}" if field.help_text else told
        field.widget.attrs |= {"class": kind, "aria-describedby": described}
