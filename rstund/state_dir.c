/* SPDX-License-Identifier: MIT */
/*
 * The state directory. Everything below the role's folder is reached through its descriptor (openat
 * and friends), so a folder that is moved or replaced meanwhile does no harm.
 */
#include "rstund/state_dir.h"

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "tls/digest.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_DIR_LOCK_FILE "lock"
#define STATE_DIR_MACHINE_FILE "machine"
#define STATE_DIR_MACHINE_MAX 128

__attribute__((format(printf, 3, 4))) static int state_dir_fail(char error[STATE_DIR_ERROR_SIZE],
								int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, STATE_DIR_ERROR_SIZE, format, args);
	va_end(args);
	return code;
}

static int state_dir_code(int err)
{
	return err == EACCES || err == EPERM ? RSTUN_E_PERMISSION_DENIED
					     : RSTUN_E_STATE_WRITE_FAILED;
}

/* The directory above the roles' folders. False: there is no place for it, or the path is too long.
 */
static bool state_dir_base(char *buf, size_t size, const char *option)
{
	const char *from = option, *below = "";
	size_t length;
	int n;

	if (from == NULL || from[0] == '\0')
		from = getenv("STATE_DIRECTORY");
	if ((from == NULL || from[0] == '\0') && geteuid() == 0)
		from = "/var/lib/rstund";
	if (from == NULL || from[0] == '\0') {
		from = getenv("XDG_STATE_HOME");
		below = "/rstund";
		if (from == NULL || from[0] != '/') {
			from = getenv("HOME");
			below = "/.local/state/rstund";
		}
	}
	if (from == NULL || from[0] == '\0')
		return false;
	/* systemd separates several by colons; ours is the first. An option is taken as it stands.
	 */
	length = option != NULL && option[0] != '\0' ? strlen(from) : strcspn(from, ":");
	n = snprintf(buf, size, "%.*s%s", (int)(length < INT_MAX ? length : 0), from, below);
	return n > 0 && (size_t)n < size;
}

void state_dir_safe_name(char *buf, size_t size, const char *name)
{
	size_t used = 0;

	for (; *name != '\0' && used + 1 < size; name++) {
		unsigned char c = (unsigned char)*name;

		if (c == '[' || c == ']')
			continue;
		if (c < 0x80 && (isalnum(c) || c == '-' || c == '_' || (c == '.' && used > 0)))
			buf[used++] = (char)c;
		else
			buf[used++] = '_';
	}
	buf[used] = '\0';
}

/* Makes a directory and those above it, as mkdir -p -m 700. */
static int state_dir_make(const char *path)
{
	char part[PATH_MAX];
	size_t length = strlen(path);

	if (length >= sizeof(part)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(part, path, length + 1);
	for (size_t i = 1; i <= length; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		part[i] = '\0';
		if (mkdir(part, 0700) != 0 && errno != EEXIST) {
			struct stat st;
			int err = errno; /* a read-only or foreign parent that exists is fine */

			if (stat(part, &st) != 0 || !S_ISDIR(st.st_mode)) {
				errno = err;
				return -1;
			}
		}
		part[i] = path[i];
	}
	return 0;
}

/* A role's folder must be ours, and nobody else's to look into. The directory itself (`top`) is not
 * changed, because somebody may have named /tmp: others may look, since what is in it is private,
 * but who can write there could replace it. */
static int state_dir_own(int fd, const char *path, bool top, char error[STATE_DIR_ERROR_SIZE])
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return state_dir_fail(error, RSTUN_E_STATE_WRITE_FAILED,
				      "cannot read the mode of %s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return state_dir_fail(error, RSTUN_E_PERMISSION_DENIED,
				      "%s belongs to user %ld and not to %ld, who runs rstund",
				      path, (long)st.st_uid, (long)geteuid());
	if (top && (st.st_mode & 022) != 0)
		return state_dir_fail(error, RSTUN_E_FILE_PERMISSIONS,
				      "others can write into the state directory %s: run chmod 700 "
				      "'%s', or name another one",
				      path, path);
	if (!top && (st.st_mode & 077) != 0 && fchmod(fd, 0700) != 0)
		return state_dir_fail(error, state_dir_code(errno), "cannot make %s private: %s",
				      path, strerror(errno));
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0)
		return state_dir_fail(error, state_dir_code(errno), "%s cannot be written: %s",
				      path, strerror(errno));
	return 0;
}

/* A file in the folder and not the folder itself: that one is locked for moments by whoever makes a
 * certificate in it, in this process too. */
static int state_dir_lock(struct state_dir *dir, const char *holder,
			  char error[STATE_DIR_ERROR_SIZE])
{
	int fd = openat(dir->fd, STATE_DIR_LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
			0600);

	if (fd < 0)
		return state_dir_fail(error, state_dir_code(errno), "cannot open %s/%s: %s",
				      dir->path, STATE_DIR_LOCK_FILE, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		close(fd);
		return state_dir_fail(error, RSTUN_E_ADDRESS_IN_USE,
				      "%s is in use by another rstund with %s", dir->path, holder);
	}
	dir->lock_fd = fd;
	return 0;
}

/* Takes over `path`, which is NULL when memory is short. `holder`: who may have the lock. */
static int state_dir_open_path(struct state_dir *ret, char *path, bool top, const char *holder,
			       char error[STATE_DIR_ERROR_SIZE])
{
	struct state_dir dir = STATE_DIR_NONE;
	int rc;

	if (path == NULL)
		return state_dir_fail(error, RSTUN_E_NOMEM, "memory ran out");
	dir.path = path;
	if (state_dir_make(dir.path) != 0) {
		rc = state_dir_fail(error, state_dir_code(errno), "cannot make %s: %s", dir.path,
				    strerror(errno));
		goto fail;
	}
	dir.fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir.fd < 0) {
		rc = state_dir_fail(error, state_dir_code(errno), "cannot open %s: %s", dir.path,
				    strerror(errno));
		goto fail;
	}
	rc = state_dir_own(dir.fd, dir.path, top, error);
	if (rc == 0)
		rc = state_dir_lock(&dir, holder, error);
	if (rc != 0)
		goto fail;
	*ret = dir;
	return 0;
fail:
	state_dir_close(&dir);
	return rc;
}

static int state_dir_find(char base[PATH_MAX], const char *option, char error[STATE_DIR_ERROR_SIZE])
{
	if (state_dir_base(base, PATH_MAX, option))
		return 0;
	return state_dir_fail(error, RSTUN_E_STATE_WRITE_FAILED,
			      "there is no state directory: --state-dir, $STATE_DIRECTORY and "
			      "$HOME are unset or too long");
}

int state_dir_open(struct state_dir *ret, const char *option, const char *name,
		   char error[STATE_DIR_ERROR_SIZE])
{
	char base[PATH_MAX], safe[NAME_MAX + 1], *path;
	int rc = state_dir_find(base, option, error);

	if (rc != 0)
		return rc;
	state_dir_safe_name(safe, sizeof(safe), name);
	if (asprintf(&path, "%s/%s", base, safe) < 0)
		path = NULL;
	return state_dir_open_path(ret, path, false, "the same address", error);
}

int state_dir_open_top(struct state_dir *ret, const char *option, char error[STATE_DIR_ERROR_SIZE])
{
	char base[PATH_MAX];
	int rc = state_dir_find(base, option, error);

	return rc != 0 ? rc
		       : state_dir_open_path(ret, strdup(base), true, "a configuration", error);
}

void state_dir_close(struct state_dir *dir)
{
	if (dir->lock_fd >= 0)
		close(dir->lock_fd);
	if (dir->fd >= 0)
		close(dir->fd);
	free(dir->path);
	*dir = STATE_DIR_NONE;
}

int state_dir_write(const struct state_dir *dir, const char *file, const void *data, size_t bytes,
		    char error[STATE_DIR_ERROR_SIZE])
{
	char temporary[NAME_MAX + 1];
	const char *step = "create";
	int fd;

	snprintf(temporary, sizeof(temporary), ".%s.new", file);
	unlinkat(dir->fd, temporary, 0); /* of a process that died here; we hold the lock */
	fd = openat(dir->fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0) {
		step = "write";
		if (file_write_all(fd, data, bytes) == 0 && fsync(fd) == 0 &&
		    renameat(dir->fd, temporary, dir->fd, file) == 0) {
			close(fd);
			fsync(dir->fd); /* the name too */
			return 0;
		}
	}
	state_dir_fail(error, 0, "cannot %s %s/%s: %s", step, dir->path, file, strerror(errno));
	if (fd >= 0) {
		close(fd);
		unlinkat(dir->fd, temporary, 0);
	}
	return RSTUN_E_STATE_WRITE_FAILED;
}

int state_dir_secret(const struct state_dir *dir, const char *file,
		     uint8_t ret[STATE_DIR_SECRET_BYTES], bool *ret_made,
		     char error[STATE_DIR_ERROR_SIZE])
{
	uint8_t secret[STATE_DIR_SECRET_BYTES + 1];
	struct stat st;
	ssize_t n;
	int fd = openat(dir->fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int rc;

	if (fd < 0 && errno == ENOENT) {
		random_bytes(secret, STATE_DIR_SECRET_BYTES);
		rc = state_dir_write(dir, file, secret, STATE_DIR_SECRET_BYTES, error);
		if (rc == 0) {
			memcpy(ret, secret, STATE_DIR_SECRET_BYTES);
			*ret_made = true;
		}
		secret_wipe(secret, sizeof(secret));
		return rc;
	}
	if (fd < 0 || fstat(fd, &st) != 0) {
		rc = state_dir_fail(error, state_dir_code(errno), "cannot read %s/%s: %s",
				    dir->path, file, strerror(errno));
	} else if ((st.st_mode & 077) != 0) {
		rc = state_dir_fail(
			error, RSTUN_E_FILE_PERMISSIONS,
			"%s/%s is a secret that others can read: run chmod 600 '%s/%s', or remove "
			"it for a new one",
			dir->path, file, dir->path, file);
	} else {
		n = read(fd, secret, sizeof(secret));
		if (n == STATE_DIR_SECRET_BYTES) {
			memcpy(ret, secret, STATE_DIR_SECRET_BYTES);
			*ret_made = false;
			rc = 0;
		} else {
			rc = state_dir_fail(
				error, RSTUN_E_CONFIG_INVALID,
				"%s/%s is damaged (it must have %d bytes): remove it for "
				"a new one",
				dir->path, file, STATE_DIR_SECRET_BYTES);
		}
		secret_wipe(secret, sizeof(secret));
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

/* The first line of a file; its length, 0 when there is none. */
static size_t state_dir_line(int at, const char *file, char *buf, size_t size)
{
	int fd = openat(at, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd >= 0) {
		n = read(fd, buf, size - 1);
		close(fd);
	}
	buf[n > 0 ? n : 0] = '\0';
	return strcspn(buf, "\r\n");
}

/* The id itself is confidential (machine-id(5)), so a hash of it is kept. */
static void state_dir_hash_machine(char hex[2 * DIGEST_SHA256_BYTES + 2], const char *id,
				   size_t bytes)
{
	static const char label[] = "rstund state directory";
	uint8_t digest[DIGEST_SHA256_BYTES];

	digest_hmac_sha256(digest, label, sizeof(label) - 1, id, bytes);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	hex[2 * sizeof(digest)] = '\n';
	hex[2 * sizeof(digest) + 1] = '\0';
}

int state_dir_bind_machine(const struct state_dir *dir, const char *machine_id_file,
			   const char *const *files, size_t file_count, bool *ret_moved,
			   char error[STATE_DIR_ERROR_SIZE])
{
	char id[STATE_DIR_MACHINE_MAX], kept[STATE_DIR_MACHINE_MAX];
	char now[2 * DIGEST_SHA256_BYTES + 2];
	size_t id_bytes = state_dir_line(AT_FDCWD, machine_id_file, id, sizeof(id));
	size_t kept_bytes = state_dir_line(dir->fd, STATE_DIR_MACHINE_FILE, kept, sizeof(kept));
	bool moved = false;
	int rc;

	if (id_bytes == 0) {
		*ret_moved = false;
		return 0;
	}
	state_dir_hash_machine(now, id, id_bytes);
	if (kept_bytes > 0) {
		moved = kept_bytes != strlen(now) - 1 || strncmp(kept, now, kept_bytes) != 0;
		if (!moved) {
			*ret_moved = false;
			return 0;
		}
		for (size_t i = 0; i < file_count; i++)
			if (unlinkat(dir->fd, files[i], 0) != 0 && errno != ENOENT)
				return state_dir_fail(error, RSTUN_E_STATE_WRITE_FAILED,
						      "cannot remove %s/%s: %s", dir->path,
						      files[i], strerror(errno));
	}
	rc = state_dir_write(dir, STATE_DIR_MACHINE_FILE, now, strlen(now), error);
	if (rc == 0)
		*ret_moved = moved;
	return rc;
}
