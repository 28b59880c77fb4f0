"""The web application for gunicorn: `n2wbackup.wsgi:application`."""

import os
from importlib import import_module

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "n2wbackup.settings")

application = get_wsgi_application()
# Now, and not while the first person waits for an answer.
import_module("n2wbackup.urls")
import_module("policies.adapters.queues")
