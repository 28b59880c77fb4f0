"""The admin, with our own site."""

from django.contrib.admin.apps import SimpleAdminConfig


class AdministrationConfig(SimpleAdminConfig):  # urls.py loads its pages
    default_site = "n2wbackup.administration.Site"
