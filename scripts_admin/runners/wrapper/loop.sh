# shellcheck shell=sh disable=SC2034,SC2154  # a part of the wrapper: see setting.sh
# What is due at this moment; before every word, so that a word that waited in the queue is not first.
due() {
    clock
    if [ -n "$over" ]; then return; fi
    if [ -z "$went" ]; then
        [ "$now" -lt "$gate_at" ] || finish never
        return
    fi
    if [ -z "$by" ] && [ "$now" -ge "$freeze_at" ]; then thaw deadline 0; fi
    if [ -z "$ending" ]; then
        if [ "$running" = before ] && [ "$now" -ge "$before_at" ]; then end timeout; fi
        if [ "$running" = after ] && [ "$now" -ge "$after_at" ]; then end timeout; fi
    fi
    if [ -n "$kill_at" ] && [ "$now" -ge "$kill_at" ]; then slay; fi
    if [ -n "$quit_at" ] && [ "$now" -ge "$quit_at" ]; then gone; fi
    if [ -n "$retry_at" ] && [ "$now" -ge "$retry_at" ]; then run_after; fi
}

# Sets the ticker: to the next moment at which something is due, and a second at most.
arm() {
    pause=$n2w_tick ticked=$now
    [ -n "$went" ] || set -- "$gate_at"
    [ "$n2w_silence" = 0 ] || set -- "$@" $((heard + n2w_silence))
    for moment in "$@" $freeze_at $before_at $after_at $kill_at $quit_at $retry_at; do
        moment=$((moment - now))
        if [ "$moment" -gt 0 ] && [ "$moment" -lt "$pause" ]; then pause=$moment; fi
    done
    case $pause in
    ???) echo 1 >&6 ;;
    ?) echo "0.0$pause" >&6 ;;
    *) echo "0.$pause" >&6 ;;
    esac
}

# What came before this mark was not silence: it only waited in the queue.
listen() {
    if [ "$n2w_silence" = 0 ] || [ -n "$asked" ] || { [ -n "$by" ] && [ -z "$over" ]; }; then return; fi
    if [ $((now - heard)) -ge "$n2w_silence" ]; then
        asked=$heard
        echo check >&3
    fi
}

word() { # what we were told
    heard=$now
    case $1 in
    ping) say pong "$2" "$up" ;;
    go) go "$2" ;;
    thaw) thaw worker "$2" ;;
    fetch) fetch ;;
    bye)
        if [ -n "$over" ]; then
            forget
            leave
        elif [ -z "$went" ]; then
            finish never
        else
            thaw eof 0
        fi
        ;;
    esac
}

loop() {
    while read -r word a b c d <&3; do
        due
        case $word in
        in)
            # A dead ticker is replaced: who tells us anything tells us the time, too.
            if [ $((now - ticked)) -gt $((n2w_tick + 200)) ]; then beat; fi
            word "$a" "$b"
            ;;
        call) thaw "$b" "$a" ;;
        ended) script_ended "$a" "$b" "$c" "$d" ;;
        catch) catchers="$catchers $a:$b" ;;
        swept)
            swept=yes
            if [ -n "$ending" ] && [ -n "$ended" ]; then gone; fi
            ;;
        up) stands "$a" "$b" "$c" ;;
        lost) [ -n "$over" ] || lost "$a" "$b" ;;
        tick)
            listen
            arm
            ;;
        check)
            if [ "$asked" = "$heard" ]; then
                [ -z "$over" ] || leave
                thaw silence 0
            fi
            asked=''
            ;;
        eof)
            [ -z "$over" ] || leave
            eof=yes
            thaw eof 0
            ;;
        esac
    done
}

beat() {
    tick &
    ticker=$!
    arm
}

stands() { # who attempt pid
    case $1 in
    before) up_before=yes before_pid=$3 ;;
    after) up_after=yes after_pid=$3 ;;
    heir) up_heir=yes ;;
    esac
    [ "$1" = heir ] || note "-up $1 $2 $3"
    if [ -z "$ready" ] && [ -n "$up_heir" ] && [ -n "$up_before" ] && [ -n "$up_after" ]; then
        ready=yes
        if [ "$role" = rescue ]; then
            rescue
            return
        fi
        tell ready "$$" "$boot" "$up" "$folder"
        [ "$role" != armed ] || go "$up"
    fi
}

# To open it anew would let it go.
lock() {
    exec 7>>"$folder/lock"
    flock -n 7 && locked=yes
}

# Opens the pipes; the channel is read from the start.
open() {
    [ -n "$locked" ] || lock || refuse 'another process has the lock of this run'
    [ "$role" != rescue ] || pipes_anew
    exec 3<>"$folder/q" 4<>"$folder/before.gate" 5<>"$folder/after.gate" 6<>"$folder/t" \
        8<>"$folder/m" 9>>"$folder/log"
}

assemble() {
    clock
    heard=$now gate_at=$((now + n2w_gate))
    if [ "$n2w_mode" = ssh ] || [ "$n2w_mode" = look ]; then
        exec 2<&0 # a background job's own input is /dev/null
        read_channel &
        reader=$!
    fi
    exec </dev/null
    tick &
    ticker=$!
    if [ -n "$n2w_before_kind" ] && [ "$role" != rescue ]; then stand before 1; else up_before=yes; fi
    standing=$((attempt + 1))
    if [ -n "$n2w_after_kind" ]; then replace after "$standing"; else up_after=yes; fi
    inherit &
    heir=$!
    note "-main $$ $heir $reader $ticker"
    exec 2>/dev/null
    arm
}
