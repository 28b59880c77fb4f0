"""Hands on a keyboard: what a person does who has no mouse."""

from typing import Any

from playwright.sync_api import Page

_MOST_TABS = 150


class Keys:
    """The keyboard of a page. Each control is reached by Tab, or the test fails."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def to(self, control: str) -> None:
        """Tab until the control has the focus; `control` is a CSS selector."""
        passed = []
        for _ in range(_MOST_TABS):
            if self._is_on(control):
                return
            self._page.keyboard.press("Tab")
            passed.append(self._here())
        message = f"Tab never reaches {control}; it passed {passed}"
        raise AssertionError(message)

    def write(self, control: str, text: str) -> None:
        self.to(control)
        self._page.keyboard.press("Control+A")
        self._page.keyboard.type(text)

    def tick(self, control: str) -> None:
        self.to(control)
        self._page.keyboard.press("Space")

    def press(self, control: str) -> None:
        """Press a link or a button, and wait for the page that it leads to."""
        self.to(control)
        self.enter()

    def enter(self) -> None:
        """Press Enter where the focus is, and wait for the page that it leads to."""
        with self._page.expect_navigation():
            self._page.keyboard.press("Enter")

    def _is_on(self, control: str) -> bool:
        script = "control => document.activeElement.matches(control)"
        return bool(self._page.evaluate(script, control))

    def _here(self) -> Any:
        return self._page.evaluate("document.activeElement.outerHTML.slice(0, 60)")
