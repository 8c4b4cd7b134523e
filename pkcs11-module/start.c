/*
 * Starting Go inside somebody else's process: late, with the host's signals untouched, and never in a forked child, where the runtime's threads do
 * not exist and every call would hang.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "front.h"

typedef void (*init_function)(int argc, char **argv, char **envp);

/* From defer.ld. Weak, because the package's tests are linked without it. */
extern init_function tpmkey_init_start[] __attribute__((weak, visibility("hidden")));
extern init_function tpmkey_init_end[] __attribute__((weak, visibility("hidden")));
extern char **environ;

static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
static atomic_int started;
static atomic_int forked;

int tpmkey_started(void) { return atomic_load(&started); }
int tpmkey_forked(void) { return atomic_load(&forked); }

/* What the kernel sends a thread for its own mistake. Go makes panics of these; blocked, they would end the process. */
static const int own_mistakes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };

/* While Go runs on a thread of the host's, the host's signals wait: a handler would otherwise run on a stack of Go's. */
void tpmkey_block_signals(sigset_t *before)
{
	sigset_t others;
	size_t i;

	sigfillset(&others);
	for (i = 0; i < sizeof own_mistakes / sizeof own_mistakes[0]; i++)
		sigdelset(&others, own_mistakes[i]);
	pthread_sigmask(SIG_SETMASK, &others, before);
}

static void after_fork_in_child(void) { atomic_store(&forked, 1); }

static void *nothing(void *unused) { return unused; }

/* Go ends the process when it cannot make a thread, so one is tried first. */
static int can_make_threads(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

/* What the auxiliary vector tells Go: the entries that its runtime and x/sys/unix look at. */
static const unsigned long auxiliary[] = { AT_PAGESZ, AT_HWCAP, AT_HWCAP2, AT_RANDOM, AT_SECURE, AT_SYSINFO_EHDR };
#define AUXILIARY (sizeof auxiliary / sizeof auxiliary[0])

/*
 * The runtime reads its arguments, environment and auxiliary vector from one block, as the kernel lays it out. It gets a block of its own: the
 * environment as it is now, or none in a process with raised privileges. The block and its strings live as long as the process.
 */
static char **argument_block(void)
{
	static char name[] = "tpmkey-pkcs11";
	char **from = getauxval(AT_SECURE) ? NULL : environ;
	size_t count = 0, i, at = 0;
	char **block;
	ElfW(auxv_t) *vector;

	while (from && from[count])
		count++;
	block = calloc(1 + 1 + count + 1 + 2 * (AUXILIARY + 1), sizeof *block);
	if (!block)
		return NULL;
	block[at++] = name;
	block[at++] = NULL;
	for (i = 0; i < count; i++) {
		char *copy = strdup(from[i]);

		if (!copy)
			return NULL;
		block[at++] = copy;
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

static CK_RV start_locked(void)
{
	init_function *init;
	char **block;

	if (!can_make_threads())
		return CKR_HOST_MEMORY;
	block = argument_block();
	if (!block || pthread_atfork(NULL, NULL, after_fork_in_child) != 0)
		return CKR_HOST_MEMORY;
	for (init = tpmkey_init_start; init < tpmkey_init_end; init++)
		(*init)(1, block, block + 2);
	atomic_store(&started, 1);
	return CKR_OK;
}

/* Starts Go, once. Its threads inherit the blocked signals, so that none of them ever takes one of the host's. */
CK_RV tpmkey_start(void)
{
	sigset_t before;
	CK_RV rv = CKR_OK;

	tpmkey_block_signals(&before);
	pthread_mutex_lock(&starting);
	if (!tpmkey_started())
		rv = start_locked();
	pthread_mutex_unlock(&starting);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rv;
}
