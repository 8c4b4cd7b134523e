/*
 * Starting the helper so that its host does not notice: no SIGCHLD, nothing to wait for, no descriptor that both have but their socket.
 *
 * A child gets SIGCHLD as its exit signal when it calls execve, whatever clone said. So a process between the two makes the helper, and is gone before
 * the call returns: a clone without an exit signal, which only a wait with __WCLONE sees, and ours takes it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front.h"
#include "helper.h"

#define HELPER "tpmkey-pkcs11-helper"

/* The folder of the installed helper: the Makefile knows it. */
#ifndef TPMKEY_LIBEXEC
#define TPMKEY_LIBEXEC ""
#endif

/* From defer.ld: what both sides must have been built with. Weak, because the package's tests are linked without it. */
extern const uint64_t tpmkey_build[] __attribute__((weak, visibility("hidden")));

/* The hello of both sides. cmd/tpmkey-pkcs11-helper/serve.go has the same. */
struct hello {
	char greeting[8];
	uint64_t build;
};

/* How long the helper may take to say hello: far longer than it needs on a busy machine. */
static const struct timeval patience = { 20, 0 };

extern char **environ;

/*
 * Where the helper may be: as installed, else beside the module. The files are opened at the first C_Initialize, so that the pair stays one through an
 * upgrade, and can be started after chroot.
 */
enum { installed, beside, places };
static struct ours file[places] = { { .fd = -1 }, { .fd = -1 } };
static char path[places][PATH_MAX];

static void beside_module(char *to)
{
	Dl_info info;
	char resolved[PATH_MAX], *slash;

	if (dladdr((const void *)tpmkey_find_helper, &info) == 0 || !info.dli_fname)
		return;
	if (info.dli_fname[0] != '/' && getauxval(AT_SECURE))
		return; /* the host's working folder may be anybody's */
	if (!realpath(info.dli_fname, resolved))
		return;
	slash = strrchr(resolved, '/');
	if (slash && (size_t)(slash - resolved) + 1 + sizeof HELPER < PATH_MAX)
		sprintf(to, "%.*s/%s", (int)(slash - resolved), resolved, HELPER);
}

static void open_helper(int place)
{
	if (path[place][0] == '/')
		tpmkey_own(open(path[place], O_PATH | O_CLOEXEC), &file[place]);
}

void tpmkey_find_helper(void)
{
	int i;

	if (TPMKEY_LIBEXEC[0])
		snprintf(path[installed], PATH_MAX, "%s/%s", TPMKEY_LIBEXEC, HELPER);
	beside_module(path[beside]);
	for (i = 0; i < places; i++)
		open_helper(i);
}

/* What the new processes need, made before because they share the caller's memory and may not allocate. */
struct spawn {
	int file, socket;
	char **argv, **envp;
	char *stack; /* of the helper, before it is one; the process in between has the upper half */
};
#define STACK (32 << 10)

/* Descriptors are closed by execve, not before: one of them is the file. */
static void close_others(void)
{
	struct rlimit most;
	int fd, end = 1 << 16;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) == 0)
		return;
#endif
	if (getrlimit(RLIMIT_NOFILE, &most) == 0 && most.rlim_cur < (rlim_t)end)
		end = (int)most.rlim_cur;
	for (fd = 3; fd < end; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void default_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;
	int i;

	for (i = 1; i < NSIG; i++)
		sigaction(i, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Standard output and error become descriptors that nobody can write to, and need no /dev/null. */
static int become_helper(void *argument)
{
	struct spawn *s = argument;

	default_signals();
	if (dup2(s->socket, 0) == 0 && dup2(s->file, 1) == 1 && dup2(s->file, 2) == 2) {
		close_others();
		syscall(SYS_execveat, s->file, "", s->argv, s->envp, AT_EMPTY_PATH);
	}
	_exit(127);
}

static int between(void *argument)
{
	struct spawn *s = argument;

	_exit(clone(become_helper, s->stack + STACK, CLONE_VM | CLONE_VFORK, s) < 0);
}

/* Makes the process, and answers whether there is one. Whether it became the helper shows in its hello. */
static int make_process(struct spawn *s)
{
	sigset_t all, before;
	int status = -1;
	pid_t child;

	s->stack = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (s->stack == MAP_FAILED)
		return -1;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* a handler of the host's must not run in the new processes */
	child = clone(between, s->stack + 2 * STACK, CLONE_VM | CLONE_VFORK, s);
	if (child > 0)
		while (waitpid(child, &status, __WCLONE) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	munmap(s->stack, 2 * STACK);
	return child > 0 ? 0 : -1;
}

/* Both sides refuse a build that is not their own. */
static int greet(int control)
{
	struct hello ours = { "tpmkey\0\1", 0 }, theirs;
	const struct timeval forever = { 0, 0 };
	ssize_t n;

	if (!tpmkey_build || !tpmkey_build[0])
		return -1;
	ours.build = tpmkey_build[0];
	setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (send(control, &ours, sizeof ours, MSG_NOSIGNAL) != (ssize_t)sizeof ours)
		return -1;
	while ((n = recv(control, &theirs, sizeof theirs, MSG_WAITALL)) < 0 && errno == EINTR)
		;
	setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
	return n == (ssize_t)sizeof theirs && memcmp(&ours, &theirs, sizeof ours) == 0 ? 0 : -1;
}

static int spawn_from(int place, struct ours *control)
{
	char *argv[] = { HELPER, program_invocation_short_name, NULL }, *nothing[] = { NULL };
	struct spawn s = { .argv = argv, .envp = getauxval(AT_SECURE) ? nothing : environ };
	struct ours other;
	int pair[2], made;

	if (!tpmkey_is_ours(&file[place]))
		open_helper(place); /* the host closed it, or it came late */
	if (file[place].fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	if (tpmkey_own(pair[0], control) != 0) {
		close(pair[1]);
		return -1;
	}
	if (tpmkey_own(pair[1], &other) != 0) {
		tpmkey_give_up(control);
		return -1;
	}
	s.file = file[place].fd;
	s.socket = other.fd;
	made = make_process(&s);
	tpmkey_give_up(&other);
	if (made == 0 && greet(control->fd) == 0)
		return 0;
	tpmkey_give_up(control);
	return -1;
}

int tpmkey_spawn_helper(struct ours *control)
{
	int i;

	for (i = 0; i < places; i++)
		if (spawn_from(i, control) == 0)
			return 0;
	return -1;
}
