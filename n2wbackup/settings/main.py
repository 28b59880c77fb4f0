"""All settings in one namespace. To find one: each import below is a subject and a file."""

from n2wbackup.settings.ages import *
from n2wbackup.settings.apps import *
from n2wbackup.settings.celery import *
from n2wbackup.settings.costs import *
from n2wbackup.settings.database import *
from n2wbackup.settings.env import *
from n2wbackup.settings.folders import *
from n2wbackup.settings.logging import *
from n2wbackup.settings.login import *
from n2wbackup.settings.opened import *
from n2wbackup.settings.proofs import *
from n2wbackup.settings.security import *
from n2wbackup.settings.single_sign_on import *
