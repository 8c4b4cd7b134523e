/*
 * Calls that the helper answers. Each has a connection of its own while it lasts, so that a long one in one thread holds up no other; idle connections
 * are kept. A descriptor that is not ours any more ends the helper for this process, and the next C_Initialize starts another.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "front.h"
#include "helper.h"
#include "signals.h"

struct connection {
	struct ours socket;
	int busy;
	int ended; /* its helper is no longer the process's; whoever is done with it frees it */
	struct connection *next;
};

/*
 * The lock is for what follows it. Nobody who holds it waits for the helper's answer to a call, and no handler of the host's runs meanwhile: one that forks,
 * or calls the module, would wait for the thread that it interrupts.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sigset_t before_lock; /* the signals that its holder has blocked otherwise */
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static struct ours control = { .fd = -1 };
static struct connection *connections;

static void take_lock(void)
{
	sigset_t before;

	tpmkey_block_signals(&before);
	pthread_mutex_lock(&lock);
	before_lock = before;
}

static void give_lock_back(void)
{
	sigset_t before = before_lock;

	pthread_mutex_unlock(&lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Others have the lock meanwhile. */
static void wait_for_idle_locked(void)
{
	sigset_t before = before_lock;

	pthread_cond_wait(&idle, &lock);
	before_lock = before;
}

/* The helper leaves when its control socket is closed. Threads that wait for it get the end of their connections to see. */
static void end_locked(void)
{
	struct connection *c, *next;

	tpmkey_give_up(&control);
	for (c = connections; c; c = next) {
		next = c->next;
		c->ended = 1;
		if (c->busy)
			continue;
		tpmkey_give_up(&c->socket);
		free(c);
	}
	connections = NULL;
	pthread_cond_broadcast(&idle);
}

/* Whether the helper is there: its end of the socket is open, and ours is ours. */
static int runs_locked(void)
{
	char byte;

	return tpmkey_is_ours(&control) && recv(control.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
}

CK_RV tpmkey_helper_start(void)
{
	CK_RV rv = CKR_OK;

	take_lock();
	if (!runs_locked()) {
		end_locked();
		rv = tpmkey_spawn_helper(&control) == 0 ? CKR_OK : CKR_FUNCTION_FAILED;
	}
	give_lock_back();
	return rv;
}

void tpmkey_helper_end(void)
{
	take_lock();
	end_locked();
	give_lock_back();
}

int tpmkey_helper_runs(void)
{
	int runs;

	take_lock();
	runs = control.fd >= 0;
	give_lock_back();
	return runs;
}

/* Passes the other end of a new connection on: one byte, and the descriptor beside it. */
static int pass(int fd)
{
	char byte = 0;
	struct iovec data = { &byte, 1 };
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} rights;
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights };
	ssize_t n;

	memset(&rights, 0, sizeof rights);
	rights.head.cmsg_len = CMSG_LEN(sizeof fd);
	rights.head.cmsg_level = SOL_SOCKET;
	rights.head.cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(&rights.head), &fd, sizeof fd);
	while ((n = sendmsg(control.fd, &message, MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	return n == 1 ? 0 : -1;
}

static CK_RV connect_locked(void)
{
	struct connection *c = calloc(1, sizeof *c);
	int pair[2], passed;

	if (!c || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		free(c);
		return CKR_HOST_MEMORY;
	}
	passed = pass(pair[1]);
	close(pair[1]);
	if (tpmkey_own(pair[0], &c->socket) != 0 || passed != 0) {
		tpmkey_give_up(&c->socket);
		free(c);
		return passed == 0 ? CKR_HOST_MEMORY : CKR_DEVICE_ERROR;
	}
	c->next = connections;
	connections = c;
	return CKR_OK;
}

static struct connection *idle_locked(void)
{
	struct connection *c = connections;

	while (c && c->busy)
		c = c->next;
	return c;
}

/* Finds a connection for one call: an idle one, a new one, or, where there are no descriptors left, the next that gets idle. */
static CK_RV find_locked(struct connection **found)
{
	CK_RV rv;

	for (;;) {
		if (control.fd < 0)
			return CKR_CRYPTOKI_NOT_INITIALIZED;
		if (!tpmkey_is_ours(&control))
			return CKR_DEVICE_ERROR;
		*found = idle_locked();
		if (*found)
			return tpmkey_is_ours(&(*found)->socket) ? CKR_OK : CKR_DEVICE_ERROR;
		rv = connect_locked();
		if (rv == CKR_HOST_MEMORY && connections)
			wait_for_idle_locked();
		else if (rv != CKR_OK)
			return rv;
	}
}

static CK_RV take(struct connection **taken)
{
	CK_RV rv;

	take_lock();
	rv = find_locked(taken);
	if (rv == CKR_OK)
		(*taken)->busy = 1;
	else if (rv == CKR_DEVICE_ERROR)
		end_locked();
	give_lock_back();
	return rv;
}

/* Gives a connection back. One that failed ends the helper: nobody knows what it is at. */
static CK_RV give_back_locked(struct connection *c, int failed)
{
	c->busy = 0;
	if (c->ended) {
		tpmkey_give_up(&c->socket);
		free(c);
		return failed ? CKR_CRYPTOKI_NOT_INITIALIZED : CKR_OK;
	}
	if (failed)
		end_locked();
	else
		pthread_cond_signal(&idle);
	return failed ? CKR_DEVICE_ERROR : CKR_OK;
}

/* Takes what was sent off what is to be sent. */
static void advance(struct msghdr *message, size_t sent)
{
	while (message->msg_iovlen && sent >= message->msg_iov->iov_len) {
		sent -= message->msg_iov->iov_len;
		message->msg_iov++;
		message->msg_iovlen--;
	}
	if (message->msg_iovlen) {
		message->msg_iov->iov_base = (char *)message->msg_iov->iov_base + sent;
		message->msg_iov->iov_len -= sent;
	}
}

static int send_all(int fd, const void *bytes, size_t size)
{
	uint64_t head = size;
	struct iovec parts[2] = { { &head, sizeof head }, { (void *)bytes, size } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

	while (message.msg_iovlen) {
		ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);

		if (n >= 0)
			advance(&message, (size_t)n);
		else if (errno != EINTR)
			return -1;
	}
	return 0;
}

/* Answers how many bytes came: fewer than were asked for only at the end. */
static size_t receive_all(int fd, void *to, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = recv(fd, (char *)to + got, size - got, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return got;
}

static int exchange(int fd, const void *request, size_t size, void **response, size_t *response_size)
{
	uint64_t length;
	size_t got;

	*response = NULL;
	if (send_all(fd, request, size) != 0 || receive_all(fd, &length, sizeof length) != sizeof length || length > SIZE_MAX)
		return -1;
	*response = malloc(length ? length : 1);
	if (!*response)
		return -1;
	*response_size = (size_t)length;
	got = receive_all(fd, *response, *response_size);
	if (got == *response_size)
		return 0;
	explicit_bzero(*response, got); /* perhaps half of a plaintext */
	free(*response);
	*response = NULL;
	return -1;
}

CK_RV tpmkey_helper_call(const void *request, size_t size, void **response, size_t *response_size)
{
	struct connection *c = NULL;
	int failed;
	CK_RV rv;

	rv = take(&c);
	if (rv != CKR_OK)
		return rv;
	failed = exchange(c->socket.fd, request, size, response, response_size);
	take_lock();
	rv = give_back_locked(c, failed);
	give_lock_back();
	return rv;
}

void tpmkey_helper_before_fork(void) { take_lock(); }
void tpmkey_helper_after_fork_in_parent(void) { give_lock_back(); }

/* The helper is the parent's. Its sockets are closed here, or it would not see the parent end. Threads that used some of them are not here. */
void tpmkey_helper_after_fork_in_child(void)
{
	static const pthread_mutex_t new_lock = PTHREAD_MUTEX_INITIALIZER;
	static const pthread_cond_t nobody = PTHREAD_COND_INITIALIZER;
	struct connection *c;

	lock = new_lock;
	idle = nobody;
	tpmkey_give_up(&control);
	for (c = connections; c; c = c->next)
		tpmkey_give_up(&c->socket);
	connections = NULL; /* not freed: malloc may not work in a handler of fork */
}
