/*
 * What Go does to the signals of its process, undone. It takes the handlers of SIGSEGV, SIGBUS and SIGFPE, of which it makes panics, and those of SIGPIPE
 * and SIGURG. The host's stay in force; the three are Go's only while a call runs.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>

#include "front.h"
#include "signals.h"

/* What the kernel sends a thread for its own mistake. Blocked, they would end the process. */
static const int own_mistakes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };

/* The first of them, which Go has handlers for. */
enum { GOS = 3 };
static struct sigaction of_go[GOS], of_host[GOS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned inside; /* calls that run; of_go is in force while there are some */

/* For Go's threads, which take none of the host's signals. */
void tpmkey_block_signals(sigset_t *before)
{
	sigset_t others;
	size_t i;

	sigfillset(&others);
	for (i = 0; i < sizeof own_mistakes / sizeof own_mistakes[0]; i++)
		sigdelset(&others, own_mistakes[i]);
	pthread_sigmask(SIG_SETMASK, &others, before);
}

/* The handler alone tells: the kernel and libc differ in what they do with flags. */
static int same(const struct sigaction *a, const struct sigaction *b)
{
	return (a->sa_flags & SA_SIGINFO) == (b->sa_flags & SA_SIGINFO) && a->sa_sigaction == b->sa_sigaction;
}

/* Before a call. */
void tpmkey_take_handlers(void)
{
	int i;

	pthread_mutex_lock(&lock);
	for (i = 0; inside == 0 && i < GOS; i++)
		sigaction(own_mistakes[i], &of_go[i], &of_host[i]);
	inside++;
	pthread_mutex_unlock(&lock);
}

/* A host that has set another handler meanwhile keeps it. */
static void give_back_locked(void)
{
	struct sigaction now;
	int i;

	for (i = 0; i < GOS; i++)
		if (sigaction(own_mistakes[i], NULL, &now) == 0 && same(&now, &of_go[i]))
			sigaction(own_mistakes[i], &of_host[i], NULL);
}

/* After a call. */
void tpmkey_give_handlers_back(void)
{
	pthread_mutex_lock(&lock);
	if (--inside == 0)
		give_back_locked();
	pthread_mutex_unlock(&lock);
}

void tpmkey_save_handlers(struct sigaction *handlers)
{
	int i;

	for (i = 1; i < NSIG; i++)
		sigaction(i, NULL, &handlers[i]);
}

/* After Go has started: notes its handlers, and puts the host's back. */
void tpmkey_restore_handlers(const struct sigaction *handlers)
{
	struct sigaction now;
	int i;

	for (i = 0; i < GOS; i++)
		sigaction(own_mistakes[i], NULL, &of_go[i]);
	for (i = 1; i < NSIG; i++)
		if (sigaction(i, NULL, &now) == 0 && (!same(&now, &handlers[i]) || now.sa_flags != handlers[i].sa_flags))
			sigaction(i, &handlers[i], NULL);
}

void tpmkey_signals_before_fork(void) { pthread_mutex_lock(&lock); }
void tpmkey_signals_after_fork_in_parent(void) { pthread_mutex_unlock(&lock); }

/* The calls that ran are the parent's. */
void tpmkey_signals_after_fork_in_child(void)
{
	static const pthread_mutex_t new_lock = PTHREAD_MUTEX_INITIALIZER;

	lock = new_lock;
	if (inside)
		give_back_locked();
	inside = 0;
}
