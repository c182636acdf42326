/* SPDX-License-Identifier: MIT */
/*
 * The mailbox between threads: see the header for whose calls are whose. The lock is held for a few
 * pointer assignments only. The eventfd is written once per batch, and before the lock is given
 * back: a receiver that was not woken for an item takes it with the batch that it is on its way to.
 */
#include "rstund/mailbox.h"

#include "base/error.h"
#include "base/loop.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void mailbox_on_readable(evutil_socket_t fd, short what, void *user)
{
	struct mailbox *mb = user;
	struct mailbox_list batch = STAILQ_HEAD_INITIALIZER(batch);
	struct mailbox_item *item;
	uint64_t count;

	(void)fd;
	(void)what;
	loop_enter(mb->loop);
	/* Read first: a post after it wakes us again, at worst for nothing. */
	if (read(mb->fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		return;
	pthread_mutex_lock(&mb->lock);
	STAILQ_CONCAT(&batch, &mb->items);
	mb->offered = 0;
	mb->woken = false;
	pthread_mutex_unlock(&mb->lock);
	while ((item = STAILQ_FIRST(&batch)) != NULL) {
		STAILQ_REMOVE_HEAD(&batch, link);
		mb->on_item(mb->user, item);
	}
}

int mailbox_init(struct mailbox *mb, void (*on_item)(void *user, struct mailbox_item *item),
		 void *user)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return rstun_error_from_errno(errno);
	*mb = (struct mailbox){.fd = fd, .on_item = on_item, .user = user};
	STAILQ_INIT(&mb->items);
	if (pthread_mutex_init(&mb->lock, NULL) != 0) {
		close(fd);
		mb->fd = -1;
		return RSTUN_E_NOMEM;
	}
	return 0;
}

int mailbox_attach(struct mailbox *mb, struct loop *loop)
{
	mb->loop = loop;
	if (event_assign(&mb->event, loop->base, mb->fd, EV_READ | EV_PERSIST, mailbox_on_readable,
			 mb) != 0 ||
	    event_add(&mb->event, NULL) != 0)
		return RSTUN_E_NOMEM;
	mb->attached = true;
	return 0;
}

void mailbox_detach(struct mailbox *mb)
{
	if (!mb->attached)
		return;
	event_del(&mb->event);
	mb->attached = false;
}

static void mailbox_append(struct mailbox *mb, struct mailbox_item *item)
{
	static const uint64_t one = 1;

	STAILQ_INSERT_TAIL(&mb->items, item, link);
	/* Cannot block: the counter is far from its end. A signal may interrupt it, nothing else.
	 */
	while (!mb->woken && write(mb->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	mb->woken = true;
}

void mailbox_post(struct mailbox *mb, struct mailbox_item *item)
{
	pthread_mutex_lock(&mb->lock);
	mailbox_append(mb, item);
	pthread_mutex_unlock(&mb->lock);
}

void mailbox_post_early(struct mailbox *mb, struct mailbox_item *item)
{
	pthread_mutex_lock(&mb->lock);
	STAILQ_INSERT_TAIL(&mb->items, item, link);
	pthread_mutex_unlock(&mb->lock);
}

bool mailbox_offer(struct mailbox *mb, struct mailbox_item *item, size_t max)
{
	bool room;

	pthread_mutex_lock(&mb->lock);
	room = mb->offered < max;
	if (room) {
		mb->offered++;
		mailbox_append(mb, item);
	}
	pthread_mutex_unlock(&mb->lock);
	return room;
}

struct mailbox_item *mailbox_take(struct mailbox *mb)
{
	struct mailbox_item *item;

	pthread_mutex_lock(&mb->lock);
	item = STAILQ_FIRST(&mb->items);
	if (item != NULL)
		STAILQ_REMOVE_HEAD(&mb->items, link);
	pthread_mutex_unlock(&mb->lock);
	return item;
}

void mailbox_done(struct mailbox *mb)
{
	if (mb == NULL || mb->fd < 0)
		return;
	mailbox_detach(mb);
	close(mb->fd);
	mb->fd = -1;
	pthread_mutex_destroy(&mb->lock);
}
