/*
 * A host with threads.
 *
 *   threads MODULE mixed|arguments|cancel|few N
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

enum { THREADS = 8 };

/* Who has which session now: PKCS #11 handles are not given to two. */
#define MOST_SESSIONS (1 << 22)
static atomic_char taken[MOST_SESSIONS];

static CK_SESSION_HANDLE take_session(void)
{
	CK_SESSION_HANDLE s = open_session();

	EXPECT(s > 0 && s < MOST_SESSIONS && atomic_exchange(&taken[s], 1) == 0, "session %lu was given to two threads", s);
	return s;
}

static void give_session_back(CK_SESSION_HANDLE s)
{
	atomic_store(&taken[s], 0);
	CHECK(CKR_OK, f->C_CloseSession(s));
}

static void attributes(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
	CK_BYTE modulus[1024], id[64];
	CK_ATTRIBUTE wanted[] = { { CKA_MODULUS, modulus, sizeof modulus }, { CKA_ID, id, sizeof id } };

	CHECK(CKR_OK, f->C_GetAttributeValue(s, key, wanted, 2));
	EXPECT(wanted[0].ulValueLen == 256, "a modulus of %lu bytes", wanted[0].ulValueLen);
}

static void digest(CK_SESSION_HANDLE s)
{
	static const CK_BYTE of_abc[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea };
	CK_MECHANISM sha256 = { CKM_SHA256, NULL, 0 };
	CK_BYTE abc[] = "abc", out[32];
	CK_ULONG size = sizeof out;

	CHECK(CKR_OK, f->C_DigestInit(s, &sha256));
	CHECK(CKR_OK, f->C_Digest(s, abc, 3, out, &size));
	EXPECT(size == 32 && !memcmp(out, of_abc, sizeof of_abc), "a false digest");
}

static void random_bytes(CK_SESSION_HANDLE s)
{
	CK_BYTE out[64] = { 0 }, none[64] = { 0 };

	CHECK(CKR_OK, f->C_GenerateRandom(s, out, sizeof out));
	EXPECT(memcmp(out, none, sizeof out), "no random bytes");
}

static void closed_session(void)
{
	CHECK(CKR_SESSION_HANDLE_INVALID, f->C_CloseSession(MOST_SESSIONS));
}

static int calls_each;

static void *mix(void *argument)
{
	unsigned seed = (unsigned)(long)argument;
	CK_SESSION_HANDLE s = take_session();
	CK_OBJECT_HANDLE key = private_key(s);
	int i;

	for (i = 0; i < calls_each && !failed; i++)
		switch (rand_r(&seed) % 40) {
		case 0:
			sign(s, key);
			break;
		case 1 ... 5:
			give_session_back(s);
			s = take_session();
			break;
		case 6 ... 9:
			key = private_key(s);
			break;
		case 10 ... 19:
			attributes(s, key);
			break;
		case 20 ... 29:
			digest(s);
			break;
		case 30 ... 34:
			random_bytes(s);
			break;
		default:
			closed_session();
		}
	give_session_back(s);
	return NULL;
}

static void *random_calls(void *unused)
{
	CK_SESSION_HANDLE s = take_session();
	int i;

	for (i = 0; i < calls_each && !failed; i++)
		random_bytes(s);
	give_session_back(s);
	return unused;
}

static void run_threads(void *(*run)(void *), size_t stack, int count)
{
	pthread_t thread[THREADS];
	pthread_attr_t attr;
	long i;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, stack);
	for (i = 0; i < count; i++)
		EXPECT(pthread_create(&thread[i], &attr, run, (void *)i) == 0, "no thread");
	for (i = 0; i < count; i++)
		pthread_join(thread[i], NULL);
}

static void mixed(int calls)
{
	int status = -1;

	calls_each = calls;
	CHECK(CKR_OK, f->C_Initialize(NULL));
	run_threads(mix, 64 << 10, THREADS);
	if (fork() == 0) {
		memset(taken, 0, sizeof taken);
		CHECK(CKR_OK, f->C_Initialize(NULL));
		run_threads(mix, 64 << 10, THREADS);
		CHECK(CKR_OK, f->C_Finalize(NULL));
		_exit(failed);
	}
	EXPECT(wait(&status) > 0 && status == 0, "the child ended with status %x", status);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

/* Callbacks of a host that has locks of its own. */
static CK_RV create(void **mutex)
{
	*mutex = calloc(1, sizeof(pthread_mutex_t));
	return CKR_OK;
}

static CK_RV on_mutex(void *mutex)
{
	return mutex ? CKR_OK : CKR_MUTEX_BAD;
}

/* PKCS #11 v2.40, 5.4: the forms of CK_C_INITIALIZE_ARGS, in a process where Go runs and in one where it cannot. */
static void forms(void)
{
	static const struct {
		CK_C_INITIALIZE_ARGS args;
		CK_RV want;
	} rows[] = {
		{ { 0 }, CKR_OK },
		{ { .flags = CKF_OS_LOCKING_OK }, CKR_OK },
		{ { .flags = CKF_LIBRARY_CANT_CREATE_OS_THREADS }, CKR_OK },
		{ { create, on_mutex, on_mutex, on_mutex, CKF_OS_LOCKING_OK, NULL }, CKR_OK },
		{ { create, on_mutex, on_mutex, on_mutex, 0, NULL }, CKR_CANT_LOCK },
		{ { create, NULL, NULL, NULL, CKF_OS_LOCKING_OK, NULL }, CKR_ARGUMENTS_BAD },
		{ { create, on_mutex, on_mutex, NULL, 0, NULL }, CKR_ARGUMENTS_BAD },
		{ { .pReserved = (void *)rows }, CKR_ARGUMENTS_BAD },
	};
	size_t i;

	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		CK_C_INITIALIZE_ARGS args = rows[i].args;

		CHECK(rows[i].want, f->C_Initialize(&args));
		if (rows[i].want != CKR_OK) {
			CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_Finalize(NULL));
			continue;
		}
		CHECK(CKR_CRYPTOKI_ALREADY_INITIALIZED, f->C_Initialize(&args));
		use(1);
		CHECK(CKR_OK, f->C_Finalize(NULL));
	}
}

static void arguments(int unused)
{
	int status = -1;

	(void)unused;
	forms();
	if (fork() == 0) {
		forms();
		_exit(failed);
	}
	EXPECT(wait(&status) > 0 && status == 0, "the child ended with status %x", status);
}

static void *endless(void *unused)
{
	CK_SESSION_HANDLE s = open_session();
	CK_OBJECT_HANDLE key = private_key(s);

	for (;;) {
		sign(s, key);
		pthread_testcancel();
	}
	return unused;
}

/* Threads that are cancelled in the middle of calls hold nothing that others wait for. */
static void cancel_all(int times)
{
	while (times-- > 0) {
		pthread_t thread[THREADS];
		void *result;
		int i;

		for (i = 0; i < THREADS; i++)
			pthread_create(&thread[i], NULL, endless, NULL);
		usleep(20000);
		for (i = 0; i < THREADS; i++)
			pthread_cancel(thread[i]);
		for (i = 0; i < THREADS; i++) {
			pthread_join(thread[i], &result);
			EXPECT(result == PTHREAD_CANCELED, "a thread was not cancelled");
		}
		use(1);
	}
}

static void cancel(int times)
{
	int status = -1;

	alarm(120);
	CHECK(CKR_OK, f->C_Initialize(NULL));
	cancel_all(times);
	if (fork() == 0) {
		alarm(120);
		CHECK(CKR_OK, f->C_Initialize(NULL));
		cancel_all(times);
		CHECK(CKR_OK, f->C_Finalize(NULL));
		_exit(failed);
	}
	EXPECT(wait(&status) > 0 && status == 0, "the child ended with status %x", status);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static int threads_now(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = -2; /* . and .. */

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Two threads that call all the time need two workers, however often these have just been done with a call when the next one comes. */
static void few(int calls)
{
	int before;

	calls_each = calls;
	CHECK(CKR_OK, f->C_Initialize(NULL));
	before = threads_now();
	run_threads(random_calls, 64 << 10, 2);
	EXPECT(threads_now() <= before + 8, "%d threads, were %d", threads_now(), before);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static const struct mode modes[] = { { "mixed", mixed }, { "arguments", arguments }, { "cancel", cancel }, { "few", few } };

MAIN(modes)
