"""A fork bomb for the scripts of an account with a limit of processes."""

# A shell's bomb ends by itself: a shell that cannot fork gives up, and at the limit all of them may at once. Each
# process of this one tries until it is killed, so the account stays full. Whoever finds it full first says so.
_EACH = """while (1) {
    next if defined fork;
    open my $said, ">", "full" unless -e "full";
    select undef, undef, undef, 0.1;
}"""
# Lines of a bash script, which go on when the account is full; from then on the script cannot start anything.
BOMB = f"""rm -f full
perl -e '{_EACH}' >/dev/null 2>&1 &
until [[ -e full ]]; do :; done
"""
