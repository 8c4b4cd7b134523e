/*
 * A host with a helper that loses it, hides from it or does not notice it.
 *
 *   lost MODULE quiet|exit|killed|closed|reused|sockets|died|group|stranger N
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static atomic_int children_ended;
static const char *module_path;

static void on_child(int signal)
{
	(void)signal;
	children_ended++;
}

/* Does something in a child of a host that has used the module, and wants it to end like this. */
static void in_child(void (*run)(void), int want)
{
	int status = -1;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	use(1);
	if (fork() == 0) {
		alarm(60);
		CHECK(CKR_OK, f->C_Initialize(NULL));
		use(1);
		run();
		_exit(failed);
	}
	EXPECT(wait(&status) > 0 && status == want, "the child ended with status %x, want %x", status, want);
	use(1);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A helper's life is no event for its host, which waits for all its children and has a handler for their end. */
static void quiet(void)
{
	struct sigaction action = { .sa_handler = on_child };
	int before, i;

	CHECK(CKR_OK, f->C_Finalize(NULL));
	before = descriptors();
	sigaction(SIGCHLD, &action, NULL);
	for (i = 0; i < 10; i++) {
		CHECK(CKR_OK, f->C_Initialize(NULL));
		use(1);
		EXPECT(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "there is a child to wait for");
		CHECK(CKR_OK, f->C_Finalize(NULL));
	}
	usleep(200000);
	EXPECT(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "there is a child to wait for after the end");
	EXPECT(children_ended == 0, "%d SIGCHLD", children_ended);
	EXPECT(descriptors() == before, "%d descriptors, were %d", descriptors(), before);
}

static void leave(void) { }
static void die(void) { kill(getpid(), SIGKILL); }

/* Calls after the helper was lost, and a new life. */
static void lives_again(void)
{
	CK_SESSION_HANDLE s;

	CHECK(CKR_DEVICE_ERROR, f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s));
	CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s));
	CHECK(CKR_OK, f->C_Initialize(NULL));
	use(2);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static void close_all(void)
{
	int fd;

	for (fd = 3; fd < 1024; fd++)
		close(fd);
}

static void closed(void)
{
	close_all();
	lives_again();
	CHECK(CKR_OK, f->C_Initialize(NULL));
	close_all();
	CHECK(CKR_OK, f->C_Initialize(NULL)); /* also before anything noticed */
	use(1);
}

/* The numbers of the module's descriptors are the host's own files now, which nobody else may touch. */
static void reused(void)
{
	char name[] = "/tmp/tpmkey-host-XXXXXX";
	struct stat st;
	int first, fd, pair[2];
	char byte = 'x';

	close_all();
	first = mkstemp(name);
	unlink(name);
	for (fd = first + 1; fd < 24; fd++)
		dup(first);
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	lives_again();
	EXPECT(fstat(first, &st) == 0 && st.st_size == 0 && lseek(first, 0, SEEK_CUR) == 0, "the host's file was written to");
	for (fd = first; fd < 24; fd++)
		EXPECT(fcntl(fd, F_GETFD) == 0, "the host's descriptor %d was closed", fd);
	EXPECT(write(pair[0], &byte, 1) == 1 && read(pair[1], &byte, 1) == 1, "the host's socket does not work");
}

/* The same, with sockets of the host's in all places. */
static void sockets(void)
{
	int pair[2], fd, first;
	char byte;

	close_all();
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	first = pair[0];
	for (fd = pair[1] + 1; fd < 24; fd++)
		dup(first);
	lives_again();
	EXPECT(recv(pair[1], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN, "the host's socket was written to");
}

/* Sends a signal to all processes that run the helper beside the module. */
static void signal_helpers(int signal)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	char helper[PATH_MAX], exe[PATH_MAX], link[300];

	snprintf(helper, sizeof helper, "%.*s/tpmkey-pkcs11-helper", (int)(strrchr(module_path, '/') - module_path), module_path);
	while ((e = readdir(d))) {
		ssize_t n;

		snprintf(link, sizeof link, "/proc/%s/exe", e->d_name);
		n = readlink(link, exe, sizeof exe - 1);
		if (n < 0)
			continue;
		exe[n] = 0;
		if (!strcmp(exe, helper))
			kill(atoi(e->d_name), signal);
	}
	closedir(d);
	usleep(100000);
}

static void died(void)
{
	signal_helpers(SIGKILL);
	lives_again();
	CHECK(CKR_OK, f->C_Initialize(NULL));
	signal_helpers(SIGKILL);
	CHECK(CKR_OK, f->C_Initialize(NULL)); /* also before anything noticed */
	use(1);
}

/* What a terminal or a service manager sends to all, and the host takes. */
static void group(void)
{
	static const int all[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGALRM };
	size_t i;

	for (i = 0; i < sizeof all / sizeof all[0]; i++)
		signal_helpers(all[i]);
	use(1);
}

/* The helper beside the module is of another build, or none at all: C_Initialize fails in a child, as often as it is called, and nothing is left. */
static void run_stranger(int n)
{
	int status = -1, before, i;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	use(1);
	if (fork() == 0) {
		alarm(60);
		before = descriptors();
		for (i = 0; i < 5; i++) {
			CHECK(CKR_FUNCTION_FAILED, f->C_Initialize(NULL));
			CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_Finalize(NULL));
		}
		EXPECT(descriptors() == before, "%d descriptors, were %d", descriptors(), before);
		EXPECT(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "there is a child to wait for");
		_exit(failed);
	}
	EXPECT(wait(&status) > 0 && status == n, "the child ended with status %x", status);
	use(1);
}

static void run_quiet(int n) { in_child(quiet, n); }
static void run_exit(int n) { in_child(leave, n); }
static void run_killed(int n) { in_child(die, n + SIGKILL); }
static void run_closed(int n) { in_child(closed, n); }
static void run_reused(int n) { in_child(reused, n); }
static void run_sockets(int n) { in_child(sockets, n); }
static void run_died(int n) { in_child(died, n); }
static void run_group(int n) { in_child(group, n); }

static const struct mode modes[] = {
	{ "quiet", run_quiet }, { "exit", run_exit }, { "killed", run_killed }, { "closed", run_closed }, { "reused", run_reused },
	{ "sockets", run_sockets }, { "died", run_died }, { "group", run_group }, { "stranger", run_stranger },
};

int main(int argc, char **argv)
{
	module_path = argc > 1 ? argv[1] : "";
	return run_mode(modes, sizeof modes / sizeof modes[0], argc, argv);
}
