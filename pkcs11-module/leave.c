/*
 * Hosts that end without C_Finalize, as Java does: what the core has on the chip stays there when nobody else takes it off, and fills it up. So the core is
 * told at exit, after the host's own handlers, and the host waits for it a little, whatever holds it up. Threads of the host's that are inside calls get an
 * error. A host that is killed, or leaves by _exit, tells nobody; nor does a forked child, whose core is the parent's or a helper, which sees for itself.
 */
#include <pthread.h>

#include "front.h"
#include "workers.h"

/* How long a host may be kept from its end, in seconds. */
#define PATIENCE 1

__attribute__((destructor)) static void leave(void)
{
	static const uint64_t finalize[] = { fn_Finalize, 0 };
	int cancel;

	if (!tpmkey_core_is_here())
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	tpmkey_work_at_exit(finalize, sizeof finalize, PATIENCE);
	pthread_setcancelstate(cancel, NULL);
}
