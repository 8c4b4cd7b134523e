/*
 * A host that watches what the module does to it, and does to the module what hosts do.
 *
 *   disturb MODULE load|cycle|signals|handlers N
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static const char *module_path;

/* How many entries a folder of /proc has: threads, descriptors. */
static int entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	if (!d)
		exit(3);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000 /* libc's own */
#endif

/* What is to be seen of a process from outside, and in its signals. */
struct look {
	int threads, descriptors;
	sigset_t mask;
	struct sigaction actions[NSIG];
};

static void look(struct look *l)
{
	int i;

	memset(l, 0, sizeof *l);
	l->threads = entries("/proc/self/task");
	l->descriptors = entries("/proc/self/fd");
	pthread_sigmask(SIG_SETMASK, NULL, &l->mask);
	for (i = 1; i < NSIG; i++)
		sigaction(i, NULL, &l->actions[i]);
}

static void same_signals(const char *when, const struct look *a, const struct look *b)
{
	int i;

	for (i = 1; i < NSIG; i++) {
		EXPECT(sigismember(&a->mask, i) == sigismember(&b->mask, i), "%s: signal %d is blocked or not, as before not", when, i);
		EXPECT(a->actions[i].sa_handler == b->actions[i].sa_handler && !((a->actions[i].sa_flags ^ b->actions[i].sa_flags) & ~SA_RESTORER),
			"%s: signal %d has another handler than before", when, i);
	}
}

/* Loading does nothing. */
static void load_only(int unused)
{
	struct look before, after;

	(void)unused;
	look(&before);
	load(module_path);
	look(&after);
	EXPECT(after.threads == before.threads && after.threads == 3 /* . and .. */, "%d threads, were %d", after.threads - 2, before.threads - 2);
	EXPECT(after.descriptors == before.descriptors, "%d descriptors, were %d", after.descriptors, before.descriptors);
	same_signals("loaded", &before, &after);
}

static long resident(void)
{
	long size = 0, pages = 0;
	FILE *statm = fopen("/proc/self/statm", "r");

	if (!statm || fscanf(statm, "%ld %ld", &size, &pages) != 2)
		exit(3);
	fclose(statm);
	return pages * sysconf(_SC_PAGESIZE) / 1024;
}

/* Loading, unloading, initialising and finalising in an order that nobody would choose. */
static void cycle(int rounds)
{
	struct look start, end;
	int initialized = 0, i;
	void *library;
	long memory = 0;

	look(&start);
	srand(1);
	for (i = 0; i < rounds; i++) {
		switch (rand() % 4) {
		case 0:
			library = dlopen(module_path, RTLD_NOW | (rand() % 2 ? RTLD_LOCAL : RTLD_GLOBAL));
			if (rand() % 2)
				dlclose(library);
			break;
		case 1:
			CHECK(initialized ? CKR_CRYPTOKI_ALREADY_INITIALIZED : CKR_OK, f->C_Initialize(NULL));
			initialized = 1;
			break;
		case 2:
			CHECK(initialized ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED, f->C_Finalize(NULL));
			initialized = 0;
			break;
		default:
			if (initialized)
				use(i % 50 == 0);
		}
		if (i == rounds / 2) {
			memory = resident();
			look(&start);
		}
	}
	look(&end);
	EXPECT(resident() < memory + 2048, "%ld KiB, were %ld", resident(), memory);
	EXPECT(end.threads <= start.threads + 2, "%d threads, were %d", end.threads, start.threads);
	EXPECT(end.descriptors <= start.descriptors + 2, "%d descriptors, were %d", end.descriptors, start.descriptors);
}

static atomic_int alarms, profiles, urgent;

static void count(int signal)
{
	char stack[2048];

	memset(stack, signal, sizeof stack); /* would spoil a stack of Go's */
	if (signal == SIGALRM)
		alarms++;
	else if (signal == SIGPROF)
		profiles++;
	else
		urgent++;
}

static atomic_int done;

static void *urge(void *main_thread)
{
	int sent = 0;

	while (!done) {
		pthread_kill(*(pthread_t *)main_thread, SIGURG);
		sent++;
		usleep(1000);
	}
	return (void *)(long)sent;
}

/* Threads of the module's take none of these. SIGCHLD is blocked by hosts that wait for it with signalfd, in all the threads that they know. */
static void others_block(void)
{
	const int host_signals[] = { SIGHUP, SIGINT, SIGPIPE, SIGALRM, SIGTERM, SIGUSR1, SIGCHLD, SIGURG, SIGPROF, SIGIO, SIGRTMIN, SIGRTMAX };
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	char path[300], line[300];
	unsigned long long mask;
	size_t i;

	while ((e = readdir(d))) {
		FILE *status;

		snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
		status = e->d_name[0] == '.' || atoi(e->d_name) == getpid() ? NULL : fopen(path, "r");
		if (!status)
			continue;
		while (fgets(line, sizeof line, status))
			if (sscanf(line, "SigBlk: %llx", &mask) == 1)
				for (i = 0; i < sizeof host_signals / sizeof host_signals[0]; i++)
					EXPECT(mask >> (host_signals[i] - 1) & 1, "a thread of the module's takes signal %d", host_signals[i]);
		fclose(status);
	}
	closedir(d);
}

/* Handlers without SA_ONSTACK, installed after the module was started, with timers of 5 kHz, SIGPIPE ignored and a mask of the host's own. */
static void signals(int signatures)
{
	struct sigaction action = { .sa_handler = count }, ignore = { .sa_handler = SIG_IGN };
	struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { { 0, 0 }, { 0, 0 } };
	struct look before, after;
	sigset_t blocked;
	pthread_t thread, self = pthread_self();
	void *sent;
	int i;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	use(1);
	others_block();
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGPROF, &action, NULL);
	sigaction(SIGURG, &action, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &blocked, NULL);
	look(&before);
	setitimer(ITIMER_REAL, &often, NULL);
	setitimer(ITIMER_PROF, &often, NULL);
	pthread_create(&thread, NULL, urge, &self);
	for (i = 0; i < signatures; i++)
		use(1);
	for (i = 0; i < 30000; i++)
		CHECK(CKR_SESSION_HANDLE_INVALID, f->C_CloseSession(0));
	done = 1;
	pthread_join(thread, &sent);
	setitimer(ITIMER_REAL, &never, NULL);
	setitimer(ITIMER_PROF, &never, NULL);
	look(&after);
	same_signals("used", &before, &after);
	EXPECT(alarms > signatures && profiles > 0 && urgent > 0 && urgent <= (long)sent, "%d alarms, %d profiles, %d of %ld urgent", alarms, profiles, urgent, (long)sent);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	_exit(failed ? 1 : 42);
}

/* The handlers that a host had before, and those that it sets later, are its own again after each call. A fault in the host is the host's. */
static void handlers(int late)
{
	struct sigaction action = { .sa_handler = count }, fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct look before, after;
	int status = -1, i;

	for (i = 1; i < NSIG; i++)
		if (!late && i % 3 == 0)
			sigaction(i, &action, NULL);
	look(&before);
	CHECK(CKR_OK, f->C_Initialize(NULL));
	look(&after);
	same_signals("initialised", &before, &after);
	use(1);
	sigaction(SIGSEGV, &fault, NULL);
	look(&before);
	use(1);
	look(&after);
	same_signals("used", &before, &after);
	if (fork() == 0) {
		look(&after);
		same_signals("forked", &before, &after);
		*(volatile int *)0 = 0;
		_exit(1);
	}
	EXPECT(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 42, "the child's fault ended with status %x", status);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static const struct mode modes[] = {
	{ "cycle", cycle }, { "signals", signals }, { "handlers", handlers },
};

int main(int argc, char **argv)
{
	module_path = argc > 1 ? argv[1] : "";
	if (argc > 2 && !strcmp(argv[2], "load")) {
		load_only(0);
		return failed;
	}
	return run_mode(modes, sizeof modes / sizeof modes[0], argc, argv);
}
