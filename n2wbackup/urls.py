"""The URLs of the server."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from n2wbackup import health, pages
from scripts_admin.forms import LoginForm

admin.autodiscover()

urlpatterns = [
    path("admin/", admin.site.urls),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("login/", auth.LoginView.as_view(authentication_form=LoginForm), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("theme/", pages.theme, name="theme"),
    path("", include("policies.urls")),
]
