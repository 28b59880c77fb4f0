"""Takes django-allauth's own pages out of the admin: people's logins and sessions have pages of ours."""

from importlib import import_module

from django.apps import apps
from django.contrib import admin

for app in ("account", "mfa", "socialaccount", "usersessions"):
    # Imported here, so that the order of the applications does not matter.
    import_module(f"allauth.{app}.admin")
    for model in apps.get_app_config(app).get_models():
        if admin.site.is_registered(model):
            admin.site.unregister(model)
