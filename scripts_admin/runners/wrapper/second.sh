# shellcheck shell=sh disable=SC2034,SC2154  # a part of the wrapper: see setting.sh
# What nobody attends any more, and may still run, is ended before after runs.
end_unattended() { # phase
    rm -f "$folder/swept"
    sweep "$1" &
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ ! -e "$folder/swept" ] || return 0
        sleep 0.05
    done
}

# What is left of those who are dead may still stand at a gate: with pipes of its own, it hears nothing of us, and we
# nothing of it. It goes at the end of file. Never is one of them missing: somebody else may be about to call.
pipes_anew() {
    for pipe in q t m before.gate after.gate; do
        rm -f "$folder/$pipe.new"
        mkfifo "$folder/$pipe.new" && mv -f "$folder/$pipe.new" "$folder/$pipe"
    done
}

# Nobody is alive: this process becomes main, with what the log knows.
take_over() {
    role=rescue
    open
    clock
    freeze_at=$((now + n2w_freeze)) before_at='' # the deadline of the first is over, or was
    if [ "$running" = before ]; then
        end_unattended before
        code=cut before_at='' again_at=$((now + n2w_before_timeout))
        note "before cut $up $again_at"
        say "before cut $up"
    elif [ "$running" = after ]; then
        end_unattended after
    fi
    [ -n "$went" ] || note "go $now $now $now"
    went=${went:-$now} running='' before_pid='' after_pid=''
    assemble
    loop
}

# Called when after stands at its gate.
rescue() {
    if [ "$running" = after ]; then
        return # another session has said so already
    elif [ -z "$by" ]; then
        thaw orphan 0
    elif [ -n "$told" ]; then
        plan "$last"
    elif [ -n "$last" ]; then
        after_ended "$last" # its waiter told the log, and nobody us
    else
        run_after
    fi
}

# Tells the log's lines that were not told yet; those behind a "-", and go, are the log's own.
replay() {
    line=0
    while read -r word rest; do
        line=$((line + 1))
        [ "$line" -gt "$told_lines" ] || continue
        told_lines=$line
        case $word in
        -* | go) continue ;;
        thawing) thaws=yes ;;
        after) [ "$n2w_mode" != ssm-b ] || enough=yes ;;
        over) over=$rest enough=yes ;;
        before)
            # shellcheck disable=SC2086  # a list
            set -- $rest
            rest="$1 $2"
            ;;
        esac
        say "$word" "$rest"
    done <"$folder/log"
}

# Only to those who still are what the log says.
signal() {
    for process in $main $heir; do
        [ ! "/proc/$process/fd/7" -ef "$folder/lock" ] || kill -s "$1" "$process"
    done
}

# Follows a live wrapper to its end, or for so long as we were told; fails when nobody is alive any more. A wrapper
# that does not hear us within two seconds is ended.
follow() {
    clock
    since=$now pause=0.05
    while replay && [ -z "$enough" ]; do
        sleep "$pause"
        clock
        [ $((now - since)) -lt "$n2w_wait" ] || return 0
        # One that was started a moment ago is given time to take the lock.
        if { [ -z "$begun" ] || [ $((now - since)) -gt 200 ]; } && flock -n 7; then
            locked=yes
            replay
            [ -n "$enough" ] || return 1
        fi
        # One that took the lock after we looked has not been told.
        [ "$n2w_urge" != 1 ] || [ -n "$thaws" ] || [ ! -p "$folder/q" ] || call "$n2w_argument" "$n2w_by"
        [ $((now - since)) -gt 200 ] || continue
        pause=0.25
        [ "$n2w_urge" = 1 ] || continue
        if [ -z "$thaws" ]; then signal KILL; else signal CONT; fi
    done
}

# Wakes whoever was stopped, and passes the order on. The pipe is opened both ways, so nobody waits.
call() { # argument by
    signal CONT
    echo "call $1 $2" 1<>"$folder/q"
} 2>/dev/null

# Sets catchers to those of the outputs that are shown: whoever was caught after we looked is in the log by now. A
# later attempt may be running, and keeps its own.
printed() {
    catchers=''
    while read -r word a b; do
        case $word,$a in -catch,before.1 | -catch,after.1) catchers="$catchers $a:$b" ;; esac
    done <"$folder/log"
}

show() {
    if [ "$n2w_mode" = ssm-b ]; then
        # After has ended: that it is over is told a moment later, if it is.
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            [ -z "$over" ] || break
            sleep 0.05
            replay
        done
        printed
        settle
        out before 1 "$n2w_show"
        out after 1 "$n2w_show"
        say out end 0 0 0
        exit 0
    fi
    while read -r word a; do
        clock
        case $word in
        ping) say pong "$a" "$up" ;;
        fetch) fetch ;;
        bye)
            forget
            break
            ;;
        esac
    done
    exit 0
}

# A process that no session's end reaches: it has the program from the folder.
detach() { # role
    printf %s "$n2w_text" | n2w_unpacked >"$folder/program" || refuse 'base64 or gzip is not on this instance'
    detached "$1" &
}

detached() {
    trap - HUP INT TERM PIPE
    exec </dev/null 2>/dev/null 5>&- 7>&- 8>&- # 8 is the agent's
    # shellcheck disable=SC2016
    exec "$setsid" "$sh" -c 'n2w_role=$1 n2w_folder=$2; . "$2/program"' n2w "$1" "$folder"
}

# Whoever makes the folder has the lock a moment later, and then says so in the log: so young a run is not dead. SSM
# may start both commands at once. The lock is not tried meanwhile: whoever needs it would find it taken, and give up.
await_main() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ ! -e "$folder/over" ] || return 0
        ! grep -q '^-main' "$folder/log" 2>/dev/null || return 0
        sleep 0.1
    done
}

# Sets state, and has the folder then. Fails if another session makes it at this moment, and so has to be looked at.
look() {
    state=absent
    if find_folder; then
        await_main
        recall "$folder/log"
        if lock; then state=dead; else state=live; fi
        [ -z "$over" ] || state=over
        return
    elif [ -n "$n2w_boot" ] && [ "$n2w_boot" != "$boot" ]; then
        state=rebooted
    fi
    make_folder
}

second() {
    told_lines=0 thaws='' enough='' begun=''
    until look; do sleep 0.05; done
    say look "$state" "$boot" "$up"
    if [ "$state,$n2w_absent" = absent,tombstone ]; then
        exec 9>>"$folder/log"
        finish never
    fi
    case $state in
    absent | rebooted) lock || state=live ;; # another session was faster
    live) [ "$n2w_urge" != 1 ] || call "$n2w_argument" "$n2w_by" ;;
    esac
    case $state in over | live) ;; *) succeed ;; esac
    until follow; do succeed; done
    [ -z "$over" ] || show
    [ "$n2w_mode" != ssm-b ] || show
}

# Nobody is alive, and it is not over.
succeed() {
    replay
    [ -z "$over" ] || return 0 # it ended between two looks
    n2w_by=orphan n2w_argument=0 # whoever thaws from now on does not do it because the worker said so
    recall "$folder/log"
    if [ "$n2w_mode" = ssm-b ]; then
        exec 7>&- 8>&1 >/dev/null
        locked=''
        begun=yes
        detach rescue
        exec >&8 8>&- 7>>"$folder/lock"
    else
        take_over
    fi
}
