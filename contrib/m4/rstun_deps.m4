dnl SPDX-License-Identifier: MIT
dnl
dnl Libraries by pkg-config. What is missing is collected in rstun_missing and told at once at the
dnl end. ngtcp2 may come from the system or from the cache that contrib/deps fills.

dnl RSTUN_REQUIRE(VARIABLE, MODULE, VERSION, DEBIAN-PACKAGE)
AC_DEFUN([RSTUN_REQUIRE], [
  PKG_CHECK_MODULES([$1], [$2 >= $3], [],
    [rstun_missing="$rstun_missing
  $2 >= $3 (package $4)"])
])

AC_DEFUN([RSTUN_WITH_DEPS_CACHE], [
  AC_ARG_WITH([deps-cache],
    [AS_HELP_STRING([--with-deps-cache=DIR],
      [where contrib/deps keeps what it builds @<:@RSTUN_DEPS_CACHE, or rstund below
       XDG_CACHE_HOME or ~/.cache@:>@])],
    [rstun_deps_cache=$withval],
    [rstun_deps_cache=${RSTUN_DEPS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rstund}])
  AS_IF([test "x$rstun_deps_cache" = xno], [rstun_deps_cache=])
  DEPS_CACHE=$rstun_deps_cache
  AC_SUBST([DEPS_CACHE])
])

dnl RSTUN_NGTCP2(VERSION): the system's (or PKG_CONFIG_PATH's) where it is new enough, else the
dnl newest prefix of the cache; among equals, the one that was built with today's patches.
AC_DEFUN([RSTUN_NGTCP2], [
  rstun_ngtcp2_modules="libngtcp2_crypto_gnutls >= $1 libngtcp2 >= $1"
  rstun_ngtcp2_text=
  AS_IF([test -n "$PKG_CONFIG" && ! $PKG_CONFIG --exists "$rstun_ngtcp2_modules" 2>/dev/null &&
      test -n "$rstun_deps_cache"], [
    AC_MSG_CHECKING([for ngtcp2 in $rstun_deps_cache])
    # The same names as contrib/lib.sh makes.
    rstun_platform=$(. /etc/os-release 2>/dev/null
      echo "${ID:-unknown}${VERSION_ID:-}-$(uname -m)")
    rstun_patch_key=$(cat "$srcdir"/contrib/patches/ngtcp2-*.patch 2>/dev/null |
      sha256sum 2>/dev/null | cut -c1-12)
    rstun_found=
    for rstun_prefix in $(ls -d "$rstun_deps_cache/$rstun_platform"/ngtcp2-*/ 2>/dev/null | sort -V) \
        $(ls -d "$rstun_deps_cache/$rstun_platform"/ngtcp2-*-"$rstun_patch_key"/ 2>/dev/null | sort -V); do
      rstun_dir=${rstun_prefix%/}/lib/pkgconfig
      AS_IF([PKG_CONFIG_PATH="$rstun_dir:$PKG_CONFIG_PATH" \
          $PKG_CONFIG --exists "$rstun_ngtcp2_modules" 2>/dev/null], [rstun_found=$rstun_dir])
    done
    AS_IF([test -n "$rstun_found"], [
      AC_MSG_RESULT([${rstun_found%/lib/pkgconfig}])
      PKG_CONFIG_PATH=$rstun_found${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
      export PKG_CONFIG_PATH],
      [AC_MSG_RESULT([none])])])
  PKG_CHECK_MODULES([NGTCP2], [$rstun_ngtcp2_modules], [],
    [rstun_missing="$rstun_missing
  libngtcp2 and libngtcp2_crypto_gnutls >= $1 (built by contrib/deps where the system's is older)"])
])

dnl What the program says about its ngtcp2: its version, whether it is linked in, and whether it
dnl carries our BBR patch (contrib/deps notes that in the .pc file).
AC_DEFUN([RSTUN_NGTCP2_FACTS], [
  rstun_ngtcp2_version=$($PKG_CONFIG --modversion libngtcp2)
  AC_MSG_CHECKING([whether ngtcp2 is linked statically])
  rstun_saved_libs=$LIBS
  rstun_saved_cflags=$CFLAGS
  LIBS="$NGTCP2_LIBS $GNUTLS_LIBS $LIBS"
  CFLAGS="$CFLAGS $NGTCP2_CFLAGS $GNUTLS_CFLAGS"
  rstun_static=0
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[
    #include <ngtcp2/ngtcp2.h>
    #include <ngtcp2/ngtcp2_crypto.h>
    #include <ngtcp2/ngtcp2_crypto_gnutls.h>]],
    [[return ngtcp2_version(0)->version_num == ngtcp2_crypto_gnutls_configure_client_session(0)]])],
    [AS_IF([$READELF -d conftest$EXEEXT 2>/dev/null | $GREP NEEDED | $GREP -q ngtcp2],
      [], [rstun_static=1])],
    [AC_MSG_RESULT([it does not link])
     AC_MSG_ERROR([ngtcp2 $rstun_ngtcp2_version was found, but a program does not link with it (see config.log)])])
  LIBS=$rstun_saved_libs
  CFLAGS=$rstun_saved_cflags
  AS_IF([test $rstun_static = 1],
    [AC_MSG_RESULT([yes]); rstun_ngtcp2_text=static],
    [AC_MSG_RESULT([no]); rstun_ngtcp2_text=shared])
  rstun_bbr=$($PKG_CONFIG --variable=rstun_bbr_loss_percent libngtcp2)
  AS_IF([test -n "$rstun_bbr"],
    [rstun_patched=1; rstun_ngtcp2_text="$rstun_ngtcp2_text, BBR loss threshold $rstun_bbr %"],
    [rstun_patched=0; rstun_ngtcp2_text="$rstun_ngtcp2_text, without the BBR patch"])
  AM_CONDITIONAL([NGTCP2_STATIC], [test $rstun_static = 1])
  AC_DEFINE_UNQUOTED([NGTCP2_STATIC], [$rstun_static], [1 if ngtcp2 is linked statically])
  AC_DEFINE_UNQUOTED([RSTUN_NGTCP2_BBR_PATCHED], [$rstun_patched],
    [1 if ngtcp2 has the BBR loss threshold of contrib/patches])
])
