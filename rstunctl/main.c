/* SPDX-License-Identifier: MIT */
/*
 * rstunctl: asks and tells a running rstund. One thread. Everything but this function is in
 * librstunctl.la, so that unit tests can link it.
 */
#include "rstunctl/ctl.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, ""); /* widths of characters; numbers stay as they are in C */
	signal(SIGPIPE, SIG_IGN); /* a reader that went away is seen by the write */
	return ctl_main(argc, argv, stdout, stderr);
}
