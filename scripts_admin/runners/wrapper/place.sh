# shellcheck shell=sh disable=SC2034,SC2154  # a part of the wrapper: see setting.sh
# Succeeds if $1 is where a writable tmpfs is mounted; what is mounted last on a place is what one sees.
on_tmpfs() {
    verdict=1
    while read -r _ where type options _; do
        [ "$where" = "$1" ] || continue
        case $type,$options in
        tmpfs,rw | tmpfs,rw,*) verdict=0 ;;
        *) verdict=1 ;;
        esac
    done </proc/mounts
    [ "$verdict" = 0 ] && [ -d "$1" ] && [ ! -L "$1" ] && [ -w "$1" ]
}

# Sets bases: the places that may hold the folder, the best one first. /run/user goes when its user logs out.
find_bases() {
    bases=''
    set -- /dev/shm
    [ "$uid" != 0 ] || set -- /run /dev/shm
    [ ! -e "/var/lib/systemd/linger/$(id -un)" ] || set -- "$@" "/run/user/$uid"
    while read -r _ where type _; do
        case $type,$where in
        tmpfs,*[!A-Za-z0-9/_.-]* | tmpfs,/run/user/*) ;;
        tmpfs,*) set -- "$@" "$where" ;;
        esac
    done </proc/mounts
    # shellcheck disable=SC2086  # a list
    [ -z "${n2w_only:-}" ] || set -- $n2w_only
    for place; do
        case " $bases " in *" $place "*) continue ;; esac
        on_tmpfs "$place" && bases="$bases $place"
    done
}

# Succeeds if $1 is a folder of this account alone: its name may have been taken by somebody else.
is_ours() {
    [ -d "$1" ] && [ ! -L "$1" ] || return 1
    # shellcheck disable=SC2046  # mode, links, owner
    set -- $(ls -ldn "$1")
    case $1,$3 in "drwx------,$uid" | "drwx------"?",$uid") return 0 ;; esac
    return 1
}

is_there() { [ -e "$1" ] || [ -L "$1" ]; }

# Sets folder to the run's folder if it exists.
find_folder() {
    if [ -z "$folder" ] || ! is_there "$folder"; then
        folder=''
        for place in $bases; do
            ! is_there "$place/n2w-$n2w_nonce" || folder=$place/n2w-$n2w_nonce
        done
        [ -n "$folder" ] || return 1
    fi
    is_ours "$folder" || refuse "$folder belongs to somebody else or is open to others"
}

# Makes the folder: whoever makes it runs the scripts, and nobody makes it twice. Fails if another session was faster.
make_folder() {
    problem='no tmpfs that can be written to is mounted (such as /dev/shm)'
    for place in $bases; do
        folder=$place/n2w-$n2w_nonce
        mkdir -m 700 "$folder" 2>/dev/null || {
            ! is_there "$folder" || return 1
            problem="$place is full"
            continue
        }
        is_ours "$folder" && fill_folder 2>/dev/null && return 0
        problem="$place is full"
        rm -rf "$folder"
    done
    refuse "the scripts need a little memory: $problem"
}

fill_folder() {
    mkdir "$folder/scripts" && : >"$folder/lock" && echo "-made $now" >"$folder/log" &&
        mkfifo "$folder/q" "$folder/t" "$folder/m" && pipes before && pipes after &&
        carry before "$n2w_before_kind" "$n2w_before_name" "$n2w_before" &&
        carry after "$n2w_after_kind" "$n2w_after_name" "$n2w_after"
}

pipes() { mkfifo "$folder/$1.gate" "$folder/$1.out" "$folder/$1.err" "$folder/$1.wake"; }

# Writes a carried script; its text is a format of printf, so that any byte passes every shell.
carry() {
    [ "$2" = text ] || return 0
    # shellcheck disable=SC2059  # the text is the format
    printf "$4" >"$folder/scripts/$3"
}

# Old runs' folders stay for a day: they are what keeps a run from starting twice, and have its outputs.
clean_up() {
    # shellcheck disable=SC2086  # a list
    find $bases -maxdepth 2 -path '*/n2w-*/over' -user "$uid" -mmin +1440 2>/dev/null | while read -r old; do
        ! is_ours "${old%/over}" || rm -rf "${old%/over}"
    done
}

# Refuses a phase whose script could not start.
fit() { # phase kind script interpreter option
    case $2 in
    text)
        [ -x "$4" ] || refuse "$1 needs $4, which is not on this instance"
        case $4,$5 in
        */env, | */env,-*) ;;
        */env,*) (PATH=$n2w_path && command -v "$5" >/dev/null) || refuse "$1 needs $5, which is not on this instance" ;;
        esac
        ;;
    path)
        [ -f "$3" ] || refuse "$1: $3 does not exist on this instance, or $(id -un) may not see it"
        [ -x "$3" ] || refuse "$1: $(id -un) may not execute $3 (no permission, or mounted noexec)"
        ;;
    esac
}

tools() {
    setsid=$(command -v setsid) || refuse 'setsid is not on this instance (package util-linux)'
    sh=$(command -v sh) || refuse 'sh is not on this instance'
    signals='' # a background job ignores INT and QUIT, and a shell keeps what it finds ignored; env can undo it
    # shellcheck disable=SC2034  # n2w_with takes it
    ! env --default-signal=INT true 2>/dev/null || signals=--default-signal=HUP,INT,QUIT,TERM,PIPE
    for tool in flock mkfifo mv sleep grep dd tail wc env; do
        command -v "$tool" >/dev/null || refuse "$tool is not on this instance"
    done
}
