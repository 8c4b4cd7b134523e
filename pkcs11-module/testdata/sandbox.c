/*
 * A host in a sandbox. A call works or returns an error, and the host never ends by it.
 *
 *   sandbox MODULE LIMIT WHEN
 *
 * LIMIT is a row of the table below. WHEN is before, which is before C_Initialize, after, crowd, which is after too, with more threads at once than the
 * module has, or child, which is in a child of a host that has used the module. Prints what the calls answered, and when the limit came.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deny.h"
#include "host.h"

static void no_processes(void) { DENY(SYS_clone, SYS_clone3, SYS_fork, SYS_vfork); }
static void no_exec(void) { DENY(SYS_execve, SYS_execveat); }
static void no_sockets(void) { DENY(SYS_socket, SYS_socketpair, SYS_connect); }
static void no_files(void) { DENY(SYS_open, SYS_openat, SYS_openat2); }

static void no_threads_nor_exec(void)
{
	no_threads();
	no_exec();
}

static void limit(int resource, rlim_t most)
{
	struct rlimit r = { most, most };

	if (setrlimit(resource, &r) != 0)
		exit(3);
}

/* Root has no limit of processes. */
static void few_processes(void)
{
	if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
		exit(3);
	limit(RLIMIT_NPROC, 1);
}

static void no_descriptors(void) { limit(RLIMIT_NOFILE, 3); }
static void few_descriptors(void) { limit(RLIMIT_NOFILE, 9); }

static void little_memory(void) { limit(RLIMIT_AS, 64 << 20); }

static void new_root(void)
{
	char dir[] = "/tmp/tpmkey-root-XXXXXX";

	if (!mkdtemp(dir) || chroot(dir) != 0 || chdir("/") != 0)
		exit(3);
}

static void close_all(void)
{
	int fd;

	for (fd = 3; fd < 4096; fd++)
		close(fd);
}

static void nothing(void) { }

static const struct {
	const char *name;
	void (*set)(void);
} limits[] = {
	{ "nothing", nothing }, { "threads", no_threads }, { "processes", no_processes }, { "exec", no_exec }, { "threads+exec", no_threads_nor_exec },
	{ "sockets", no_sockets }, { "files", no_files }, { "nproc", few_processes }, { "nofile0", no_descriptors }, { "nofile", few_descriptors },
	{ "memory", little_memory }, { "chroot", new_root }, { "closefrom", close_all },
};

/* What is not right is said by name; nothing is an error that PKCS #11 does not know. */
static int answered(const char *call, CK_RV rv)
{
	if (rv == CKR_OK)
		return 1;
	printf("%s: 0x%lx\n", call, rv);
	if (rv >= CKR_VENDOR_DEFINED || !rv)
		failed = 1;
	return 0;
}

/* As use, but an error is an answer. */
static void try_to_use(void)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE template = { CKA_CLASS, &class, sizeof class };
	CK_MECHANISM mechanism = { CKM_SHA256_RSA_PKCS, NULL, 0 };
	CK_BYTE data[] = "data", signature[512];
	CK_ULONG size = sizeof signature, found = 0;
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;

	if (!answered("C_OpenSession", f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s)))
		return;
	if (!answered("C_FindObjectsInit", f->C_FindObjectsInit(s, &template, 1)) || !answered("C_FindObjects", f->C_FindObjects(s, &key, 1, &found)) ||
	    !answered("C_FindObjectsFinal", f->C_FindObjectsFinal(s)))
		return;
	if (found == 0)
		printf("no keys\n");
	else if (answered("C_SignInit", f->C_SignInit(s, &mechanism, key)) && answered("C_Sign", f->C_Sign(s, data, sizeof data, signature, &size)))
		printf("signed\n");
	answered("C_CloseSession", f->C_CloseSession(s));
}

static void live(void (*set)(void), int after)
{
	int i;

	alarm(60);
	if (!after)
		set();
	printf("limited\n");
	if (!answered("C_Initialize", f->C_Initialize(NULL)))
		return;
	if (after) {
		try_to_use();
		set();
		printf("limited\n");
	}
	for (i = 0; i < 3; i++) {
		try_to_use();
		usleep(100000); /* idle: the module gives its device back */
	}
	answered("C_Finalize", f->C_Finalize(NULL));
	if (answered("C_Initialize", f->C_Initialize(NULL)))
		try_to_use();
}

enum { CROWD = 24 };
static pthread_barrier_t all_are_there;

static void *one_of_many(void *unused)
{
	int i;

	pthread_barrier_wait(&all_are_there);
	pthread_barrier_wait(&all_are_there); /* the limit is there too */
	for (i = 0; i < 3; i++)
		try_to_use();
	return unused;
}

static void live_in_crowd(void (*set)(void))
{
	pthread_t thread[CROWD];
	int i;

	alarm(120);
	if (!answered("C_Initialize", f->C_Initialize(NULL)))
		return;
	pthread_barrier_init(&all_are_there, NULL, CROWD + 1);
	for (i = 0; i < CROWD; i++)
		pthread_create(&thread[i], NULL, one_of_many, NULL);
	pthread_barrier_wait(&all_are_there);
	set();
	printf("limited\n");
	pthread_barrier_wait(&all_are_there);
	for (i = 0; i < CROWD; i++)
		pthread_join(thread[i], NULL);
	answered("C_Finalize", f->C_Finalize(NULL));
}

int main(int argc, char **argv)
{
	void (*set)(void) = NULL;
	int status = -1;
	size_t i;

	setvbuf(stdout, NULL, _IONBF, 0);
	for (i = 0; argc == 4 && i < sizeof limits / sizeof limits[0]; i++)
		if (!strcmp(argv[2], limits[i].name))
			set = limits[i].set;
	if (!set)
		return 2;
	load(argv[1]);
	if (!strcmp(argv[3], "crowd")) {
		live_in_crowd(set);
		return failed;
	}
	if (strcmp(argv[3], "child") != 0) {
		live(set, !strcmp(argv[3], "after"));
		return failed;
	}
	CHECK(CKR_OK, f->C_Initialize(NULL));
	use(1);
	if (fork() == 0) {
		live(set, 0);
		_exit(failed);
	}
	if (wait(&status) < 0 || status != 0)
		printf("the child ended with status %x\n", status);
	use(1);
	return failed || status != 0;
}
