/* SPDX-License-Identifier: MIT */
/*
 * Where a role keeps what must outlive the process: a folder of its own in the state directory
 * (server-0.0.0.0_3515), 0700, locked by one process at a time (flock on the file `lock` in it). A
 * daemon with a configuration has the directory itself, with a lock of its own.
 *
 * The state directory is --state-dir, else $STATE_DIRECTORY (systemd; its first entry), else
 * /var/lib/rstund for root, else $XDG_STATE_HOME/rstund, else ~/.local/state/rstund.
 *
 * A folder that cannot be had is no reason not to run: the caller warns with the sentence given,
 * which names what is lost, and goes on with identities that last as long as the process. A secret
 * file that others can read is one: it is refused. Main thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_DIR_ERROR_SIZE 1024
#define STATE_DIR_SECRET_BYTES 32

struct state_dir {
	char *path; /* of the role's folder, or of the directory itself */
	int fd;     /* it, open; -1 = not open */
	int lock_fd;
};

#define STATE_DIR_NONE ((struct state_dir){.path = NULL, .fd = -1, .lock_fd = -1})

/*
 * `option` is --state-dir or NULL. `name` becomes the folder's name with unsafe characters
 * replaced. RSTUN_E_PERMISSION_DENIED, RSTUN_E_ADDRESS_IN_USE (another process has the lock),
 * RSTUN_E_STATE_WRITE_FAILED, with a sentence in `error`.
 */
int state_dir_open(struct state_dir *ret, const char *option, const char *name,
		   char error[STATE_DIR_ERROR_SIZE]);
/*
 * The state directory itself, for a daemon with a configuration; roles' folders in it have locks of
 * their own. One that others can write into is refused (RSTUN_E_FILE_PERMISSIONS, with the chmod to
 * run) and not changed; one that they can read is taken, because the files in it are private.
 */
int state_dir_open_top(struct state_dir *ret, const char *option, char error[STATE_DIR_ERROR_SIZE]);
void state_dir_close(struct state_dir *dir); /* also of STATE_DIR_NONE */

/* The name in the form it has on disk: [A-Za-z0-9._-] stay, ':' and others become '_', brackets go.
 */
void state_dir_safe_name(char *buf, size_t size, const char *name);

/*
 * A new file (0600) with this content in the place of the old one, whole or not at all: temporary
 * file, fsync, rename, fsync of the directory. RSTUN_E_STATE_WRITE_FAILED: the old one is as it was
 * and the temporary one is gone.
 */
int state_dir_write(const struct state_dir *dir, const char *file, const void *data, size_t bytes,
		    char error[STATE_DIR_ERROR_SIZE]);

/*
 * Reads a secret of 32 bytes, or makes it when there is none (written to a temporary file, synced,
 * renamed). RSTUN_E_FILE_PERMISSIONS: others can read it, the sentence names the chmod to run;
 * RSTUN_E_CONFIG_INVALID: it is not 32 bytes long; RSTUN_E_STATE_WRITE_FAILED.
 */
int state_dir_secret(const struct state_dir *dir, const char *file,
		     uint8_t ret[STATE_DIR_SECRET_BYTES], bool *ret_made,
		     char error[STATE_DIR_ERROR_SIZE]);

/*
 * Binds the folder to this machine: when it was last used on another one (a cloned image), `files`
 * are removed, so that two machines never share an identity. *ret_moved tells that this happened. A
 * machine without an id is taken for the same one. `machine_id_file` is /etc/machine-id but in
 * tests.
 */
int state_dir_bind_machine(const struct state_dir *dir, const char *machine_id_file,
			   const char *const *files, size_t file_count, bool *ret_moved,
			   char error[STATE_DIR_ERROR_SIZE]);
