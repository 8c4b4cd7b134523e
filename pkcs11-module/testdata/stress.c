/*
 * A host that does everything at once for a time: eight threads with calls of all kinds, C_Finalize and C_Initialize under them, forked children, and one
 * child that lives as long as the host. It says that it is ready, and begins when it is told.
 *
 *   stress MODULE mixed SECONDS
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

enum { THREADS = 8 };

static atomic_int over;
static atomic_uint lives; /* odd while the library is not initialised, or about not to be */
static atomic_ulong rounds, children;

/* What is odd in a round counts only when the library lived all the while. */
struct round {
	unsigned life, seed;
	CK_RV rv;
	const char *call;
};

#define DO(r, c)                                                                                                       \
	do {                                                                                                           \
		if ((r)->rv == CKR_OK) {                                                                               \
			(r)->rv = (c);                                                                                 \
			(r)->call = #c;                                                                                \
		}                                                                                                      \
	} while (0)

static void refuse(struct round *r, const char *why)
{
	if (r->rv == CKR_OK) {
		r->rv = CKR_GENERAL_ERROR;
		r->call = why;
	}
}

static CK_OBJECT_HANDLE find(struct round *r, CK_SESSION_HANDLE s, CK_OBJECT_CLASS class)
{
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof class }, { CKA_TOKEN, &yes, sizeof yes } };
	CK_OBJECT_HANDLE key = 0;
	CK_ULONG found = 0;

	DO(r, f->C_FindObjectsInit(s, template, 2));
	DO(r, f->C_FindObjects(s, &key, 1, &found));
	DO(r, f->C_FindObjectsFinal(s));
	if (found != 1)
		refuse(r, "a key is not found");
	return key;
}

static void signs(struct round *r, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE private, CK_OBJECT_HANDLE public)
{
	CK_RSA_PKCS_PSS_PARAMS pss = { CKM_SHA256, CKG_MGF1_SHA256, 32 };
	CK_MECHANISM mechanisms[] = { { CKM_SHA256_RSA_PKCS, NULL, 0 }, { CKM_SHA512_RSA_PKCS, NULL, 0 }, { CKM_SHA256_RSA_PKCS_PSS, &pss, sizeof pss } };
	CK_MECHANISM *m = &mechanisms[rand_r(&r->seed) % 3];
	CK_BYTE data[] = "data", signature[512];
	CK_ULONG size = sizeof signature;

	DO(r, f->C_SignInit(s, m, private));
	DO(r, f->C_SignUpdate(s, data, 2));
	DO(r, f->C_SignUpdate(s, data + 2, 2));
	DO(r, f->C_SignFinal(s, signature, &size));
	DO(r, f->C_VerifyInit(s, m, public));
	DO(r, f->C_Verify(s, data, 4, signature, size));
}

static void decrypts(struct round *r, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE private, CK_OBJECT_HANDLE public)
{
	CK_RSA_PKCS_OAEP_PARAMS oaep = { CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, "label", 5 };
	CK_MECHANISM mechanisms[] = { { CKM_RSA_PKCS, NULL, 0 }, { CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep } };
	CK_MECHANISM *m = &mechanisms[rand_r(&r->seed) % 2];
	CK_BYTE data[] = "a secret", ciphertext[512], plaintext[512];
	CK_ULONG size = sizeof ciphertext, plain = sizeof plaintext;

	DO(r, f->C_EncryptInit(s, m, public));
	DO(r, f->C_Encrypt(s, data, sizeof data, ciphertext, &size));
	DO(r, f->C_DecryptInit(s, m, private));
	DO(r, f->C_Decrypt(s, ciphertext, size, plaintext, &plain));
	if (plain != sizeof data || memcmp(data, plaintext, plain))
		refuse(r, "a false plaintext");
}

static void digests(struct round *r, CK_SESSION_HANDLE s)
{
	CK_MECHANISM m = { CKM_SHA384, NULL, 0 };
	CK_BYTE data[3000] = { 0 }, out[64];
	CK_ULONG size = sizeof out;

	DO(r, f->C_DigestInit(s, &m));
	DO(r, f->C_DigestUpdate(s, data, sizeof data));
	DO(r, f->C_DigestFinal(s, out, &size));
	DO(r, f->C_GenerateRandom(s, data, sizeof data));
}

static void tells(struct round *r, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
	CK_BYTE modulus[1024], id[64], info[1024];
	CK_ATTRIBUTE wanted[] = { { CKA_MODULUS, modulus, sizeof modulus }, { CKA_ID, id, sizeof id }, { CKA_PUBLIC_KEY_INFO, info, sizeof info } };
	CK_TOKEN_INFO token;

	DO(r, f->C_GetAttributeValue(s, key, wanted, 3));
	DO(r, f->C_GetTokenInfo(0, &token));
}

static void stores(struct round *r, CK_SESSION_HANDLE s)
{
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_BYTE value[2000] = { 0 };
	CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof class }, { CKA_VALUE, value, sizeof value } };
	CK_OBJECT_HANDLE data = 0;

	DO(r, f->C_CreateObject(s, template, 2, &data));
	DO(r, f->C_DestroyObject(s, data));
	DO(r, f->C_CreateObject(s, template, 2, &data)); /* and leaves it to the session */
}

static void generates(struct round *r, CK_SESSION_HANDLE s)
{
	CK_MECHANISM m = { CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0 };
	CK_ULONG bits = 2048;
	CK_ATTRIBUTE template = { CKA_MODULUS_BITS, &bits, sizeof bits };
	CK_OBJECT_HANDLE public = 0, private = 0;

	DO(r, f->C_GenerateKeyPair(s, &m, &template, 1, NULL, 0, &public, &private));
	signs(r, s, private, public);
}

/* One session's worth of something. */
static void once(struct round *r)
{
	CK_SESSION_HANDLE s = 0;
	CK_OBJECT_HANDLE private, public;
	unsigned what = rand_r(&r->seed) % 400;

	DO(r, f->C_OpenSession(0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s));
	private = find(r, s, CKO_PRIVATE_KEY);
	public = find(r, s, CKO_PUBLIC_KEY);
	if (what == 0)
		generates(r, s);
	else if (what < 60)
		signs(r, s, private, public);
	else if (what < 80)
		decrypts(r, s, private, public);
	else if (what < 150)
		stores(r, s);
	else if (what < 250)
		tells(r, s, private);
	else
		digests(r, s);
	DO(r, f->C_CloseSession(s));
}

static void complain(const struct round *r)
{
	if (r->rv == CKR_OK || (r->life & 1) || atomic_load(&lives) != r->life)
		return;
	EXPECT(0, "%s: 0x%lx", r->call, r->rv);
	atomic_store(&over, 1);
}

static void child(unsigned seed)
{
	struct round r = { .seed = seed };
	int i;

	alarm(120);
	DO(&r, f->C_Initialize(NULL));
	for (i = 0; i < 3; i++)
		once(&r);
	DO(&r, f->C_Finalize(NULL));
	EXPECT(r.rv == CKR_OK, "in a child, %s: 0x%lx", r.call, r.rv);
	_exit(failed);
}

static void forks(unsigned seed)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		child(seed);
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0, "a child ended with status %x", status);
	if (status != 0)
		atomic_store(&over, 1);
	children++;
}

static void *work(void *argument)
{
	struct round r = { .seed = (unsigned)(long)argument };

	while (!atomic_load(&over)) {
		r.rv = CKR_OK;
		r.life = atomic_load(&lives);
		once(&r);
		complain(&r);
		rounds++;
		if (rand_r(&r.seed) % 200 == 0)
			forks(r.seed);
	}
	return NULL;
}

/* Now and then all sessions end under everybody's calls. */
static void *live_again(void *unused)
{
	while (!atomic_load(&over)) {
		sleep(3);
		lives++;
		CHECK(CKR_OK, f->C_Finalize(NULL));
		CHECK(CKR_OK, f->C_Initialize(NULL));
		lives++;
	}
	return unused;
}

/* The child that lives as long as the host: its helper is looked at. */
static void long_child(int seconds)
{
	struct round r = { .seed = 99 };
	time_t end;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	DO(&r, f->C_Initialize(NULL));
	once(&r);
	puts("ready");
	fflush(stdout);
	for (end = time(NULL) + seconds; time(NULL) < end && r.rv == CKR_OK; usleep(20000))
		once(&r);
	EXPECT(r.rv == CKR_OK, "in the long child, %s: 0x%lx", r.call, r.rv);
	CHECK(CKR_OK, f->C_Finalize(NULL));
	_exit(failed);
}

static void mixed(int seconds)
{
	pthread_t thread[THREADS + 1];
	int status = -1;
	pid_t pid;
	char byte;
	long i;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	use(1);
	pid = fork();
	if (pid == 0)
		long_child(seconds);
	EXPECT(read(0, &byte, 1) == 1, "nobody says that it is time to begin");
	for (i = 0; i < THREADS; i++)
		EXPECT(pthread_create(&thread[i], NULL, work, (void *)(i + 1)) == 0, "no thread");
	EXPECT(pthread_create(&thread[THREADS], NULL, live_again, NULL) == 0, "no thread");
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0, "the long child ended with status %x", status);
	atomic_store(&over, 1);
	for (i = 0; i <= THREADS; i++)
		pthread_join(thread[i], NULL);
	CHECK(CKR_OK, f->C_Finalize(NULL));
	printf("%lu rounds, %lu children, %u lives\n", rounds, children, lives / 2);
}

static const struct mode modes[] = { { "mixed", mixed } };

MAIN(modes)
