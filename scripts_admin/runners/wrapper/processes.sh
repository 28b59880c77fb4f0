# shellcheck shell=sh disable=SC2034,SC2154  # a part of the wrapper: see setting.sh
# Background jobs keep nothing of main's that would hide its death, nor the channel. They close it by exec: for a
# function with redirections, dash keeps what they replace. They open pipes anew through /proc, each end alone: the
# folder may have been tidied away.
read_channel() {
    exec <&2 >/dev/null 2>&1 3>/proc/self/fd/3 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
    while read -r line; do printf 'in %s\n' "$line" >&3 || exit; done
    echo eof >&3
}

tick() {
    exec >/dev/null 2>&1 3>/proc/self/fd/3 6</proc/self/fd/6 4>&- 5>&- 7>&- 8>&- 9>&-
    while read -r pause <&6; do
        sleep "$pause" || sleep 1
        echo tick >&3 || exit
    done
}

# At the gate: told to start by a line with its number, gone at the end of file.
# shellcheck disable=SC2016
at_gate='echo "up $1 $2 $$" >&3
while read -r n left argument end <&4; do
    [ "$n $end" = "$2 end" ] || continue
    echo go >&6
    exec 3>&- 4<&- 6>&-
    export N2W_ATTEMPT="$n" N2W_SECONDS_LEFT="$left"
    shift 2
    [ "$argument" = - ] || set -- "$@" "$argument"
    exec "$@"
done'

# One stream of a script: its first piece, then two more in turn, so that the last half is always there. A piece
# has at least a half and less than two. dd writes at once what it has read, and bounds how often it reads; head
# would keep it back until the end, which a child that was left behind holds up.
# shellcheck disable=SC2016
catch='keep() {
    file=$1.head n=0 sum=0 size=0
    true >"$file" || exec cat >/dev/null
    while dd bs=4096 count="$3" >>"$file" 2>/dev/null; do
        former=$size
        size=$(($(wc -c <"$file")))
        [ "$size" -gt "$former" ] || break
        [ "$size" -ge "$2" ] || continue
        [ "$file" = "$1.head" ] || n=$((n + 1)) sum=$((sum + size))
        file=$1.$((n % 2)) size=0
        true >"$file"
        echo "$n $sum" >"$1.n"
    done
    exec cat >/dev/null
}
exec 4<&0
keep "$1.stdout" "$2" "$3" <&4 4<&- 3<&- &
keep "$1.stderr" "$2" "$3" <&3 4<&- 3<&- &
exec 3<&- 4<&- </dev/null
wait
echo done >"$1.done"'

script() { # phase attempt: becomes the script's process, at its gate
    trap - HUP INT TERM PIPE
    eval "kind=\$n2w_$1_kind file=\$n2w_$1 name=\$n2w_$1_name interpreter=\$n2w_$1_interpreter
        option=\$n2w_$1_option timeout=\$n2w_$1_timeout"
    phase=$1 number=$2
    if [ "$kind" = path ]; then
        set -- "$file"
    else
        set -- "$interpreter" ${option:+"$option"} "$folder/scripts/$name"
    fi
    cd "$folder/scripts" || cd /
    umask "$mask"
    exec >/proc/self/fd/5 2>/proc/self/fd/6
    exec 4</proc/self/fd/4 5>&- 6>/proc/self/fd/8 7>&- 8>&- 9>&-
    n2w_with N2W_PHASE="$phase" N2W_TIMEOUT_SECONDS="$((timeout / 100))" N2W_REMOTE="$n2w_nonce.$phase" \
        "$setsid" "$sh" -c "$at_gate" "n2w-$phase" "$phase" "$number" "$@"
}

# Starts the script's process, catches its output, tells its end. Here 4 is its gate, 5 and 6 are its output,
# 8 tells that it was let go.
attend() { # phase attempt
    if [ "$1" = after ]; then exec 4<&5; else exec 7>&-; fi
    exec </dev/null >/dev/null 2>&1 3>/proc/self/fd/3
    exec 5<>"$folder/$1.out" 6<>"$folder/$1.err" 8<>"$folder/$1.wake"
    script "$1" "$2" &
    pid=$!
    exec 4>&- 8</proc/self/fd/8
    if read -r _ <&8; then
        exec 4</proc/self/fd/5 8</proc/self/fd/6
        { # later: what starts here would take turns with the script's own start, and with our answer
            sleep 0.05
            exec "$setsid" "$sh" -c "$catch" n2w-catch "$folder/$1.$2" "$n2w_half" "$((n2w_half / 4096))"
        } <&4 3<&8 4<&- 5>&- 6>&- 7>&- 8<&- 9>&- &
        note "-catch $1.$2 $!"
        echo "catch $1.$2 $!" >&3
        exec 4<&- 5>&- 6>&- 8<&-
        wait "$pid"
        result=$?
        clock
        note "-ended $1 $2 $result $up"
        echo "ended $1 $2 $result $up" >&3
    else
        echo "lost $1 $2" >&3
    fi
}

stand() { # phase attempt
    attend "$1" "$2" &
}

# Every process that bears the phase's mark: one that left its group is found, too.
sweep() { # phase
    exec 7>&- 8>&- 9>&-
    rounds=0 found=yes
    while [ -n "$found" ] && [ "$rounds" -lt 50 ]; do
        [ "$rounds" = 0 ] || sleep 0.02
        rounds=$((rounds + 1)) found=''
        for process in $(marked "N2W_REMOTE=$n2w_nonce.$1"); do
            kill -KILL "$process" 2>/dev/null && found=yes
        done
    done
    echo swept >&3
    echo swept >"$folder/swept"
}

# Prints the processes with this in their environment. Some greps of busybox see nothing behind a
# NUL, and none of them with -F.
marked() {
    if printf 'a\0b' | grep -q b; then
        grep -ls "$1" /proc/[0-9]*/environ
    else
        for file in /proc/[0-9]*/environ; do
            [ ! -r "$file" ] || ! tr '\0' '\n' <"$file" | grep -qxF "$1" || echo "$file"
        done
    fi 2>/dev/null | while IFS=/ read -r _ _ process _; do echo "$process"; done
}

# Main's place, when main dies. All pipes are held here, too: reader, ticker and gates are still there. Of
# the word that main read when it died, a part may be missing: the log, the ticker's next order and the silence
# make up for each.
inherit() {
    exec </dev/null 2>/dev/null 8</proc/self/fd/8
    echo "up heir 0" >&3
    read -r _ <&8
    exec 8<&-
    recall /proc/self/fd/9
    [ -z "$left" ] || exit 0
    [ -z "$over" ] || leave
    clock
    heard=$now
    if [ -z "$went" ]; then
        finish never
    elif [ -z "$by" ]; then
        thaw orphan 0
    else
        resume
    fi
    arm
    loop
}

# What happened, from the log.
recall() { # log
    while read -r word a b c d; do
        case $word in
        -up) if [ "$a" = before ]; then before_pid=$c; else standing=$b after_pid=$c; fi ;;
        -main) main=$a heir=$b ;;
        -catch) catchers="$catchers $a:$b" ;;
        go) went=$a freeze_at=$b before_at=$c running=before ;;
        -ended)
            running=''
            if [ "$a" = before ]; then code=$c; else last=$c; fi
            ;;
        before)
            running='' code=$a
            case $a in timeout | cut) again_at=$c ;; esac
            ;;
        thawing) by=$a argument=$b ;;
        -after) attempt=$a started=$b retry_until=$c running=after last='' told='' ;;
        after) running='' last=$b told=yes ;;
        over) over=$a ;;
        -left) left=yes ;;
        esac
    done <"$1"
}

# Goes on with a thaw that somebody began.
resume() {
    if [ "$running" = after ]; then
        after_at=$((started + n2w_after_timeout))
        let_go 0 # main may have died before it did; it is read once
    elif [ "$running" = before ]; then
        end cut
    elif [ -z "$last" ]; then
        run_after
    elif [ -n "$told" ]; then
        plan "$last"
    else
        after_ended "$last"
    fi
}
