"""Logging in, one's own profile, and script folders. Of django-allauth's pages only those here exist."""

from allauth.account.views import reauthenticate
from allauth.mfa.base import views as factors
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as app
from allauth.mfa.webauthn import views as passkeys
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_required
from django.urls import path
from django.views.generic import RedirectView

from scripts_admin.views import (
    entering,
    files,
    folders,
    linting,
    logins,
    profile,
    sharing,
    single_sign_on,
)

# allauth finds its pages by these names.
urlpatterns = [
    path("login/", logins.LoginView.as_view(), name="account_login"),
    path("login/code/", factors.authenticate, name="mfa_authenticate"),
    path("login/passkey/", passkeys.login_webauthn, name="mfa_login_webauthn"),
    path("login/openid/", single_sign_on.begin, name="openid-login"),
    path("login/openid/back/", single_sign_on.back, name="openid-back"),
    path("logout/", auth.LogoutView.as_view(), name="account_logout"),
    path("first/<str:word>/", entering.first, name="first"),
    path("invited/<str:word>/", entering.invited, name="invited"),
    path("profile/", profile.profile, name="profile"),
    path("profile/password/", profile.password, name="profile-password"),
    path("profile/sessions/end-others/", profile.end_other_sessions, name="end-other-sessions"),
    path("profile/sessions/<int:session>/end/", profile.end_session, name="end-session"),
    path("profile/confirm/", reauthenticate, name="account_reauthenticate"),
    path("profile/confirm/code/", factors.reauthenticate, name="mfa_reauthenticate"),
    path(
        "profile/confirm/passkey/",
        passkeys.reauthenticate_webauthn,
        name="mfa_reauthenticate_webauthn",
    ),
    path("profile/openid/connect/", single_sign_on.connect, name="openid-connect"),
    path("profile/openid/go/", single_sign_on.go, name="openid-go"),
    path("profile/openid/disconnect/", single_sign_on.disconnect, name="openid-disconnect"),
    path(
        "profile/factors/",
        login_required(RedirectView.as_view(pattern_name="profile")),
        name="mfa_index",
    ),
    path("profile/factors/app/", login_required(app.activate_totp), name="mfa_activate_totp"),
    path("profile/factors/app/remove/", app.deactivate_totp, name="mfa_deactivate_totp"),
    path("profile/factors/codes/", codes.view_recovery_codes, name="mfa_view_recovery_codes"),
    path(
        "profile/factors/codes/new/",
        login_required(codes.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "profile/factors/codes/download/",
        codes.download_recovery_codes,
        name="mfa_download_recovery_codes",
    ),
    path(
        "profile/factors/passkeys/",
        login_required(RedirectView.as_view(pattern_name="profile")),
        name="mfa_list_webauthn",
    ),
    path(
        "profile/factors/passkeys/add/",
        login_required(passkeys.add_webauthn),
        name="mfa_add_webauthn",
    ),
    path(
        "profile/factors/passkeys/<int:pk>/name/",
        login_required(passkeys.edit_webauthn),
        name="mfa_edit_webauthn",
    ),
    path(
        "profile/factors/passkeys/<int:pk>/remove/",
        login_required(passkeys.remove_webauthn),
        name="mfa_remove_webauthn",
    ),
    path("scripts/<str:owner>/sharing/", sharing.folder, name="folder-sharing"),
    # Script folders and their files.
    path("scripts/", folders.listing, name="scripts"),
    path("scripts/<str:owner>/", folders.detail, name="script-folder"),
    path("scripts/<str:owner>/upload/", folders.upload, name="script-upload"),
    path("scripts/<str:owner>/undo/", folders.undo, name="script-undo"),
    path("scripts/<str:owner>/recipes/", folders.recipe_list, name="script-recipes"),
    path("scripts/<str:owner>/files/<str:name>/", files.detail, name="script-file"),
    path(
        "scripts/<str:owner>/files/<str:name>/executable/",
        linting.make_executable,
        name="script-executable",
    ),
    path("scripts/<str:owner>/files/<str:name>/delete/", files.delete, name="script-delete"),
    path("scripts/<str:owner>/files/<str:name>/download/", files.download, name="script-download"),
]
