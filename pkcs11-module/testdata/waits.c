/*
 * A host whose threads wait for events of slots.
 *
 *   waits MODULE event|finalize
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

enum { WAITERS = 100 }; /* more than there are calls at once */

static atomic_int waiting;

static void *wait_for_token(void *unused)
{
	CK_SLOT_ID slot = 77;

	waiting++;
	CHECK(CKR_OK, f->C_WaitForSlotEvent(0, &slot, NULL));
	EXPECT(slot == 1, "an event of slot %lu", slot);
	return unused;
}

static void *wait_for_end(void *unused)
{
	CK_SLOT_ID slot;

	waiting++;
	CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_WaitForSlotEvent(0, &slot, NULL));
	return unused;
}

static void make_token(void)
{
	CK_BYTE label[32];

	memset(label, ' ', sizeof label);
	CHECK(CKR_OK, f->C_Initialize(NULL));
	CHECK(CKR_OK, f->C_InitToken(1, (CK_BYTE_PTR) "12345678", 8, label));
	CHECK(CKR_OK, f->C_Finalize(NULL));
	_exit(failed);
}

/* Runs what is to be tried here, and in a child that the helper answers. */
static void here_and_there(void (*run)(void))
{
	int status = -1;

	run();
	if (fork() == 0) {
		alarm(120);
		run();
		_exit(failed);
	}
	EXPECT(wait(&status) > 0 && status == 0, "a child ended with status %d", status);
}

/* Another process makes a token: who waits hears of it, once. */
static void event(int unused)
{
	CK_SLOT_ID slot;
	pthread_t thread;
	int status = -1;
	pid_t maker;

	(void)unused;
	CHECK(CKR_OK, f->C_Initialize(NULL));
	CHECK(CKR_NO_EVENT, f->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL));
	pthread_create(&thread, NULL, wait_for_token, NULL);
	while (!waiting)
		usleep(1000);
	maker = fork();
	if (maker == 0)
		make_token();
	EXPECT(waitpid(maker, &status, 0) == maker && status == 0, "the maker ended with status %d", status);
	pthread_join(thread, NULL);
	CHECK(CKR_NO_EVENT, f->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL));
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

/* Any number of threads wait, and all others go on meanwhile, until the end. */
static void finalize_waiters(void)
{
	pthread_t thread[WAITERS];
	int i;

	waiting = 0;
	CHECK(CKR_OK, f->C_Initialize(NULL));
	for (i = 0; i < WAITERS; i++)
		pthread_create(&thread[i], NULL, wait_for_end, NULL);
	while (waiting < WAITERS)
		usleep(1000);
	use(10);
	CHECK(CKR_OK, f->C_Finalize(NULL));
	for (i = 0; i < WAITERS; i++)
		pthread_join(thread[i], NULL);
}

static void finalize(int unused)
{
	(void)unused;
	here_and_there(finalize_waiters);
}

static const struct mode modes[] = { { "event", event }, { "finalize", finalize } };
MAIN(modes)
