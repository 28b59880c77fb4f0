"""The URLs of the server."""

from django.contrib import admin
from django.urls import include, path

from n2wbackup import health, pages

admin.autodiscover()

urlpatterns = [
    path("admin/", admin.site.urls),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("theme/", pages.theme, name="theme"),
    path("", include("scripts_admin.urls")),
    path("", include("policies.urls")),
]
