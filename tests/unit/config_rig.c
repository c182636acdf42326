/* SPDX-License-Identifier: MIT */
/*
 * A directory of configuration files, and reading them.
 */
#include "tests/unit/config_rig.h"

#include "base/error.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct config_rig config_rig;

int config_rig_setup(void **state)
{
	(void)state;
	snprintf(config_rig.directory, sizeof(config_rig.directory), "/tmp/rstund-config-XXXXXX");
	if (mkdtemp(config_rig.directory) == NULL)
		return -1;
	snprintf(config_rig.path, sizeof(config_rig.path), "%s/rstund.conf", config_rig.directory);
	unsetenv("CREDENTIALS_DIRECTORY");
	return 0;
}

static void config_rig_forget(void)
{
	config_set_free(&config_rig.set);
	config_diagnostics_free(&config_rig.diags);
}

int config_rig_teardown(void **state)
{
	char command[128];

	(void)state;
	config_rig_forget();
	unsetenv("CREDENTIALS_DIRECTORY");
	snprintf(command, sizeof(command), "rm -r %s", config_rig.directory);
	return system(command);
}

void config_rig_write_bytes(const char *name, const char *text, size_t bytes, mode_t mode)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", config_rig.directory, name);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, bytes), (ssize_t)bytes);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

void config_rig_write(const char *name, const char *text)
{
	config_rig_write_bytes(name, text, strlen(text), 0600);
}

/* A diagnostic as a line of `said`. Returns its bytes. */
static size_t config_rig_describe_one(char *to, size_t room, const char *before,
				      const struct config_diagnostic *d)
{
	size_t prefix = strlen(config_rig.directory) + 1, used;
	char one[CONFIG_DIAGNOSTIC_SIZE], *at;

	config_diagnostic_format(one, sizeof(one), d);
	while ((at = strstr(one, config_rig.directory)) != NULL)
		memmove(at, at + prefix, strlen(at + prefix) + 1);
	used = (size_t)snprintf(to, room, "%s%s\n", before, one);
	assert_true(used < room);
	return used;
}

static void config_rig_describe(void)
{
	struct config_diagnostics *d = &config_rig.diags;
	size_t used = 0, size = sizeof(config_rig.said);

	config_rig.said[0] = '\0';
	for (size_t i = 0; i < d->error_count; i++)
		used += config_rig_describe_one(config_rig.said + used, size - used, "",
						&d->errors[i]);
	for (size_t i = 0; i < d->warning_count; i++)
		used += config_rig_describe_one(config_rig.said + used, size - used, "warning: ",
						&d->warnings[i]);
}

int config_rig_load(void)
{
	int rv;

	config_rig_forget();
	memset(&config_rig.set, 0x77, sizeof(config_rig.set));
	rv = config_file_load(&config_rig.set, config_rig.path, NULL, &config_rig.diags);
	if (rv != 0)
		memset(&config_rig.set, 0, sizeof(config_rig.set));
	config_rig_describe();
	return rv;
}

int config_rig_parse(const char *text, size_t bytes)
{
	int rv;

	config_rig_forget();
	rv = config_file_parse_text(&config_rig.set, text, bytes, &config_rig.diags);
	config_rig_describe();
	return rv;
}

void config_rig_right(const char *text)
{
	if (config_rig_parse(text, strlen(text)) != 0)
		fail_msg("%s", config_rig.said);
}

/* A text that is wrong, and all that is config_rig.said about it. */
void config_rig_wrong(const char *text, const char *want)
{
	assert_int_equal(config_rig_parse(text, strlen(text)), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(config_rig.said, want);
}
