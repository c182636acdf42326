/* SPDX-License-Identifier: MIT */
/*
 * What the daemon begins with: the log, the greeting, the control socket, and what the command
 * line, the configuration file and the state file say. Steps of daemon.c's list. Main thread.
 */
#pragma once

struct daemon;

/* Descriptors that the service manager passed in: before anything else is opened. */
int daemon_start_activation(struct daemon *d);
void daemon_end_activation(struct daemon *d);
int daemon_start_log(struct daemon *d);
void daemon_end_log(struct daemon *d);
/* Says which versions run, and what somebody should know. */
int daemon_start_greeting(struct daemon *d);
/* Takes the path of the control socket, or what systemd passes in; nobody is served yet. */
int daemon_start_socket(struct daemon *d);
void daemon_end_socket(struct daemon *d);
int daemon_start_control(struct daemon *d);
void daemon_end_control(struct daemon *d);
/* Everything there is to hold at start. What goes wrong is logged. */
int daemon_start_all(struct daemon *d);
/* All workers have what they were given. */
void daemon_started(struct daemon *d);
