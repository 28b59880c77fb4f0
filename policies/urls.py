"""The pages of policies and runs."""

from django.urls import path

from policies.views import runs

urlpatterns = [
    path("", runs.index, name="index"),
    path("runs/", runs.listing, name="runs"),
    path("runs/<uuid:run_id>/", runs.detail, name="run"),
]
