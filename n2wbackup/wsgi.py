"""The web application: `n2wbackup.wsgi:application`."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from n2wbackup import proxies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "n2wbackup.settings")

application = proxies.believed(get_wsgi_application(), settings.N2W_TRUSTED_PROXIES)
