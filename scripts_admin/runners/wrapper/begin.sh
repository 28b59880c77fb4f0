# shellcheck shell=sh disable=SC2034,SC2154  # a part of the wrapper: see setting.sh
prepare() {
    clean_up
    fit before "$n2w_before_kind" "$n2w_before" "$n2w_before_interpreter" "$n2w_before_option"
    fit after "$n2w_after_kind" "$n2w_after" "$n2w_after_interpreter" "$n2w_after_option"
    if find_folder || ! make_folder; then refuse 'this run was started here before'; fi
}

# SSM's first command: it ends the moment before ends, and the wrapper lives on with its deadline.
first_command() {
    prepare
    mkfifo "$folder/front"
    exec 6<>"$folder/front" 8>&1
    # shellcheck disable=SC2094  # a pipe
    exec 5<"$folder/front" >"$folder/front" 6>&-
    detach armed
    exec >&8 8>&-
    while read -r line <&5; do
        printf '%s\n' "$line"
        case $line in "n2w1 $n2w_nonce "*" "*) ;; *) continue ;; esac
        line=${line#"n2w1 $n2w_nonce "}
        case $line in before\ * | refused\ * | over\ *) exit 0 ;; esac
    done
    exit 3
}

clock
read -r boot </proc/sys/kernel/random/boot_id
tools
find_bases
case $role in
ssh)
    prepare
    open
    assemble
    loop
    ;;
armed)
    open
    assemble
    loop
    ;;
rescue)
    recall "$folder/log"
    take_over
    ;;
ssm-a) first_command ;;
*) second ;;
esac
