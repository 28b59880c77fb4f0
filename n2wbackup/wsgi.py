"""The web application: `n2wbackup.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "n2wbackup.settings")

application = get_wsgi_application()
