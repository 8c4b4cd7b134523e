/*
 * Threads that wait until C_Finalize or until it is time to look for something else. There is no lock that a fork could find taken, and a child has
 * nobody who waits.
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "front.h"

/* futex(2), whose header musl's compiler does not find. */
#define WAIT_PRIVATE (0 | 128)
#define WAKE_PRIVATE (1 | 128)

static _Atomic unsigned finalizations;

unsigned tpmkey_finalizations(void) { return atomic_load(&finalizations); }

void tpmkey_finalized(void)
{
	atomic_fetch_add(&finalizations, 1);
	syscall(SYS_futex, &finalizations, WAKE_PRIVATE, ~0U >> 1, NULL, NULL, 0);
}

/* Waits a second at most, and tells whether C_Finalize was called since there were so many of it. */
int tpmkey_await_finalize(unsigned before)
{
	struct timespec second = { 1, 0 };

	syscall(SYS_futex, &finalizations, WAIT_PRIVATE, before, &second, NULL, 0);
	return tpmkey_finalizations() != before;
}
