/*
 * The threads that Go runs on. A host's thread never does: its stack may be small, its signals are the host's, it may be cancelled, and above all the
 * host may close any descriptor. Go ends the process when it misses one of its own, so these threads have a table of descriptors to themselves, which
 * no closefrom reaches and no forked child inherits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "front.h"
#include "pool.h"
#include "signals.h"
#include "workers.h"

#pragma weak tpmkey_core /* see start.c, which starts no workers without it */

/* Calls at once; more wait. */
#define MOST_WORKERS 64

/* Not on the caller's stack: a signal handler of the host's may leave a call by longjmp. */
struct job {
	const void *request;
	size_t size;
	void *response;
	size_t response_size;
	sem_t done;
	struct job *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct job *first, **last = &first;
static sem_t wakes; /* of workers who sleep; whoever posts takes one off their number */
static int workers, sleeping;
static atomic_int calls; /* that wait for an answer: no more workers than that are of use, and one who is done with a call soon looks for the next */

/* Whatever signals the host takes meanwhile. */
static void wait_for(sem_t *posted)
{
	while (sem_wait(posted) != 0 && errno == EINTR)
		;
}

static struct job *first_job_locked(void)
{
	struct job *j = first;

	first = j->next;
	if (!first)
		last = &first;
	return j;
}

static struct job *next_job(void)
{
	struct job *j;

	pthread_mutex_lock(&lock);
	while (!first) {
		sleeping++;
		pthread_mutex_unlock(&lock);
		wait_for(&wakes);
		pthread_mutex_lock(&lock);
	}
	j = first_job_locked();
	pthread_mutex_unlock(&lock);
	return j;
}

static void *worker(void *unused);

/* Wakes a worker for one more job, or makes a new one. Where neither can be, the job waits until somebody is done. */
static void find_worker_locked(void)
{
	pthread_t thread;

	if (sleeping > 0) {
		sleeping--;
		sem_post(&wakes);
	} else if (workers < calls && workers < MOST_WORKERS && tpmkey_take_thread(&thread, worker, NULL) == 0) {
		workers++;
	}
}

void *tpmkey_memory(size_t size) { return malloc(size); }

/* What Go's heap and one more thread may take during a call. */
#define ROOM ((size_t)16 << 20)

static int is_limited(int resource)
{
	struct rlimit r;

	return getrlimit(resource, &r) == 0 && r.rlim_cur != RLIM_INFINITY;
}

/* Go ends the process when it gets no memory. Where a host has limited it, there must be room before Go is called. */
static int has_room(void)
{
	void *room;

	if (!is_limited(RLIMIT_AS) && !is_limited(RLIMIT_DATA))
		return 1;
	room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return room != MAP_FAILED && munmap(room, ROOM) == 0;
}

static void call_go(struct job *j)
{
	tpmkey_take_handlers();
	tpmkey_core((void *)j->request, j->size, &j->response, &j->response_size);
	tpmkey_give_handlers_back();
}

/* Jobs that found no thread when they came may find one now: who is busy may stay so for long, before a prompt for instance. */
static void help_those_who_wait(void)
{
	tpmkey_fill_pool();
	pthread_mutex_lock(&lock);
	if (first)
		find_worker_locked();
	pthread_mutex_unlock(&lock);
}

static void serve(struct job *j)
{
	help_those_who_wait();
	if (has_room())
		call_go(j);
	sem_post(&j->done);
}

static void *worker(void *unused)
{
	prctl(PR_SET_NAME, "tpmkey");
	for (;;)
		serve(next_job());
	return unused;
}

/*
 * A table of descriptors of the calling thread's and those that it makes, with nothing of the host's in it. The standard ones are taken, so that nothing
 * that is meant for them goes anywhere else.
 */
static void part_descriptors(void)
{
	int fd;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, 0U, ~0U, 2U /* CLOSE_RANGE_UNSHARE */) == 0) {
		for (fd = 0; fd < 3; fd++)
			epoll_create1(EPOLL_CLOEXEC);
		return;
	}
#endif
	if (unshare(CLONE_FILES) != 0)
		return; /* as good as it gets */
	for (fd = 0; fd < 1 << 16; fd++)
		close(fd);
	for (fd = 0; fd < 3; fd++)
		epoll_create1(EPOLL_CLOEXEC);
}

/* Go ends the process when it gets no descriptors for its poller, which it makes at once (threads.go). */
static int has_descriptors(void)
{
	int fd[4], got = 0, i;

	while (got < 4 && (fd[got] = epoll_create1(EPOLL_CLOEXEC)) >= 0)
		got++;
	for (i = 0; i < got; i++)
		close(fd[i]);
	return got == 4;
}

/* The first worker starts Go, whose threads are then in its place. */
struct start {
	void (*go)(void);
	int started;
	sem_t done;
};

static void *first_worker(void *argument)
{
	struct start *s = argument;

	part_descriptors();
	s->started = has_descriptors() && tpmkey_fill_pool() == 0;
	if (s->started)
		s->go();
	sem_post(&s->done);
	return s->started ? worker(NULL) : NULL;
}

/* To be called with all signals blocked, which all of these threads inherit. Fails where Go cannot have what it needs. */
int tpmkey_start_workers(void (*go)(void))
{
	struct start s = { .go = go };
	pthread_t thread;

	if (sem_init(&s.done, 0, 0) != 0 || sem_init(&wakes, 0, 0) != 0 || pthread_create(&thread, NULL, first_worker, &s) != 0)
		return -1;
	pthread_detach(thread);
	wait_for(&s.done);
	sem_destroy(&s.done);
	workers = 1;
	return s.started ? 0 : -1;
}

/* No handler of the host's runs meanwhile: one that calls the module, or never comes back, would leave the lock taken. Waits for it at most until some time. */
static int add(struct job *j, const struct timespec *until)
{
	sigset_t before;
	int failed;

	tpmkey_block_signals(&before);
	calls++;
	failed = until ? pthread_mutex_timedlock(&lock, until) : pthread_mutex_lock(&lock);
	if (!failed) {
		*last = j;
		last = &j->next;
		find_worker_locked();
		pthread_mutex_unlock(&lock);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed;
}

CK_RV tpmkey_work(const void *request, size_t size, void **response, size_t *response_size)
{
	struct job *j = calloc(1, sizeof *j);

	if (!j || sem_init(&j->done, 0, 0) != 0) {
		free(j);
		return CKR_HOST_MEMORY;
	}
	j->request = request;
	j->size = size;
	add(j, NULL);
	wait_for(&j->done);
	calls--;
	*response = j->response;
	*response_size = j->response_size;
	sem_destroy(&j->done);
	free(j);
	return *response ? CKR_OK : CKR_HOST_MEMORY;
}

/*
 * The last call of a process. It may be that exit was called by a handler that interrupts anything, malloc too: so there is nothing that could wait for that,
 * neither memory nor a new thread, and whoever calls waits for so many seconds at most.
 */
void tpmkey_work_at_exit(const void *request, size_t size, int seconds)
{
	static struct job j;
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	j.request = request;
	j.size = size;
	if (sem_init(&j.done, 0, 0) != 0 || add(&j, &until) != 0)
		return;
	while (sem_timedwait(&j.done, &until) != 0 && errno == EINTR)
		;
}
