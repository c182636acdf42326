dnl SPDX-License-Identifier: MIT
dnl
dnl Where files for other software go: units, sysusers, tmpfiles, completions. Every default is below
dnl the prefix, so that an unprivileged "make install" and "make distcheck" write nowhere else; with
dnl the prefixes /usr and /usr/local it is where that software looks.

dnl RSTUN_INSTALL_DIR(NAME, CONDITIONAL, DIR-BELOW-PREFIX, DEFAULT, HELP)
dnl --with-NAME=DIR|yes|no; "yes" is the default folder. Sets NAME and the automake conditional.
AC_DEFUN([RSTUN_INSTALL_DIR], [
AC_ARG_WITH([$1],
  [AS_HELP_STRING([--with-$1=DIR], [$5])],
  [], [with_$1=$4])
AS_CASE([$with_$1],
  [yes], [$1='$3'],
  [no], [$1=],
  [$1=$with_$1])
AC_SUBST([$1])
AM_CONDITIONAL([$2], [test -n "$$1"])
])

dnl RSTUN_INSTALL_DIRS
dnl Units are installed where this system has systemd, unless a switch says otherwise.
AC_DEFUN([RSTUN_INSTALL_DIRS], [
AC_REQUIRE([PKG_PROG_PKG_CONFIG])
AC_MSG_CHECKING([for systemd])
rstun_systemd=no
AS_IF([$PKG_CONFIG --exists systemd 2>/dev/null || test -x /usr/lib/systemd/systemd ||
       test -x /lib/systemd/systemd], [rstun_systemd=yes])
AC_MSG_RESULT([$rstun_systemd])
RSTUN_INSTALL_DIR([systemdsystemunitdir], [INSTALL_SYSTEM_UNITS], [${prefix}/lib/systemd/system],
  [$rstun_systemd], [folder of systemd's system units (PREFIX/lib/systemd/system; no: none)])
RSTUN_INSTALL_DIR([systemduserunitdir], [INSTALL_USER_UNITS], [${prefix}/lib/systemd/user],
  [$rstun_systemd], [folder of systemd's user units (PREFIX/lib/systemd/user)])
RSTUN_INSTALL_DIR([sysusersdir], [INSTALL_SYSUSERS], [${prefix}/lib/sysusers.d],
  [$rstun_systemd], [folder of systemd-sysusers (PREFIX/lib/sysusers.d)])
RSTUN_INSTALL_DIR([tmpfilesdir], [INSTALL_TMPFILES], [${prefix}/lib/tmpfiles.d],
  [$rstun_systemd], [folder of systemd-tmpfiles (PREFIX/lib/tmpfiles.d)])
RSTUN_INSTALL_DIR([bashcompletiondir], [INSTALL_BASH], [${datadir}/bash-completion/completions],
  [yes], [folder of bash's completions (DATADIR/bash-completion/completions)])
RSTUN_INSTALL_DIR([zshcompletiondir], [INSTALL_ZSH], [${datadir}/zsh/site-functions],
  [yes], [folder of zsh's completions (DATADIR/zsh/site-functions)])
RSTUN_INSTALL_DIR([fishcompletiondir], [INSTALL_FISH], [${datadir}/fish/vendor_completions.d],
  [yes], [folder of fish's completions (DATADIR/fish/vendor_completions.d)])
])
