"""The URLs of the server."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from n2wbackup import health

admin.autodiscover()
admin.site.site_header = admin.site.site_title = "n2wbackup administration"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("login/", auth.LoginView.as_view(), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("", include("policies.urls")),
]
