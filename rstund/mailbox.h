/* SPDX-License-Identifier: MIT */
/*
 * How one thread reaches another: a list under a mutex, and an eventfd on the receiver's loop. The
 * receiver takes the whole list in one go and handles it unlocked, so a sender never waits for
 * work.
 *
 * mailbox_post never refuses; mailbox_offer does when too much of what may be dropped is waiting
 * (whatever a peer could make grow goes through it). An item belongs to the mailbox from a
 * successful post until it is handed to on_item, which owns it then.
 *
 * Life: init and done on one thread, before the senders exist and after they are gone; attach,
 * detach and on_item on the receiver's; post and offer on any.
 */
#pragma once

#include <event2/event_struct.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct loop;

/* The first member of what is sent. */
struct mailbox_item {
	STAILQ_ENTRY(mailbox_item) link;
};

STAILQ_HEAD(mailbox_list, mailbox_item);

struct mailbox {
	pthread_mutex_t lock;
	struct mailbox_list items; /* under lock */
	size_t offered;            /* under lock: of them, how many came by mailbox_offer */
	bool woken;                /* under lock: the receiver is on its way to take the list */
	int fd;                    /* eventfd */
	bool attached;
	struct loop *loop; /* the receiver's, borrowed */
	struct event event;
	void (*on_item)(void *user, struct mailbox_item *item);
	void *user;
};

/* RSTUN_E_LIMIT_REACHED (descriptors), RSTUN_E_NOMEM. */
int mailbox_init(struct mailbox *mb, void (*on_item)(void *user, struct mailbox_item *item),
		 void *user);
/* Begins to deliver on `loop`, what waits already included. */
int mailbox_attach(struct mailbox *mb, struct loop *loop);
void mailbox_detach(struct mailbox *mb); /* no-op when not attached; not from on_item */

void mailbox_post(struct mailbox *mb, struct mailbox_item *item);
/* Does not wake the receiver: for what another post of this thread follows. */
void mailbox_post_early(struct mailbox *mb, struct mailbox_item *item);
/* False, and the caller keeps the item, when `max` offered items wait already. What the receiver
 * has taken out and not handled yet does not count: twice `max` bounds the memory. */
bool mailbox_offer(struct mailbox *mb, struct mailbox_item *item, size_t max);

/* Takes one item that was not delivered, for freeing after detach; NULL when there is none. */
struct mailbox_item *mailbox_take(struct mailbox *mb);
void mailbox_done(struct mailbox *mb); /* must be empty */
