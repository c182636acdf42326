/* SPDX-License-Identifier: MIT */
/*
 * Files of a configuration: those that cannot be read, their rights, where passwords come from,
 * and what they include.
 */
#include "base/error.h"
#include "tests/unit/config_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- Files ----------------------------------------------------------------------------------- */

static void test_unreadable(void **state)
{
	(void)state;
	assert_int_equal(config_rig_load(), RSTUN_E_NOT_FOUND);
	assert_string_equal(config_rig.said, "rstund.conf: it cannot be read: No such file or "
					     "directory\n");
	assert_int_equal(mkdir(config_rig.path, 0700), 0);
	assert_int_equal(config_rig_load(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(config_rig.said, "rstund.conf: it is a directory: name a file\n");
	assert_int_equal(rmdir(config_rig.path), 0);
	assert_int_equal(mkfifo(config_rig.path, 0600), 0);
	assert_int_equal(config_rig_load(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(config_rig.said, "rstund.conf: it is no regular file: name a file\n");
	unlink(config_rig.path);
	config_rig_write_bytes("rstund.conf", "", 0, 0000);
	if (geteuid() == 0) { /* who reads everything */
		assert_int_equal(chmod(config_rig.directory, 0755), 0);
		assert_int_equal(seteuid(65534), 0);
		assert_int_equal(config_rig_load(), RSTUN_E_PERMISSION_DENIED);
		assert_int_equal(seteuid(0), 0);
	} else {
		assert_int_equal(config_rig_load(), RSTUN_E_PERMISSION_DENIED);
	}
	assert_string_equal(config_rig.said, "rstund.conf: it cannot be read: Permission denied\n");
}

/* The command that the message suggests makes the file acceptable. */
static void test_rights(void **state)
{
	static const char secret[] = "[server a]\npassword = canary\n";
	static const char harmless[] = "[daemon]\n";

	(void)state;
	config_rig_write_bytes("rstund.conf", harmless, strlen(harmless), 0644);
	assert_int_equal(config_rig_load(), 0);
	config_rig_write_bytes("rstund.conf", harmless, strlen(harmless), 0666);
	assert_int_equal(config_rig_load(), RSTUN_E_FILE_PERMISSIONS);
	assert_non_null(strstr(config_rig.said, "everybody can change it (mode 0666)"));
	assert_non_null(strstr(config_rig.diags.errors[0].message, "run: chmod o-w "));
	assert_int_equal(system(strstr(config_rig.diags.errors[0].message, "chmod ")), 0);
	assert_int_equal(config_rig_load(), 0);

	config_rig_write_bytes("rstund.conf", secret, strlen(secret), 0644);
	assert_int_equal(config_rig_load(), RSTUN_E_FILE_PERMISSIONS);
	assert_non_null(strstr(config_rig.said, "there is a password in it, and it is open to "
						"other users "
				     "(mode "
				     "0644); run: chmod 600 "));
	assert_null(strstr(config_rig.said, "canary"));
	assert_int_equal(system(strstr(config_rig.diags.errors[0].message, "chmod ")), 0);
	assert_int_equal(config_rig_load(), 0);
	config_rig_write_bytes("rstund.conf", secret, strlen(secret), 0660);
	assert_int_equal(config_rig_load(), RSTUN_E_FILE_PERMISSIONS);
	/* For a group only root can say who that is. */
	config_rig_write_bytes("rstund.conf", secret, strlen(secret), 0640);
	assert_int_equal(config_rig_load(), geteuid() == 0 ? 0 : RSTUN_E_FILE_PERMISSIONS);
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(config_rig.path, 12345, 12345), 0);
	assert_int_equal(config_rig_load(), RSTUN_E_FILE_PERMISSIONS);
	assert_non_null(strstr(config_rig.said, "it belongs to another user (uid 12345)"));
	assert_int_equal(system(strstr(config_rig.diags.errors[0].message, "chown ")), 0);
	assert_int_equal(chmod(config_rig.path, 0600), 0);
	assert_int_equal(config_rig_load(), 0);
}

static void test_password_files(void **state)
{
	(void)state;
	config_rig_write("rstund.conf", "[server a]\npassword-file = pw\n");
	assert_int_equal(config_rig_load(), RSTUN_E_NOT_FOUND);
	assert_string_equal(config_rig.said, "rstund.conf:1: password-file: pw: No such file or "
					     "directory\n");
	config_rig_write_bytes("pw", "canary", 6, 0644);
	assert_int_equal(config_rig_load(), RSTUN_E_FILE_PERMISSIONS);
	assert_non_null(strstr(config_rig.said, "run: chmod 600 "));
	config_rig_write("pw", "canary");
	assert_int_equal(config_rig_load(), 0);
	assert_string_equal(config_rig.set.servers[0].config.password, "canary");
	/* Not in a text from elsewhere, but that is no error. */
	config_rig_right("[server a]\npassword-file = /nonexistent\ncert = /nonexistent\nkey = "
	      "/nonexistent\n");
	assert_null(config_rig.set.servers[0].config.password);
	config_rig_write("rstund.conf", "[server a]\npassword = x\ncert = c.pem\nkey = k.pem\n");
	assert_int_equal(config_rig_load(), RSTUN_E_NOT_FOUND);
	assert_string_equal(config_rig.said, "rstund.conf:3: cert: c.pem: No such file or "
					     "directory\n"
				  "rstund.conf:4: key: k.pem: No such file or directory\n");
}

static void test_credentials(void **state)
{
	(void)state;
	config_rig_write("rstund.conf", "[server a]\n[server b]\n[server d]\npassword = own\n");
	assert_int_equal(config_rig_load(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(config_rig.said,
			    "rstund.conf:1: [server a]: a password is needed: write password-file "
			    "= "
			    "FILE or password = TEXT, or give the systemd credential "
			    "\"a.password\"\n"
			    "rstund.conf:2: [server b]: a password is needed: write password-file "
			    "= "
			    "FILE or password = TEXT, or give the systemd credential "
			    "\"b.password\"\n");
	setenv("CREDENTIALS_DIRECTORY", config_rig.directory, 1);
	config_rig_write("a.password", "of-a\n");
	config_rig_write("password", "of-all\n");
	config_rig_write("d.password", "not-asked\n");
	assert_int_equal(config_rig_load(), 0);
	assert_string_equal(config_rig.set.servers[0].config.password, "of-a");
	assert_string_equal(config_rig.set.servers[1].config.password, "of-all");
	assert_string_equal(config_rig.set.servers[2].config.password, "own");
	config_rig_write("a.password", "");
	assert_int_equal(config_rig_load(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(config_rig.said, "rstund.conf:1: systemd credential \"a.password\": "
					     "an empty "
				  "password protects nothing\n");
}

/* ---- Includes -------------------------------------------------------------------------------- */

static void make_directory(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", config_rig.directory, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void test_include(void **state)
{
	(void)state;
	make_directory("conf.d");
	make_directory("more");
	config_rig_write("rstund.conf", "include = conf.d/*.conf\n[server main]\npassword = x\n"
				  "[daemon]\ninclude = more/last\ninclude = none.d/*\nworkers = "
				  "2\n");
	config_rig_write("conf.d/20.conf", "[client b]\nserver-addr = x\npassword-file = pw\n");
	config_rig_write("conf.d/10.conf", "[client a]\nserver-addr = x\npassword = x\n");
	config_rig_write("conf.d/pw", "of-b\n");
	config_rig_write("conf.d/ignored.conf~", "nonsense\n");
	config_rig_write("more/last", "[client d]\nserver-addr = x\npassword = x\n");
	if (config_rig_load() != 0)
		fail_msg("%s", config_rig.said);
	assert_int_equal(config_rig.set.client_count, 3);
	assert_string_equal(config_rig.set.clients[0].name, "a");
	assert_string_equal(config_rig.set.clients[1].name, "b");
	assert_string_equal(config_rig.set.clients[1].config.password, "of-b");
	assert_string_equal(config_rig.set.clients[2].name, "d");
	assert_int_equal(config_rig.set.server_count, 1);
	/* The section goes on behind what it includes. */
	assert_int_equal(config_rig.set.daemon.workers, 2);

	/* Errors are told with the file that they are in. */
	config_rig_write("conf.d/20.conf", "[client b\n[server main]\npassword = x\nloglevel = "
					   "D\n");
	assert_int_equal(config_rig_load(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(config_rig.said,
			    "conf.d/20.conf:1:1: the name of the section does not end: write ] "
			    "behind it\n"
			    "conf.d/20.conf:4: loglevel: it has no place in [server main]: it "
			    "belongs "
			    "in [daemon]\n"
			    "rstund.conf:2: [server main] stands twice: first in line 2 of "
			    "conf.d/20.conf\n");
	/* Each file has its own rights. */
	config_rig_write_bytes("conf.d/20.conf", "[server b]\npassword = x\n", 24, 0644);
	assert_int_equal(config_rig_load(), RSTUN_E_FILE_PERMISSIONS);
	assert_non_null(strstr(config_rig.diags.errors[0].file, "/conf.d/20.conf"));
}

static void test_include_wrong(void **state)
{
	(void)state;
	config_rig_write("rstund.conf", "include = nothing.conf\ninclude = .\n");
	assert_int_equal(config_rig_load(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(config_rig.said, "rstund.conf:1: include: nothing.conf: there is no "
					     "such file\n"
				  ".: it is a directory: name a file\n");
	config_rig_write("rstund.conf", "include = rstund.conf\n");
	assert_int_equal(config_rig_load(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(config_rig.said, "rstund.conf:1: include: 8 files include one "
					     "another, which is "
				  "the "
				  "most: does a file include itself?\n");
	/* Twenty that include one another would be 20^8: it ends at 1000. */
	for (int i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d.conf", i);
		config_rig_write(name, "include = *.conf\n");
	}
	config_rig_write("rstund.conf", "include = *.conf\n");
	assert_int_equal(config_rig_load(), RSTUN_E_CONFIG_INVALID);
	assert_int_equal(config_rig.diags.error_count, 20);
	assert_true(config_rig.diags.more < 1000);
	assert_int_equal(config_rig_parse("include = /etc/passwd\n", 22), 0);
	assert_string_equal(config_rig.said, "warning: line 1: include: included files are not "
					     "looked at "
				  "here\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, config_rig_setup, config_rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_unreadable), T(test_rights), T(test_password_files), T(test_credentials),
		T(test_include), T(test_include_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
