/*
 * Hosts that end without C_Finalize, as Java does: what the core has on the chip stays there when nobody else takes it off, and fills it up. So the core is
 * told at exit, after the host's own handlers, by a thread that may take as long as it likes: the host waits for it a little, whatever holds it up. Threads
 * of the host's that are inside calls get an error. A host that is killed, or leaves by _exit, tells nobody; nor does a forked child, whose core is the
 * parent's or a helper, which sees for itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "front.h"
#include "signals.h"

/* How long a host may be kept from its end, in seconds. */
#define PATIENCE 1

static sem_t told; /* not on the stack: the thread may outlast whoever waits */

static void *tell(void *unused)
{
	uint64_t finalize[] = { fn_Finalize, 0 };
	void *response = NULL;
	size_t size;

	tpmkey_call(finalize, sizeof finalize, &response, &size);
	free(response);
	sem_post(&told);
	return unused;
}

static void wait_a_little(void)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += PATIENCE;
	while (sem_timedwait(&told, &end) != 0 && errno == EINTR)
		;
}

__attribute__((destructor)) static void leave(void)
{
	sigset_t before;
	pthread_t thread;
	int made;

	if (!tpmkey_core_is_here() || sem_init(&told, 0, 0) != 0)
		return;
	tpmkey_block_signals(&before);
	made = pthread_create(&thread, NULL, tell, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (made) {
		pthread_detach(thread);
		wait_a_little();
	}
}
