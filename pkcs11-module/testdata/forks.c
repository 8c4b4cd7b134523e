/*
 * A host that forks, as servers do: nginx's master is itself a forked child.
 *
 *   forks MODULE direct|finalize|many|uninitialized|descendants|handler|interrupted N
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

enum { THREADS = 4, AT_ONCE = 4 };

static atomic_int done;
static atomic_int parent_signatures;

static void *signer(void *unused)
{
	CK_SESSION_HANDLE s = open_session();
	CK_OBJECT_HANDLE key = private_key(s);

	while (!done && !failed) {
		sign(s, key);
		parent_signatures++;
	}
	CHECK(CKR_OK, f->C_CloseSession(s));
	return unused;
}

static void child(int finalize_first, int signatures)
{
	alarm(120); /* a call that hangs is a failure */
	if (finalize_first)
		CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_Finalize(NULL));
	CHECK(CKR_OK, f->C_Initialize(NULL));
	use(signatures);
	CHECK(CKR_OK, f->C_Finalize(NULL));
	_exit(failed);
}

static void reap(void)
{
	int status = -1;

	EXPECT(wait(&status) > 0 && status == 0, "a child ended with status %d", status);
}

/* Children of a parent whose threads are in the middle of calls. */
static void fork_while_signing(int children, int finalize_first)
{
	pthread_t thread[THREADS];
	int i;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	for (i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, signer, NULL);
	for (i = 0; i < children; i++) {
		if (i >= AT_ONCE)
			reap();
		if (fork() == 0)
			child(finalize_first, 10);
	}
	for (i = 0; i < AT_ONCE && i < children; i++)
		reap();
	done = 1;
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	EXPECT(parent_signatures >= children, "the parent signed %d times", parent_signatures);
	use(1);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static void direct(int children) { fork_while_signing(children, 0); }
static void finalize(int children) { fork_while_signing(children, 1); }

static void many(int signatures)
{
	CHECK(CKR_OK, f->C_Initialize(NULL));
	use(1);
	if (fork() == 0) {
		CHECK(CKR_OK, f->C_Initialize(NULL));
		use(signatures);
		CHECK(CKR_OK, f->C_Finalize(NULL));
		_exit(failed);
	}
	reap();
	use(1);
}

/* Calls in a child that has not initialised answer at once. */
static void uninitialized(int calls)
{
	CK_SESSION_HANDLE s;
	struct timeval start, end;
	int i;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	s = open_session();
	if (fork() == 0) {
		alarm(10);
		gettimeofday(&start, NULL);
		for (i = 0; i < calls && !failed; i++) {
			CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_CloseSession(s));
			CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_Finalize(NULL));
		}
		gettimeofday(&end, NULL);
		EXPECT(end.tv_sec - start.tv_sec < 2, "%d calls took %ld seconds", 2 * calls, (long)(end.tv_sec - start.tv_sec));
		_exit(failed);
	}
	reap();
	use(1);
}

/* A child has nothing of its parent's: neither its handles nor its helper. */
static void descend(int generations)
{
	CK_SESSION_HANDLE s;
	CK_SESSION_INFO info;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	s = open_session();
	use(1);
	if (generations > 0 && fork() == 0) {
		CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_GetSessionInfo(s, &info));
		descend(generations - 1);
		_exit(failed);
	}
	if (generations > 0)
		reap();
	CHECK(CKR_OK, f->C_GetSessionInfo(s, &info));
	use(1);
	CHECK(CKR_OK, f->C_Finalize(NULL));
	CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_GetSessionInfo(s, &info));
	CHECK(CKR_OK, f->C_Initialize(NULL));
	CHECK(CKR_SESSION_HANDLE_INVALID, f->C_GetSessionInfo(s, &info));
	use(1);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static volatile sig_atomic_t forked;

/* One child, and soon another: where that interrupts a call is left to chance. */
static void fork_and_reap(int unused)
{
	struct itimerval soon = { .it_value = { 0, 20 + rand() % 200 } };
	pid_t child = fork();
	int status = -1;
	sigset_t mask;

	(void)unused;
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	if (child == 0)
		_exit(sigismember(&mask, SIGUSR1));
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status != 0 || sigismember(&mask, SIGUSR1))
		failed = 1;
	forked++;
	setitimer(ITIMER_REAL, &soon, NULL);
}

/* A host whose handler forks, for a host with one thread, for others the C library itself may hang. Its calls go on. */
static void handler(int n)
{
	struct sigaction action = { .sa_handler = fork_and_reap };
	struct itimerval off = { 0 };
	CK_ULONG count;
	sigset_t mask;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	sigaction(SIGALRM, &action, NULL);
	raise(SIGALRM);
	while (forked < 50 * n && !failed)
		CHECK(CKR_OK, f->C_GetSlotList(CK_TRUE, NULL, &count));
	setitimer(ITIMER_REAL, &off, NULL);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	EXPECT(!failed && !sigismember(&mask, SIGALRM), "signals stay blocked");
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static int interrupts;

/* Where the module has its locks: it was loaded later, so that its own handler has run. */
static void in_fork(void)
{
	if (interrupts)
		raise(SIGUSR1);
}

__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(in_fork, NULL, NULL); }

static volatile sig_atomic_t called;

static void call(int unused)
{
	(void)unused;
	if (f->C_Initialize(NULL) != CKR_CRYPTOKI_ALREADY_INITIALIZED)
		failed = 1;
	called++;
}

/* A host whose handler calls the module, and comes while the host forks. */
static void interrupted(int n)
{
	struct sigaction action = { .sa_handler = call };
	int i;

	alarm(120);
	CHECK(CKR_OK, f->C_Initialize(NULL));
	sigaction(SIGUSR1, &action, NULL);
	interrupts = 1;
	for (i = 0; i < n; i++) {
		sigset_t mask;

		if (fork() == 0) {
			pthread_sigmask(SIG_BLOCK, NULL, &mask);
			_exit(sigismember(&mask, SIGUSR1));
		}
		reap();
	}
	EXPECT(called == n, "%d of %d signals came", (int)called, n);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static const struct mode modes[] = {
	{ "direct", direct }, { "finalize", finalize }, { "many", many }, { "uninitialized", uninitialized }, { "descendants", descend },
	{ "handler", handler }, { "interrupted", interrupted },
};

MAIN(modes)
