# shellcheck shell=sh disable=SC2034,SC2154  # a part of the wrapper: see setting.sh
# Output that is on its way is kept; a child that was left behind keeps nobody longer than a second.
settle() {
    for catcher in $catchers; do
        for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            [ ! -e "$folder/${catcher%:*}.done" ] || continue 2
            sleep 0.05
        done
        kill -s KILL -- "-${catcher#*:}"
    done
    catchers=''
} 2>/dev/null

fetch() {
    [ -n "$over" ] || return 0
    settle
    out before 1
    out after 1
    [ "$attempt" -le 1 ] || out after "$attempt"
    say out end 0 0 0
}

# What is left is what a second start, or a second session, must find.
forget() {
    for entry in "$folder"/*; do
        case ${entry##*/} in log | over | lock) ;; *) rm -rf "$entry" ;; esac
    done
}

size() {
    bytes=0
    [ ! -f "$1" ] || bytes=$(wc -c <"$1")
    bytes=$((bytes))
}

# What is kept behind the first so many bytes.
behind() { # file head former current
    tail -c "+$(($2 + 1))" "$1.head"
    for piece in "$1.$3" "$1.$4"; do [ ! -f "$piece" ] || cat "$piece"; done
}

out() { # phase attempt [at most so many bytes of each end]
    for stream in stdout stderr; do
        file=$folder/$1.$2.$stream n=0 sum=0 half=${3:-$n2w_half}
        [ ! -s "$file.n" ] || read -r n sum <"$file.n"
        size "$file.head" && head=$bytes total=$((bytes + sum))
        size "$file.$((n % 2))" && total=$((total + bytes))
        if [ "$head" -gt "$half" ]; then head=$half; fi
        tail=$((total - head))
        if [ "$tail" -gt "$half" ]; then tail=$half; fi
        say out "$1.$2.$stream" "$((head + tail))" "$head" "$((total - head - tail))"
        [ "$head" = 0 ] || head -c "$head" "$file.head"
        [ "$tail" = 0 ] || behind "$file" "$head" "$(((n + 1) % 2))" "$((n % 2))" | tail -c "$tail"
    done 2>/dev/null
}
