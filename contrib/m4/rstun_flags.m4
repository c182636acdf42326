dnl SPDX-License-Identifier: MIT
dnl
dnl Compiler and linker flags: each is tried by itself, so that gcc, clang and other machines get
dnl what they know. Results are the substitutions RSTUN_CPPFLAGS, RSTUN_CFLAGS and RSTUN_LDFLAGS,
dnl which Makefile.am puts before the user's own.

dnl RSTUN_TRY_CFLAG(VARIABLE, FLAG): append FLAG to VARIABLE if the compiler takes it silently.
AC_DEFUN([RSTUN_TRY_CFLAG], [
  AS_VAR_PUSHDEF([rstun_cache], [rstun_cv_cflag_$2])
  AC_CACHE_CHECK([whether $CC takes $2], rstun_cache, [
    rstun_saved_cflags=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <string.h>]], [[return (int)strlen("")]])],
      [AS_VAR_SET(rstun_cache, [yes])], [AS_VAR_SET(rstun_cache, [no])])
    CFLAGS=$rstun_saved_cflags])
  AS_VAR_IF(rstun_cache, [yes], [$1="$$1 $2"])
  AS_VAR_POPDEF([rstun_cache])
])

dnl RSTUN_TRY_LDFLAG(VARIABLE, FLAG, [MORE-CFLAGS]): append FLAG to VARIABLE if a program links.
AC_DEFUN([RSTUN_TRY_LDFLAG], [
  AS_VAR_PUSHDEF([rstun_cache], [rstun_cv_ldflag_$2])
  AC_CACHE_CHECK([whether $CC links with $2], rstun_cache, [
    rstun_saved_cflags=$CFLAGS
    rstun_saved_ldflags=$LDFLAGS
    CFLAGS="$CFLAGS -Werror $3"
    LDFLAGS="$LDFLAGS $2"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <string.h>]], [[return (int)strlen("")]])],
      [AS_VAR_SET(rstun_cache, [yes])], [AS_VAR_SET(rstun_cache, [no])])
    CFLAGS=$rstun_saved_cflags
    LDFLAGS=$rstun_saved_ldflags])
  AS_VAR_IF(rstun_cache, [yes], [$1="$$1 $2"])
  AS_VAR_POPDEF([rstun_cache])
])

AC_DEFUN([RSTUN_WARNINGS], [
  RSTUN_CPPFLAGS=
  RSTUN_CFLAGS=
  RSTUN_LDFLAGS=
  m4_foreach_w([rstun_flag], [-std=gnu11 -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
      -Wmissing-prototypes -Wvla -Wformat-security -fno-strict-aliasing -fno-common],
    [RSTUN_TRY_CFLAG([RSTUN_CFLAGS], rstun_flag)])
  dnl A message that is cut at its buffer's end is meant.
  RSTUN_TRY_CFLAG([RSTUN_CFLAGS], [-Wno-format-truncation])
  AS_IF([test "x$enable_werror" = xyes], [RSTUN_CFLAGS="$RSTUN_CFLAGS -Werror"])
  RSTUN_TRY_LDFLAG([RSTUN_LDFLAGS], [-Wl,--as-needed])
  AC_SUBST([RSTUN_CPPFLAGS])
  AC_SUBST([RSTUN_CFLAGS])
  AC_SUBST([RSTUN_LDFLAGS])
])

dnl RSTUN_NEED_SANITIZER(FLAGS, SWITCH): the flags, or an error that names the switch.
AC_DEFUN([RSTUN_NEED_SANITIZER], [
  rstun_got=
  RSTUN_TRY_LDFLAG([rstun_got], [$1])
  AS_IF([test -z "$rstun_got"],
    [AC_MSG_ERROR([$2: $CC can't link a program with $1 (contrib/deps installs what it needs)])])
])

AC_DEFUN([RSTUN_SANITIZERS], [
  rstun_sanitizers_text=none
  rstun_sanitizer_flags=
  FUZZ_LINK=
  AS_IF([test "x$enable_asan" = xyes], [
    RSTUN_NEED_SANITIZER([[-fsanitize=address,undefined]], [--enable-asan])
    rstun_sanitizer_flags="-fsanitize=address,undefined -fno-sanitize-recover=all"
    rstun_sanitizers_text="address, undefined"])
  AS_IF([test "x$enable_tsan" = xyes], [
    RSTUN_NEED_SANITIZER([-fsanitize=thread], [--enable-tsan])
    rstun_sanitizer_flags="-fsanitize=thread"
    rstun_sanitizers_text=thread])
  AS_IF([test "x$enable_fuzzers" = xyes], [
    RSTUN_NEED_SANITIZER([-fsanitize=fuzzer-no-link], [--enable-fuzzers (with CC=clang)])
    rstun_sanitizer_flags="$rstun_sanitizer_flags -fsanitize=fuzzer-no-link"
    FUZZ_LINK=-fsanitize=fuzzer])
  AS_IF([test -n "$rstun_sanitizer_flags"], [
    RSTUN_CFLAGS="$RSTUN_CFLAGS $rstun_sanitizer_flags -fno-omit-frame-pointer"
    RSTUN_LDFLAGS="$RSTUN_LDFLAGS $rstun_sanitizer_flags"])
  AS_IF([test "x$enable_coverage" = xyes], [
    RSTUN_CFLAGS="$RSTUN_CFLAGS --coverage -O0"
    RSTUN_LDFLAGS="$RSTUN_LDFLAGS --coverage"])
  AC_SUBST([FUZZ_LINK])
  AM_CONDITIONAL([ENABLE_FUZZERS], [test "x$enable_fuzzers" = xyes])
])

dnl Hardening: on unless --disable-hardening. _FORTIFY_SOURCE needs an optimising build and fights
dnl the sanitizers' own checks, so it is left out where either is so.
AC_DEFUN([RSTUN_HARDENING], [
  rstun_hardening_text=
  AS_IF([test "x$enable_hardening" = xyes], [
    m4_foreach_w([rstun_flag],
      [-fstack-protector-strong -fstack-clash-protection -fcf-protection],
      [RSTUN_TRY_CFLAG([RSTUN_CFLAGS], rstun_flag)])
    m4_foreach([rstun_flag], [[[-Wl,-z,relro]], [[-Wl,-z,now]], [[-Wl,-z,noexecstack]]],
      [RSTUN_TRY_LDFLAG([RSTUN_LDFLAGS], rstun_flag)])
    rstun_pie=
    RSTUN_TRY_LDFLAG([rstun_pie], [-pie], [-fPIE])
    AS_IF([test -n "$rstun_pie"], [
      RSTUN_CFLAGS="$RSTUN_CFLAGS -fPIE"
      RSTUN_LDFLAGS="$RSTUN_LDFLAGS -pie"])
    AS_IF([test -z "$rstun_sanitizer_flags"], [
      AC_CACHE_CHECK([which _FORTIFY_SOURCE fits], [rstun_cv_fortify], [
        rstun_cv_fortify=none
        rstun_saved_cflags=$CFLAGS
        for rstun_level in 3 2; do
          CFLAGS="$rstun_saved_cflags -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$rstun_level"
          AC_LINK_IFELSE([AC_LANG_PROGRAM([[
            #include <string.h>
            #ifndef __OPTIMIZE__
            #error not optimising
            #endif
            #if _FORTIFY_SOURCE == 3 && !__has_builtin(__builtin_dynamic_object_size)
            #error no dynamic sizes
            #endif]], [[char a[4]; strncpy(a, "abc", sizeof a); return a[0] == 'b']])],
            [rstun_cv_fortify=$rstun_level; break])
        done
        CFLAGS=$rstun_saved_cflags])
      AS_IF([test "x$rstun_cv_fortify" != xnone],
        [RSTUN_CPPFLAGS="$RSTUN_CPPFLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$rstun_cv_fortify"
         rstun_hardening_text=" (_FORTIFY_SOURCE=$rstun_cv_fortify)"])])])
])
