"""The web application: `n2wbackup.wsgi:application`."""

import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from n2wbackup import proxies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "n2wbackup.settings")

application = proxies.believed(get_wsgi_application(), settings.N2W_TRUSTED_PROXIES)
# Now, and not while the first person waits for an answer.
import_module("n2wbackup.urls")
import_module("policies.adapters.queues")
