/*
 * Starting Go inside somebody else's process: late, with the host's signals untouched, and never in a forked child, where the runtime's threads do
 * not exist and every call would hang. Where Go cannot run, the helper answers.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "front.h"
#include "helper.h"
#include "signals.h"
#include "workers.h"

typedef void (*init_function)(int argc, char **argv, char **envp);

/* From defer.ld. Weak, because the package's tests are linked without it. */
extern init_function tpmkey_init_start[] __attribute__((weak, visibility("hidden")));
extern init_function tpmkey_init_end[] __attribute__((weak, visibility("hidden")));
extern char **environ;

/* Not there where the C library takes no library of Go's (musl): then the helper answers everything. */
#pragma weak tpmkey_core

static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
static int looked_for_helper;

/*
 * Where the core is:
 *
 *   nowhere ── first C_Initialize ──► here ── fork, in the child ──► elsewhere
 *      └───────── Go cannot run ─────────────────────────────────────────▲
 *
 * Go is started once in a process, and a child that has a copy of it never gets another.
 */
enum core { nowhere, here, elsewhere };
static _Atomic enum core core;
static _Atomic pid_t process; /* that core is true of, since it is not nowhere */

/* The thread that forks, whose signals a child of a bare clone leaves alone, and those that it has blocked otherwise. */
static pthread_t forker;
static int forking;
static sigset_t forker_blocks;

/* The host's handlers wait until the locks are given back: one that forks, or calls the module, would wait for the thread that it interrupts. */
static void before_fork(void)
{
	sigset_t before;

	tpmkey_block_signals(&before);
	pthread_mutex_lock(&starting);
	forker_blocks = before;
	forker = pthread_self();
	forking = 1;
	tpmkey_helper_before_fork();
	tpmkey_signals_before_fork();
}

static void after_fork_in_parent(void)
{
	sigset_t before = forker_blocks;

	tpmkey_signals_after_fork_in_parent();
	tpmkey_helper_after_fork_in_parent();
	forking = 0;
	pthread_mutex_unlock(&starting);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void after_fork_in_child(void)
{
	static const pthread_mutex_t new_lock = PTHREAD_MUTEX_INITIALIZER;
	int forked = forking && pthread_equal(forker, pthread_self());

	starting = new_lock;
	forking = 0;
	tpmkey_helper_after_fork_in_child();
	tpmkey_signals_after_fork_in_child();
	if (atomic_load(&core) != nowhere)
		atomic_store(&core, elsewhere);
	atomic_store(&process, getpid());
	if (forked)
		pthread_sigmask(SIG_SETMASK, &forker_blocks, NULL);
}

/* Not at the first C_Initialize: another thread may fork meanwhile. */
__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* A child of a bare clone has called no handlers. */
static enum core where(void)
{
	if (atomic_load(&core) != nowhere && atomic_load(&process) != getpid())
		after_fork_in_child();
	return atomic_load(&core);
}

/* Go ends the process when its address space is small: the heap's tables alone are several hundred megabytes, reserved and not used. */
static int has_address_space(void)
{
	const size_t enough = sizeof(void *) == 8 ? (size_t)1 << 30 : (size_t)1 << 28;
	void *space = mmap(NULL, enough, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return space != MAP_FAILED && munmap(space, enough) == 0;
}

/* What the auxiliary vector tells Go: the entries that its runtime and x/sys/unix look at. */
static const unsigned long auxiliary[] = { AT_PAGESZ, AT_HWCAP, AT_HWCAP2, AT_RANDOM, AT_SECURE, AT_SYSINFO_EHDR };
#define AUXILIARY (sizeof auxiliary / sizeof auxiliary[0])

/*
 * The runtime reads its arguments, environment and auxiliary vector from one block, as the kernel lays it out. It gets a block of its own: the
 * host's name, the environment as it is now, or none in a process with raised privileges. GODEBUG is ours: Go shall not interrupt its threads by
 * SIGURG, which is the host's. The block and its strings live as long as the process.
 */
static char **argument_block(void)
{
	static char debug[] = "GODEBUG=asyncpreemptoff=1";
	char **from = getauxval(AT_SECURE) ? NULL : environ;
	size_t count = 0, i, at = 0;
	char **block;
	ElfW(auxv_t) *vector;

	while (from && from[count])
		count++;
	block = calloc(1 + 1 + 1 + count + 1 + 2 * (AUXILIARY + 1), sizeof *block);
	if (!block)
		return NULL;
	block[at++] = program_invocation_name;
	block[at++] = NULL;
	block[at++] = debug;
	for (i = 0; i < count && from[i]; i++) { /* another thread may take one out */
		if (strncmp(from[i], debug, sizeof "GODEBUG") == 0)
			continue;
		block[at] = strdup(from[i]);
		if (!block[at++])
			return NULL;
	}
	block[at++] = NULL;
	vector = (ElfW(auxv_t) *)(block + at);
	for (i = 0; i < AUXILIARY; i++) {
		vector[i].a_type = auxiliary[i];
		vector[i].a_un.a_val = getauxval(auxiliary[i]);
	}
	vector[i].a_type = AT_NULL;
	return block;
}

/* Go starts on a thread of its own; the first call waits for it. */
static void wait_for_go(void)
{
	uint64_t no_function = fn_none;
	void *response;
	size_t size;

	tpmkey_core(&no_function, sizeof no_function, &response, &size);
	free(response);
}

static char **arguments;

static void start_go(void)
{
	static struct sigaction handlers[NSIG]; /* large for a small stack */
	init_function *init;

	tpmkey_unmark_signals();
	tpmkey_save_handlers(handlers);
	for (init = tpmkey_init_start; init < tpmkey_init_end; init++)
		(*init)(1, arguments, arguments + 2);
	wait_for_go();
	tpmkey_restore_handlers(handlers);
}

static int start_here(void)
{
	arguments = argument_block();
	if (!arguments || tpmkey_start_workers(start_go) != 0)
		return 0;
	atomic_store(&core, here);
	return 1;
}

static CK_RV start_locked(void)
{
	if (!looked_for_helper)
		tpmkey_find_helper();
	looked_for_helper = 1;
	if (where() == here)
		return CKR_OK;
	if (where() == nowhere) {
		atomic_store(&process, getpid());
		if (tpmkey_core && has_address_space() && start_here())
			return CKR_OK;
		atomic_store(&core, elsewhere);
	}
	return tpmkey_helper_start();
}

/* Starts the core where it can be. Go's threads inherit the blocked signals, so that none of them ever takes one of the host's. */
CK_RV tpmkey_start(void)
{
	sigset_t before;
	CK_RV rv;
	int cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	where(); /* a lock that a thread of the parent's held is not waited for */
	tpmkey_block_signals(&before);
	pthread_mutex_lock(&starting);
	rv = start_locked();
	pthread_mutex_unlock(&starting);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_setcancelstate(cancel, NULL);
	return rv;
}

void tpmkey_stop(void)
{
	if (where() == elsewhere)
		tpmkey_helper_end();
}

CK_RV tpmkey_call(const void *request, size_t size, void **response, size_t *response_size)
{
	int cancel;
	CK_RV rv = CKR_CRYPTOKI_NOT_INITIALIZED;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	switch (where()) {
	case nowhere:
		break;
	case here:
		rv = tpmkey_work(request, size, response, response_size);
		break;
	case elsewhere:
		rv = tpmkey_helper_call(request, size, response, response_size);
	}
	pthread_setcancelstate(cancel, NULL);
	return rv;
}

int tpmkey_core_is_here(void) { return atomic_load(&core) == here && atomic_load(&process) == getpid(); }

int tpmkey_started(void)
{
	switch (where()) {
	case here:
		return 1;
	case elsewhere:
		return tpmkey_helper_runs();
	default:
		return 0;
	}
}
