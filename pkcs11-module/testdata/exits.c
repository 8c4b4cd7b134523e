/*
 * A host that ends without C_Finalize.
 *
 *   exits MODULE returns|threads|child|finalized|denied|handler|heap N
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deny.h"
#include "host.h"

enum { THREADS = 8 };

static CK_OBJECT_HANDLE key;
static pthread_barrier_t all_sign;

static void returns(int unused)
{
	(void)unused;
	CHECK(CKR_OK, f->C_Initialize(NULL));
	use(1);
}

/* Signs until it is told that there is no library any more, and says nothing then. */
static void *sign_on(void *unused)
{
	CK_MECHANISM mechanism = { CKM_SHA256_RSA_PKCS, NULL, 0 };
	CK_SESSION_HANDLE s = open_session();
	CK_BYTE signature[512];
	CK_RV rv;
	int n = 0;

	do {
		CK_ULONG size = sizeof signature;

		rv = f->C_SignInit(s, &mechanism, key);
		if (rv == CKR_OK)
			rv = f->C_Sign(s, (CK_BYTE *)"data", 4, signature, &size);
		if (n++ == 0)
			pthread_barrier_wait(&all_sign);
	} while (rv == CKR_OK);
	pause();
	return unused;
}

static void threads(int unused)
{
	CK_SESSION_HANDLE s;
	pthread_t thread;
	int i;

	(void)unused;
	CHECK(CKR_OK, f->C_Initialize(NULL));
	s = open_session();
	key = private_key(s);
	pthread_barrier_init(&all_sign, NULL, THREADS + 1);
	for (i = 0; i < THREADS; i++)
		EXPECT(pthread_create(&thread, NULL, sign_on, NULL) == 0, "no thread");
	pthread_barrier_wait(&all_sign);
}

/* A child that ends does not end its parent's library, whether it has one of its own or not. */
static void child(int unused)
{
	CK_SESSION_HANDLE s;
	int status = -1, i;

	(void)unused;
	CHECK(CKR_OK, f->C_Initialize(NULL));
	s = open_session();
	key = private_key(s);
	for (i = 0; i < 2; i++) {
		if (fork() == 0) {
			alarm(60);
			if (i)
				CHECK(CKR_OK, f->C_Initialize(NULL));
			exit(failed);
		}
		EXPECT(wait(&status) > 0 && status == 0, "the child ended with status %x", status);
		sign(s, key);
	}
}

static void finalized(int unused)
{
	(void)unused;
	CHECK(CKR_OK, f->C_Initialize(NULL));
	use(1);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

/* Nobody gets a thread any more. */
static void denied(int unused)
{
	returns(unused);
	no_threads();
}

static void on_alarm(int signal)
{
	(void)signal;
	exit(0);
}

static void exit_soon(int microseconds)
{
	struct itimerval once = { { 0, 0 }, { 0, microseconds } };

	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &once, NULL);
}

/* Ends wherever the signal comes, which is not allowed and common. */
static void handler(int microseconds)
{
	CK_SESSION_HANDLE s;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	s = open_session();
	key = private_key(s);
	exit_soon(microseconds);
	for (;;)
		sign(s, key);
}

/* The same inside malloc, most of the time. */
static void heap(int microseconds)
{
	void *volatile memory;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	exit_soon(microseconds);
	for (;;) {
		memory = malloc(1 << 14);
		free(memory);
	}
}

static const struct mode modes[] = {
	{ "returns", returns }, { "threads", threads }, { "child", child }, { "finalized", finalized }, { "denied", denied }, { "handler", handler }, { "heap", heap },
};

MAIN(modes)
