/* SPDX-License-Identifier: MIT */
/*
 * Where a role's password comes from. In this order: a literal on the command line (somebody else
 * has wiped it from argv by then), --password-file, the systemd credential "password", the
 * environment variable RSTUN_PASSWORD, a question on the terminal. Whatever is found is checked: 1
 * to 1024 bytes of UTF-8 without NUL, because it is a string of the wire. Main thread;
 * password_find before others start: the environment is changed there.
 *
 * A configuration file has its passwords from a literal, a file, or a credential, and can be read
 * again: password_from_file and password_from_credential are its ways.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define PASSWORD_ERROR_SIZE 768
#define PASSWORD_VARIABLE "RSTUN_PASSWORD"
#define PASSWORD_CREDENTIAL "password" /* of systemd */

/* What of the process is used; tests give their own. */
struct password_process {
	int stdin_fd;
	const char *tty_path; /* opened for the question */
};

extern const struct password_process password_process_default; /* standard input and /dev/tty */

/*
 * Looks everywhere but at the terminal. *password is the literal (then the file must be NULL) or
 * NULL; what is found is allocated and belongs to the caller, who wipes and frees it. 0 also when
 * there is none (*password stays NULL). The variable RSTUN_PASSWORD is taken out of the
 * environment, and its bytes are wiped, whether it is used or not. RSTUN_E_CONFIG_INVALID,
 * RSTUN_E_NOT_FOUND, RSTUN_E_PERMISSION_DENIED, RSTUN_E_FILE_PERMISSIONS, RSTUN_E_FAILED or
 * RSTUN_E_NOMEM with a sentence in `error`.
 */
int password_find(char **password, const char *file, const struct password_process *process,
		  char error[PASSWORD_ERROR_SIZE]);

/*
 * The password in a file that only its owner (or root) can read; "-" is standard input. Errors as
 * of password_find; the sentence begins with the option that named the file, "--password-file: ".
 */
int password_from_file(char **ret, const char *option, const char *path,
		       const struct password_process *process, char error[PASSWORD_ERROR_SIZE]);

/* The systemd credential `name` (its rights are systemd's business: they may be an access list). 0
 * with *ret untouched when there is none. */
int password_from_credential(char **ret, const char *name, char error[PASSWORD_ERROR_SIZE]);

/* Takes RSTUN_PASSWORD out of the environment, where nobody uses it. True if it was there. */
bool password_forget_variable(void);

/* A path as one word of a shell, for commands that a message suggests. Returns buf. */
const char *password_shell_word(char *buf, size_t size, const char *path);

/* True if somebody sits at the terminal: standard input is one. */
bool password_can_ask(const struct password_process *process);

/*
 * Asks on the terminal without echo. The terminal is restored in every case; a signal that ends or
 * stops the process does so after that (and after a stop the question comes again).
 * RSTUN_E_CONFIG_INVALID for an answer that cannot be a password, RSTUN_E_CANCELLED at end of file,
 * RSTUN_E_FAILED without a terminal.
 */
int password_ask(char **ret, const char *question, const struct password_process *process,
		 char error[PASSWORD_ERROR_SIZE]);

/* Overwrites a literal in argv, so that the list of processes no longer shows it. */
void password_wipe_argument(char *argument);

/* Wipes and frees; NULL is nothing. */
void password_free(char *password);
