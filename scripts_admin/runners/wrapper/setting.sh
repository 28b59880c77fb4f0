#!/bin/sh
# The far side of a remote script: it runs on the instance, and it is the clock of its own window.
#
# `far.py` sends it behind assignments (n2w_...), through the channel itself: nothing is installed. Both
# scripts stand at gates before the window opens. Guarantees: before starts at most once; whenever before was
# started, after is started too, whatever dies; two afters never run at a time; no process is left behind.
# Nothing here writes to a disk or waits for somebody who may: the disk may be the frozen one. Times are
# hundredths of a second of /proc/uptime.
#
# Processes: main (the loop; only it decides), heir (takes main's place if main dies), reader (channel to
# queue), ticker (time to queue), and for each script a waiter and the script's own process at its gate.
# They talk through one queue, q. All hold pipes of each other, so that a death is an end of file.
#
# Descriptors: 1 channel, 3 q, 4 gate of before, 5 gate of after, 6 the ticker's orders, 7 the far lock,
# 8 main's life, 9 the log. The log has what was told (and, behind a "-", what was not): `look` reads it.
# This file and those that `far.py` names behind it are one text.
# shellcheck disable=SC2034,SC2154  # n2w_... are assigned by the program that this text is the end of
mask=$(umask) # the scripts get it back
umask 077
export LC_ALL=C
trap '' HUP INT TERM PIPE
cd /

role=${n2w_role:-$n2w_mode} folder=${n2w_folder:-} uid=$(id -u)
went='' code='' by='' argument=0 attempt=0 standing=0 running='' ending='' over='' started='' asked=''
freeze_at='' before_at='' after_at='' kill_at='' quit_at='' retry_at='' retry_until='' again_at=''
ended='' swept='' up_before='' up_after='' up_heir='' before_pid='' after_pid='' catchers='' ready=''
main=$$ heir='' reader='' ticker='' last='' told='' eof='' locked='' left=''

clock() {
    read -r up _ </proc/uptime
    now=${up%.*}${up#*.}
}

say() { printf 'n2w1 %s %s\n' "$n2w_nonce" "$*" 2>/dev/null; }
note() { printf '%s\n' "$*" >&9; } 2>/dev/null
tell() {
    note "$*"
    say "$*"
}

refuse() {
    say "refused $*"
    exit 3
}
