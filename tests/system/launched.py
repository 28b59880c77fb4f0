"""The whole product as a server that is not root, whose scripts the launcher starts."""

import os
from collections.abc import Callable

from tests.ground.launcher import Place
from tests.system.product import Product


def settle(place: Place) -> Callable[[Product], None]:
    """Return what makes a new product's home the server's, and its commands run as the server's account."""

    def do(product: Product) -> None:
        product.python, product.around = place.python, place.within(user=place.server)
        (product.home / "scripts").mkdir(mode=0o711)
        for path in (product.home, *product.home.iterdir()):
            os.chown(path, place.server.pw_uid, place.server.pw_gid)
        product.home.chmod(0o711)
        beside = product.marks_file.parent
        if not product.home.is_relative_to(beside):
            beside.chmod(0o777)  # scripts of other accounts leave their marks there

    return do
