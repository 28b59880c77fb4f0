#!/usr/bin/env bash
# Installs the missing system packages of the test suite by apt; nothing if none is missing.
#
# Guarantees: no installed service is started, no PostgreSQL cluster is created, and afterwards the
# machine's own policy for starting services is in place again, also after a failure.
# Exit code 0 if packages stay missing (the tests that need them are skipped), but 1 if CI=true.
set -euo pipefail

packages=(
    mariadb-server # the database that the first recipe freezes
    openssh-server # the far side of scripts over SSH
    openssh-client
    xfsprogs # file systems that can be frozen and reflinked
    e2fsprogs
    util-linux  # setpriv, flock, losetup, fsfreeze
    postgresql  # the suite runs on it, too
    libfaketime # a false clock for one process
    sudo        # an account that may freeze and thaw, and nothing else
    redis-server # what the Redis recipe holds, and the client it speaks through
    chromium    # shows the pages, as a person would see them
    pgbouncer   # a pool between the server and its database
    busybox     # one of the shells that instances have
    zsh         # whose completion is tried
    acl         # setfacl: who else may work in a script folder
    nftables    # which accounts do not reach the metadata service
    nbdkit      # shows a snapshot's blocks as a disk, read one by one
    nbdkit-plugin-python
    libnbd-bin  # nbdfuse: that disk as a plain file
    fuse3
    systemd     # runs the shipped units in a name space; the package alone makes it nobody's init
)

# With SYSTEM_ROOT, this script's own tests run it without changing the machine.
policy="${SYSTEM_ROOT:-}/usr/sbin/policy-rc.d"
kept_policy="$policy.kept-by-n2wbackup"
our_mark="written by n2wbackup's tools/system-packages.sh"
cluster_settings="${SYSTEM_ROOT:-}/etc/postgresql-common/createcluster.d/n2wbackup.conf"
lock="${SYSTEM_ROOT:-}/run/lock/n2wbackup-system-packages"

missing() {
    local package status
    for package in "${packages[@]}"; do
        # shellcheck disable=SC2016  # the braces are for dpkg-query, not for the shell
        status="$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" || status=unknown
        [[ "$status" == installed ]] || echo "$package"
    done
}

give_up() {
    echo "system packages: $1; missing: ${wanted[*]}." \
        "Install them by hand, or the tests that need them are skipped." >&2
    [[ "${CI:-}" != true ]] || exit 1
    exit 0
}

# A killed run may have left its policy behind: the next holder of the lock restores the old one.
restore() {
    if grep -qs "$our_mark" "$policy"; then
        rm -f "$policy"
    fi
    if [[ -e "$kept_policy" || -L "$kept_policy" ]]; then
        mv -f "$kept_policy" "$policy"
    fi
    rm -f "$cluster_settings"
}

forbid_starting() {
    mkdir -p "$(dirname "$policy")" "$(dirname "$cluster_settings")"
    if [[ -e "$policy" || -L "$policy" ]]; then
        mv "$policy" "$kept_policy"
    fi
    printf '#!/bin/sh\n# %s\nexit 101\n' "$our_mark" >"$policy"
    chmod 755 "$policy"
    echo "create_main_cluster = false" >"$cluster_settings"
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        "$@" >/dev/null
}

install_wanted() {
    # The present package lists may be enough; they are fetched only if not.
    apt install --yes --no-install-recommends "${wanted[@]}" 2>/dev/null ||
        { apt update && apt install --yes --no-install-recommends "${wanted[@]}"; }
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    wanted=("${packages[@]}")
    give_up "this machine has no apt, so nothing was installed"
fi
mapfile -t wanted < <(missing)
if [[ ${#wanted[@]} -eq 0 && ! -e "$cluster_settings" ]]; then
    exit 0
fi
if [[ "$(id -u)" != 0 ]]; then
    sudo -n true 2>/dev/null ||
        give_up "installing needs root, and sudo does not work without a password"
    exec sudo -n env CI="${CI:-}" "$(realpath "$0")"
fi

mkdir -p "$(dirname "$lock")"
exec 9>"$lock"
flock 9
# The script handles a signal after apt has ended: if the policy went earlier, services would start.
trap 'exit 1' HUP INT TERM
trap restore EXIT
restore
mapfile -t wanted < <(missing) # another run may have installed them during the wait
if [[ ${#wanted[@]} -gt 0 ]]; then
    echo "system packages: installing ${wanted[*]}"
    forbid_starting
    install_wanted 9>&- || true
    mapfile -t wanted < <(missing)
fi
if [[ ${#wanted[@]} -gt 0 ]]; then
    give_up "apt could not install everything"
fi
