# shellcheck shell=sh disable=SC2034,SC2154  # a part of the wrapper: see setting.sh
go() {
    [ -z "$went$over" ] && [ -n "$ready" ] || return 0
    until=${1%.*}${1#*.}
    case $until in '' | *[!0-9]*) until=0 ;; esac
    if [ "$until" -lt "$now" ]; then
        tell refused late-go
        finish never
    fi
    went=$now freeze_at=$((now + n2w_freeze)) before_at=$((now + n2w_before_timeout))
    note "go $went $freeze_at $before_at"
    if [ -z "$n2w_before_kind" ]; then
        code=0
        tell before 0 "$up"
        return
    fi
    running=before
    echo "1 $((n2w_freeze / 100)) - end" >&4
}

# The first to begin is named. A before that runs is ended first.
thaw() { # by argument
    [ -z "$by$over" ] || return 0
    if [ -z "$went" ]; then
        finish never
    fi
    by=$1 argument=0
    [ "$2" != 1 ] || [ "$code" != 0 ] || argument=1
    note "thawing $by $argument $up"
    retry_until=$((now + n2w_retry))
    if [ "$running" != before ]; then
        run_after
        say "thawing $by $argument $up"
    else
        say "thawing $by $argument $up"
        [ -n "$ending" ] || end cut
    fi
}

run_after() {
    retry_at=''
    if [ -z "$n2w_after_kind" ]; then
        finish "$by"
        return
    fi
    attempt=$((attempt + 1)) running=after ending='' started=$now after_at=$((now + n2w_after_timeout))
    note "-after $attempt $started $retry_until"
    left=$((freeze_at > now ? (freeze_at - now) / 100 : 0))
    let_go "$left"
}

# The line has an end of its own: of one that died while it read, the rest is no order.
let_go() { echo "$attempt $1 $argument end" >&5; }

after_ended() { # code
    running='' ending='' after_at='' kill_at='' quit_at=''
    tell after "$attempt" "$1" "$by"
    plan "$1"
}

# What follows an after that ended with this code.
plan() {
    if [ "$1" = 0 ]; then
        if [ -z "$again_at" ] || [ "$started" -ge "$again_at" ]; then
            finish "$by"
            return
        fi
        # before did not end by itself: something may freeze late, so after runs once more.
        retry_at=$again_at argument=0
    else
        case $attempt in 1) pause=100 ;; 2) pause=200 ;; 3) pause=500 ;; 4) pause=1000 ;; 5) pause=3000 ;; *) pause=6000 ;; esac
        retry_at=$((now + pause))
        if [ "$retry_at" -gt "$retry_until" ]; then
            finish "$by"
            return
        fi
    fi
    [ "$standing" -gt "$attempt" ] || renew
}

# The next attempt's process at its gate; the last one's output is not mixed with it.
renew() {
    standing=$((attempt + 1))
    if [ ! -d "$folder/scripts" ]; then # somebody has tidied up
        mkdir -p "$folder" "$folder/scripts"
        carry after "$n2w_after_kind" "$n2w_after_name" "$n2w_after"
    fi
    replace after "$standing"
}

replace() { # phase attempt
    rm -f "$folder/$1.out" "$folder/$1.err" "$folder/$1.wake"
    mkfifo "$folder/$1.out" "$folder/$1.err" "$folder/$1.wake"
    [ -p "$folder/$1.gate" ] || mkfifo "$folder/$1.gate"
    stand "$1" "$2"
}

# A script's process died at its gate.
lost() { # phase attempt
    if [ "$1" = after ]; then
        [ "$2" = "$standing" ] || return 0
        replace after "$2"
        [ "$running" != after ] || let_go 0
    elif [ "$running" = before ]; then
        script_ended before 1 137 "$up"
    else
        tell refused "the process of before was ended at its gate"
        finish never
    fi
}

group_of() { if [ "$1" = before ]; then group=$before_pid; else group=$after_pid; fi; }

# Ends the running script: TERM, a second later KILL, then everyone who bears its mark.
end() { # timeout or cut
    ending=$1 ended='' swept=''
    group_of "$running"
    [ -n "$group" ] || ended=yes
    if [ -n "$group" ] && kill -s TERM -- "-$group" 2>/dev/null; then
        kill_at=$((now + n2w_grace))
    else
        slay
    fi
}

slay() {
    kill_at='' quit_at=$((now + n2w_last))
    group_of "$running"
    [ -z "$group" ] || kill -s KILL -- "-$group" 2>/dev/null
    sweep "$running" &
}

# The script was ended: it and all its children are dead, or were killed and can do nothing more.
gone() {
    kill_at='' quit_at=''
    if [ "$running" = after ]; then
        after_ended "$ending"
        return
    fi
    running='' code=$ending before_at=''
    again_at=$((now + n2w_before_timeout))
    note "before $code $up $again_at"
    say "before $code $up"
    ending=''
    [ -z "$by" ] || run_after
}

script_ended() { # phase attempt code uptime
    if [ "$1" != "$running" ] || { [ "$1" = after ] && [ "$2" != "$attempt" ]; }; then
        return
    elif [ -n "$ending" ]; then
        ended=yes
        [ -z "$kill_at" ] || slay
        [ -z "$swept" ] || gone
    elif [ "$1" = after ]; then
        after_ended "$3"
    else
        running='' code=$3 before_at=''
        tell before "$code" "$4"
    fi
}

finish() { # by whom
    over=$1
    echo "$over" >"$folder/over"
    tell over "$over"
    case $over,$n2w_mode,$eof in never,* | *,ssm-?,* | *,yes) leave ;; esac
}

# Everybody else goes by the end of main's pipes; the reader waits for the channel.
leave() {
    settle
    note -left
    [ -z "$reader" ] || kill -KILL "$reader" 2>/dev/null
    [ -z "$ticker" ] || kill -KILL "$ticker" 2>/dev/null
    exit 0
}
