# shellcheck shell=bash disable=SC2154 # the settings come from application.conf
# The hooks: what to do with YOUR application. As delivered they do it with two files: the application looks for
# $maintenance_file before each write, makes $stopped_file once it has stopped, and removes that when it goes on.
#
# They succeed with 0 and fail with anything else; what they print is in the run's page. All of them
#   - may be called twice, and when there is nothing to do;
#   - may be called by three processes: before, after, and the one that thaws at the deadline;
#   - must not wait for something that the freeze itself holds up (a file on a frozen file system, for example);
#   - keep passwords to files, never to command lines.

# Orders the application to stop writing. It need not wait until it has. When it fails, thaw is called.
# Others: `systemctl stop my-writer`, an HTTP call to the application, a lock that it honours.
freeze() {
  touch -- "$maintenance_file"
}

# Succeeds only while the application is really frozen. Ask the application, not what freeze left: an order is not an
# answer. It is called twice a second during the window and must be quick: after two seconds it counts as a no.
is_frozen() {
  [[ -e $maintenance_file && -e $stopped_file ]]
}

# Lets the application go on. Harmless when it was never frozen: it is called whatever has happened.
thaw() {
  rm -f -- "$maintenance_file"
}

# Brings to the disk what the application has written: called once before the freeze, so that little is left, and once
# while frozen. A snapshot has only what has reached the disk.
write_out() {
  [[ -z $data_folder ]] || sync -f -- "$data_folder"
}

# Writes $N2W_MARK, an id of the run, where a proof of the backup can find it again: called once, before the freeze. Others:
# a row in the application's own data. When it fails the run goes on, and no proof can find the mark.
write_mark() {
  [[ -n $data_folder ]] || return 0
  local file=$data_folder/n2wbackup_marks kept='' new
  [[ ! -f $file || -L $file ]] || kept=$(tail -n 99 -- "$file")
  new=$(mktemp -- "$data_folder/.n2wbackup_marks.XXXXXX") && chmod 644 -- "$new" &&
    printf '%s\n' ${kept:+"$kept"} "$N2W_MARK $EPOCHSECONDS" >"$new" && mv -fT -- "$new" "$file"
}

# After a good backup, and only then: delete what it has made superfluous. Called at most once in a run.
clean_up() {
  :
}
