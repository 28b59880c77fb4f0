#!/bin/sh
# ssh, scp, sftp and rsync of backup scripts: the real program, with the keys and the approved hosts of the
# script's owner. It never asks and never leaves a host unchecked, whatever its other arguments say.
# A run needs no other process than the real one: the application may be frozen meanwhile.
n2w_place=''
n2w_scripts=''
n2w_name=${0##*/}

# Sets n2w_owner to the owner of the script folder that the path lies in.
n2w_owner_of() {
    case $1 in
    "$n2w_scripts") n2w_owner=root ;;
    "$n2w_scripts"/*)
        n2w_owner=${1#"$n2w_scripts"/}
        n2w_owner=${n2w_owner%%/*}
        [ -r "$n2w_place/$n2w_owner/config" ] || n2w_owner=root
        ;;
    *) return 1 ;;
    esac
}

# Superusers share the folder of root, and have none of their own name.
n2w_owner_in_a_run() {
    case ${N2W_OWNER:-} in
    '' | *[!a-z0-9_-]*) return 1 ;;
    esac
    n2w_owner=$N2W_OWNER
    [ -r "$n2w_place/$n2w_owner/config" ] || n2w_owner=root
}

# A person who runs a script by its whole path: it stands in the shell's command line.
n2w_owner_by_hand() {
    n2w_owner_of "$(tr '\0' '\n' <"/proc/$PPID/cmdline" 2>/dev/null | sed -n 2p)"
}

n2w_program=
for n2w_folder in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
    if [ -z "$n2w_program" ] && [ -x "$n2w_folder/$n2w_name" ]; then
        n2w_program=$n2w_folder/$n2w_name
    fi
done
if [ -z "$n2w_program" ]; then
    echo "$n2w_name is not installed on the backup server: install it." >&2
    exit 127
fi

n2w_here=$PWD
cd -P . 2>/dev/null && n2w_here=$PWD
if ! n2w_owner_of "$n2w_here" && ! n2w_owner_in_a_run && ! n2w_owner_by_hand; then
    exec "$n2w_program" "$@" # no script's: what a person types is their own
fi
n2w_config=$n2w_place/$n2w_owner/config
n2w_hosts=$n2w_place/$n2w_owner/known_hosts

if [ "$n2w_name" = rsync ]; then
    case :$PATH: in
    *":$n2w_place/bin:"*) ;;
    *) export PATH="$n2w_place/bin:$PATH" ;; # for `rsync -e ssh`
    esac
    export RSYNC_RSH="${RSYNC_RSH:-$n2w_place/bin/ssh}"
    exec "$n2w_program" "$@"
fi
# What stands first counts, so no later option undoes this; a later -F replaces our file, not our hosts.
set -- -o BatchMode=yes -o StrictHostKeyChecking=yes -o "GlobalKnownHostsFile=\"$n2w_hosts\"" "$@"
[ ! -r "$n2w_config" ] || set -- -F "$n2w_config" "$@"
exec "$n2w_program" "$@"
