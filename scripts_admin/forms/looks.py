"""Gives forms the classes of our pages."""

from django import forms

_BOXES = (forms.CheckboxInput, forms.RadioSelect, forms.CheckboxSelectMultiple)


class Dressed(forms.BaseForm):
    """A form whose fields have Bootstrap's classes; what is wrong is announced with its field."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # whatever the form beside it takes
        for field in self.fields.values():
            boxed = isinstance(field.widget, _BOXES)
            field.widget.attrs.setdefault("class", "form-check-input" if boxed else "form-control")
            field.widget.attrs.pop("placeholder", None)  # the label says it, also to who has typed
