/*
 * Go makes a thread whenever it likes, and ends the process when it cannot; a host may deny new ones at any time (seccomp, limits). So it gets threads
 * that were made before: the linker brings Go's pthread_create here (--wrap in module.mk). What is taken is made anew before the next call, as long
 * as the host lets us.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "pool.h"

/* What Go starts with, and keeps busy at once (threads.go): nobody else gets the last of these. The others are for workers. */
#define OF_GO 6
#define READY (OF_GO + 2)

/* Go's own, behind --wrap. Nobody else's, so it is not there where Go is not. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) __attribute__((weak));
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);

struct ready {
	pthread_t thread;
	sem_t wanted;
	void *(*run)(void *);
	void *argument;
	struct ready *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ready *first;
static int count;

/*
 * While a call of Go's waits for the chip, its monitor sleeps for 20 microseconds again and again (runtime.sysmon), which took a quarter of the time of
 * processors that a signature needs. It may be a millisecond late. In nanoseconds.
 */
#define SLACK 1000000UL

static void *wait_to_be_wanted(void *argument)
{
	struct ready *r = argument, mine;

	prctl(PR_SET_TIMERSLACK, SLACK, 0, 0, 0);
	while (sem_wait(&r->wanted) != 0 && errno == EINTR)
		;
	mine = *r;
	sem_destroy(&r->wanted);
	free(r);
	return mine.run(mine.argument);
}

static int make_thread(struct ready *r)
{
	pthread_attr_t detached;
	int failed;

	if (pthread_attr_init(&detached) != 0)
		return -1;
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	failed = __real_pthread_create(&r->thread, &detached, wait_to_be_wanted, r);
	pthread_attr_destroy(&detached);
	return failed;
}

static int make_ready_locked(void)
{
	struct ready *r = calloc(1, sizeof *r);

	if (!r || sem_init(&r->wanted, 0, 0) != 0 || make_thread(r) != 0) {
		free(r);
		return -1;
	}
	r->next = first;
	first = r;
	count++;
	return 0;
}

/* The new threads have the caller's descriptors and blocked signals, so this is for threads of ours. */
int tpmkey_fill_pool(void)
{
	int failed = 0;

	pthread_mutex_lock(&lock);
	while (count < READY && !failed)
		failed = make_ready_locked();
	pthread_mutex_unlock(&lock);
	return failed;
}

/* The next thread, a detached one, where more than some are left. */
static struct ready *take_beyond_locked(int left)
{
	struct ready *r = first;

	if (count <= left)
		return NULL;
	first = r->next;
	count--;
	return r;
}

static int run_on(struct ready *r, pthread_t *thread, void *(*run)(void *), void *argument)
{
	if (!r)
		return EAGAIN;
	*thread = r->thread;
	r->run = run;
	r->argument = argument;
	sem_post(&r->wanted);
	return 0;
}

/* How long a caller waits for somebody who fills the pool, in milliseconds. Whoever fills it looks for jobs without a thread afterwards. */
#define PATIENCE 100

/* Whoever fills the pool may wait for malloc, and malloc for the thread that exits now, by a handler that interrupts it. */
static int lock_with_patience(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += PATIENCE * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	return pthread_mutex_timedlock(&lock, &until);
}

int tpmkey_take_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
	struct ready *r;

	if (lock_with_patience() != 0)
		return EAGAIN;
	r = take_beyond_locked(OF_GO);
	pthread_mutex_unlock(&lock);
	return run_on(r, thread, run, argument);
}

/* Go asks for what a thread of the pool is: detached, with a stack of the usual size. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	struct ready *r;

	pthread_mutex_lock(&lock);
	r = take_beyond_locked(0);
	pthread_mutex_unlock(&lock);
	if (run_on(r, thread, run, argument) == 0)
		return 0;
	return __real_pthread_create(thread, attributes, run, argument);
}
