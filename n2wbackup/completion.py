"""Completion of the command line, as text for the shell: commands, their options, and the options' choices.

The text has everything in it, so a TAB starts no Python.
"""

import argparse

from n2wbackup import command_line

SHELLS = ("bash", "zsh")

# Both shells run it; zsh reads bash's `complete` by its own emulation, in which `words` is taken.
_FUNCTION = """\
_n2w() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" at=1 known=""
    # After `python manage.py` the command stands one word later.
    case "${{COMP_WORDS[1]}}" in *manage.py) at=2 ;; esac
    if [ "$COMP_CWORD" -eq "$at" ]; then
        known="{commands} --help --version"
    else
        case "${{COMP_WORDS[$at]}} $before" in
{choices}
            *) case "${{COMP_WORDS[$at]}}" in
{options}
            esac ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$known" -- "$cur"))
}}
complete -o default -F _n2w n2w ./n2w manage.py ./manage.py
"""
_ZSH = "autoload -Uz compinit bashcompinit\n(( $+functions[compdef] )) || compinit\nbashcompinit\n"


def script(shell: str) -> str:
    """Return the text that the shell has to read, as with `source <(n2w completion bash)`."""
    names = [*command_line.ours(), *command_line.NEEDED]
    options, choices = [], []
    for name in names:
        parser = command_line.load(name).create_parser(command_line.NAME, name)
        known = [action for action in parser._actions if action.option_strings]  # noqa: SLF001 - argparse has no other list
        own = [action for action in known if action.help != argparse.SUPPRESS]
        words = " ".join(sorted(_long(action) for action in own))
        options.append(f'                {name}) known="{words}" ;;')
        choices += [
            f'            "{name} {_long(action)}") known="{" ".join(map(str, action.choices))}" ;;'
            for action in own
            if action.choices
        ]
        choices += [
            f'            "{name} {name}") known="{" ".join(map(str, action.choices))} {words}" ;;'
            for action in parser._actions  # noqa: SLF001 - as above
            if not action.option_strings and action.choices
        ]
    text = _FUNCTION.format(
        commands=" ".join(names), options="\n".join(options), choices="\n".join(choices)
    )
    return (_ZSH if shell == "zsh" else "") + text


def _long(action: argparse.Action) -> str:
    return max(action.option_strings, key=len)
