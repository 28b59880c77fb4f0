"""What a script lacks on its way to an instance is said with the page where it is made."""

import pytest
from django.urls import reverse

from policies.services.entry import reach


@pytest.mark.parametrize("page", [reach.KEYS_PAGE, reach.HOSTS_PAGE])
@pytest.mark.parametrize("folder", ["root", "a_l-1ce"])
def test_the_address_is_the_one_of_the_page(page: str, folder: str) -> None:
    lacks = reach.Missing("It is missing.", page, folder)

    assert str(lacks) == f"It is missing. {reverse(page, args=[folder])}"
