/*
 * A host of the module in C: what only C can do to it. Each mode ends with 0, or with a line on standard error.
 *
 *   host MODULE null|closed|threads|signals|fork
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

/* PKCS #11 v3.0, 3.4, which p11-kit 0.24 does not declare. */
struct interface {
	char *name;
	CK_FUNCTION_LIST *functions;
	CK_FLAGS flags;
};

/* The functions that CK_FUNCTION_LIST_3_0 has more, as far as they are called here, and where they are in it. */
enum { LOGIN_USER = 70, SESSION_CANCEL = 71, MESSAGE_SIGN_INIT = 82, MESSAGE_VERIFY_FINAL = 91, FUNCTIONS_3_0 };

struct list_3_0 {
	CK_VERSION version;
	void (*functions[FUNCTIONS_3_0])(void);
};

static struct list_3_0 *f3;

#define LOGIN_USER_OF(list) ((CK_RV (*)(CK_SESSION_HANDLE, CK_USER_TYPE, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG))(list)->functions[LOGIN_USER])
#define SESSION_CANCEL_OF(list) ((CK_RV (*)(CK_SESSION_HANDLE, CK_FLAGS))(list)->functions[SESSION_CANCEL])
#define MESSAGE_SIGN_INIT_OF(list) ((CK_RV (*)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE))(list)->functions[MESSAGE_SIGN_INIT])
#define MESSAGE_VERIFY_FINAL_OF(list) ((CK_RV (*)(CK_SESSION_HANDLE))(list)->functions[MESSAGE_VERIFY_FINAL])

static void interfaces(const char *module)
{
	void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
	CK_RV (*list)(struct interface *, CK_ULONG *) = dlsym(library, "C_GetInterfaceList");
	CK_RV (*get)(const char *, const CK_VERSION *, struct interface **, CK_FLAGS) = dlsym(library, "C_GetInterface");
	struct interface both[3] = { { 0 } }, *newest = NULL, *old = NULL, *none = NULL;
	CK_VERSION two = { 2, 40 }, three = { 3, 0 }, other = { 3, 1 };
	CK_ULONG count = 0, i;

	CHECK(CKR_ARGUMENTS_BAD, list(NULL, NULL));
	CHECK(CKR_OK, list(NULL, &count));
	if (count != 2) {
		fprintf(stderr, "%lu interfaces\n", count);
		failed = 1;
	}
	count = 1;
	CHECK(CKR_BUFFER_TOO_SMALL, list(both, &count));
	count = 3;
	CHECK(CKR_OK, list(both, &count));
	CHECK(CKR_ARGUMENTS_BAD, get(NULL, NULL, NULL, 0));
	CHECK(CKR_FUNCTION_FAILED, get("Vendor", NULL, &none, 0));
	CHECK(CKR_FUNCTION_FAILED, get(NULL, &other, &none, 0));
	CHECK(CKR_FUNCTION_FAILED, get(NULL, NULL, &none, 1)); /* CKF_INTERFACE_FORK_SAFE */
	CHECK(CKR_OK, get(NULL, NULL, &newest, 0));
	CHECK(CKR_OK, get("PKCS 11", &three, &newest, 0));
	CHECK(CKR_OK, get("PKCS 11", &two, &old, 0));
	if (none || count != 2 || !old || old->functions != f || !newest || both[0].functions != newest->functions || both[1].functions != f ||
	    strcmp(newest->name, "PKCS 11") || newest->functions->version.major != 3 || newest->functions->version.minor != 0) {
		fprintf(stderr, "the interfaces are not the function lists\n");
		exit(1);
	}
	f3 = (struct list_3_0 *)newest->functions;
	for (i = 0; i < FUNCTIONS_3_0; i++)
		if (!f3->functions[i]) {
			fprintf(stderr, "function %lu is missing\n", i);
			exit(1);
		}
}

/* Each list tells its own version; what is in both is the same. */
static void versions(void)
{
	CK_INFO two, three;

	CHECK(CKR_OK, f->C_GetInfo(&two));
	CHECK(CKR_OK, ((CK_FUNCTION_LIST *)f3)->C_GetInfo(&three));
	if (two.cryptokiVersion.major != 2 || two.cryptokiVersion.minor != 40 || three.cryptokiVersion.major != 3 || three.cryptokiVersion.minor != 0 ||
	    f->C_Sign != ((CK_FUNCTION_LIST *)f3)->C_Sign) {
		fprintf(stderr, "versions %d.%d and %d.%d\n", two.cryptokiVersion.major, two.cryptokiVersion.minor, three.cryptokiVersion.major, three.cryptokiVersion.minor);
		failed = 1;
	}
}

/* Every function, with NULL wherever it takes a pointer and lengths that say that there is something. want: what each must answer. */
static void all(CK_SESSION_HANDLE s, CK_RV want)
{
	CK_BYTE b[8] = { 0 };
	CK_ULONG size = sizeof b, number = 0;
	CK_MECHANISM m = { CKM_RSA_PKCS, NULL, 0 }, dangling = { CKM_RSA_PKCS_PSS, NULL, 24 };
	CK_RSA_PKCS_OAEP_PARAMS oaep = { CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 10 };
	CK_MECHANISM inside = { CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep };
	CK_ATTRIBUTE a = { CKA_ID, NULL, 4 };

	CHECK(want, f->C_GetInfo(NULL));
	CHECK(want, f->C_GetSlotList(1, NULL, NULL));
	CHECK(want, f->C_GetSlotList(1, &number, NULL));
	CHECK(want, f->C_GetSlotInfo(0, NULL));
	CHECK(want, f->C_GetTokenInfo(0, NULL));
	CHECK(want, f->C_GetMechanismList(0, NULL, NULL));
	CHECK(want, f->C_GetMechanismInfo(0, CKM_RSA_PKCS, NULL));
	CHECK(want, f->C_InitToken(0, NULL, 4, NULL));
	CHECK(want, f->C_InitPIN(s, NULL, 4));
	CHECK(want, f->C_SetPIN(s, NULL, 4, b, (CK_ULONG)-1));
	CHECK(want, f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, NULL));
	CHECK(want, f->C_GetSessionInfo(s, NULL));
	CHECK(want, f->C_GetOperationState(s, NULL, NULL));
	CHECK(want, f->C_SetOperationState(s, NULL, 4, 0, 0));
	CHECK(want, f->C_Login(s, CKU_USER, b, (CK_ULONG)-1));
	CHECK(want, f->C_CreateObject(s, NULL, 1, &number));
	CHECK(want, f->C_CreateObject(s, &a, 1, NULL));
	CHECK(want, f->C_CopyObject(s, 1, NULL, 1, NULL));
	CHECK(want, f->C_GetObjectSize(s, 1, NULL));
	CHECK(want, f->C_GetAttributeValue(s, 1, NULL, 1));
	CHECK(want, f->C_GetAttributeValue(s, 1, &a, (CK_ULONG)-1));
	CHECK(want, f->C_SetAttributeValue(s, 1, NULL, 1));
	CHECK(want, f->C_SetAttributeValue(s, 1, &a, 1));
	CHECK(want, f->C_FindObjectsInit(s, NULL, 1));
	CHECK(want, f->C_FindObjectsInit(s, &a, 1));
	CHECK(want, f->C_FindObjects(s, NULL, 1, &number));
	CHECK(want, f->C_FindObjects(s, &number, 1, NULL));
	CHECK(want, f->C_EncryptInit(s, NULL, 1));
	CHECK(want, f->C_Encrypt(s, NULL, 4, b, &size));
	CHECK(want, f->C_Encrypt(s, b, 4, b, NULL));
	CHECK(want, f->C_EncryptUpdate(s, NULL, 4, NULL, NULL));
	CHECK(want, f->C_EncryptFinal(s, NULL, NULL));
	CHECK(want, f->C_DecryptInit(s, &inside, 1));
	CHECK(want, f->C_Decrypt(s, NULL, 4, b, &size));
	CHECK(want, f->C_DecryptUpdate(s, NULL, 4, NULL, NULL));
	CHECK(want, f->C_DecryptFinal(s, NULL, NULL));
	CHECK(want, f->C_DigestInit(s, NULL));
	CHECK(want, f->C_Digest(s, NULL, 4, b, &size));
	CHECK(want, f->C_DigestUpdate(s, NULL, 4));
	CHECK(want, f->C_DigestFinal(s, NULL, NULL));
	CHECK(want, f->C_SignInit(s, &dangling, 1));
	CHECK(want, f->C_Sign(s, NULL, 4, b, &size));
	CHECK(want, f->C_Sign(s, b, 4, b, NULL));
	CHECK(want, f->C_Sign(s, b, (CK_ULONG)-1, b, &size));
	CHECK(want, f->C_SignUpdate(s, NULL, 4));
	CHECK(want, f->C_SignFinal(s, NULL, NULL));
	CHECK(want, f->C_SignRecoverInit(s, NULL, 1));
	CHECK(want, f->C_SignRecover(s, NULL, 4, NULL, NULL));
	CHECK(want, f->C_VerifyInit(s, NULL, 1));
	CHECK(want, f->C_Verify(s, NULL, 4, NULL, 4));
	CHECK(want, f->C_Verify(s, b, 4, NULL, 4));
	CHECK(want, f->C_VerifyUpdate(s, NULL, 4));
	CHECK(want, f->C_VerifyFinal(s, NULL, 4));
	CHECK(want, f->C_VerifyRecoverInit(s, NULL, 1));
	CHECK(want, f->C_VerifyRecover(s, NULL, 4, NULL, NULL));
	CHECK(want, f->C_DigestEncryptUpdate(s, NULL, 4, NULL, NULL));
	CHECK(want, f->C_DecryptDigestUpdate(s, NULL, 4, NULL, NULL));
	CHECK(want, f->C_SignEncryptUpdate(s, NULL, 4, NULL, NULL));
	CHECK(want, f->C_DecryptVerifyUpdate(s, NULL, 4, NULL, NULL));
	CHECK(want, f->C_GenerateKey(s, NULL, NULL, 1, NULL));
	CHECK(want, f->C_GenerateKeyPair(s, &m, NULL, 1, NULL, 1, NULL, NULL));
	CHECK(want, f->C_WrapKey(s, NULL, 1, 1, NULL, NULL));
	CHECK(want, f->C_UnwrapKey(s, NULL, 1, NULL, 4, NULL, 1, NULL));
	CHECK(want, f->C_DeriveKey(s, NULL, 1, NULL, 1, NULL));
	CHECK(want, f->C_SeedRandom(s, NULL, 4));
	CHECK(want, f->C_GenerateRandom(s, NULL, 4));
	CHECK(want, f->C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL));
	CHECK(want, LOGIN_USER_OF(f3)(s, CKU_USER, b, (CK_ULONG)-1, NULL, 0));
	CHECK(want, LOGIN_USER_OF(f3)(s, CKU_USER, b, 4, b, (CK_ULONG)-1));
}

/* Messages are refused whatever they say. */
static void messages(CK_SESSION_HANDLE s, CK_RV want)
{
	CK_MECHANISM m = { CKM_RSA_PKCS, NULL, 0 };

	CHECK(want, MESSAGE_SIGN_INIT_OF(f3)(s, &m, 1));
	CHECK(want, MESSAGE_SIGN_INIT_OF(f3)(s, NULL, 1));
	CHECK(want, MESSAGE_VERIFY_FINAL_OF(f3)(s));
}

/* What takes no pointer. */
static void pointerless(CK_SESSION_HANDLE s, CK_RV want)
{
	CHECK(want, f->C_CloseSession(s));
	CHECK(want, f->C_Logout(s));
	CHECK(want, f->C_DestroyObject(s, 1));
	CHECK(want, f->C_FindObjectsFinal(s));
	CHECK(want, f->C_DigestKey(s, 1));
	CHECK(want, f->C_GetFunctionStatus(s));
	CHECK(want, f->C_CancelFunction(s));
	CHECK(want, SESSION_CANCEL_OF(f3)(s, CKF_SIGN));
	messages(s, want);
}

static CK_RV lock(void *mutex)
{
	(void)mutex;
	return CKR_OK;
}

/* What cannot be followed ends what it is of, as any other failure. */
static void ended(CK_SESSION_HANDLE s)
{
	CK_MECHANISM sha256 = { CKM_SHA256, NULL, 0 };
	CK_BYTE data[4] = { 0 }, out[32];
	CK_ULONG size = sizeof out;

	CHECK(CKR_OK, f->C_DigestInit(s, &sha256));
	CHECK(CKR_ARGUMENTS_BAD, f->C_Digest(s, data, sizeof data, out, NULL));
	CHECK(CKR_OPERATION_NOT_INITIALIZED, f->C_Digest(s, data, sizeof data, out, &size));
}

static void null(void)
{
	CK_SESSION_HANDLE s;
	CK_C_INITIALIZE_ARGS half = { .LockMutex = lock }, reserved = { .pReserved = &half };

	CHECK(CKR_ARGUMENTS_BAD, f->C_GetFunctionList(NULL));
	all(1, CKR_CRYPTOKI_NOT_INITIALIZED);
	pointerless(1, CKR_CRYPTOKI_NOT_INITIALIZED);
	CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_CloseAllSessions(0));
	CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_Finalize(NULL));
	CHECK(CKR_ARGUMENTS_BAD, f->C_Initialize(&half));
	CHECK(CKR_ARGUMENTS_BAD, f->C_Initialize(&reserved));
	CHECK(CKR_OK, f->C_Initialize(NULL));
	CHECK(CKR_CRYPTOKI_ALREADY_INITIALIZED, f->C_Initialize(NULL));
	CHECK(CKR_ARGUMENTS_BAD, f->C_Finalize(&half));
	CHECK(CKR_SLOT_ID_INVALID, f->C_CloseAllSessions(7));
	versions();
	s = open_session();
	messages(s, CKR_FUNCTION_NOT_SUPPORTED);
	sign(s, private_key(s));
	all(s, CKR_ARGUMENTS_BAD);
	ended(s);
	sign(s, private_key(s));
	CHECK(CKR_OK, f->C_Finalize(NULL));
	all(s, CKR_CRYPTOKI_NOT_INITIALIZED);
}

static void closed(void)
{
	CK_SESSION_HANDLE s;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	s = open_session();
	CHECK(CKR_OK, f->C_CloseSession(s));
	pointerless(s, CKR_SESSION_HANDLE_INVALID);
	pointerless(0, CKR_SESSION_HANDLE_INVALID);
	pointerless((CK_ULONG)-1, CKR_SESSION_HANDLE_INVALID);
	CHECK(CKR_OK, f->C_Finalize(NULL));
	CHECK(CKR_OK, f->C_Initialize(NULL)); /* a second life, in the same process */
	s = open_session();
	sign(s, private_key(s));
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static void *worker(void *unused)
{
	CK_SESSION_HANDLE s = open_session();
	CK_OBJECT_HANDLE key = private_key(s);
	int i;

	for (i = 0; i < 10; i++)
		sign(s, key);
	CHECK(CKR_OK, f->C_CloseSession(s));
	return unused;
}

/* Threads with small stacks, as servers have them. */
static void threads(void)
{
	pthread_t thread[8];
	pthread_attr_t attr;
	int i;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (i = 0; i < 8; i++)
		pthread_create(&thread[i], &attr, worker, NULL);
	for (i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
	(void)signal;
	alarms++;
}

/* A host with a handler of its own, set after the module was started and without SA_ONSTACK, and signals all the time. */
static void signals(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
	sigset_t before = { 0 }, after = { 0 }; /* only a part is filled in */

	CHECK(CKR_OK, f->C_Initialize(NULL));
	sigaction(SIGALRM, &action, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	setitimer(ITIMER_REAL, &often, NULL);
	worker(NULL);
	setitimer(ITIMER_REAL, &never, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	if (!alarms || memcmp(&before, &after, sizeof before) != 0) {
		fprintf(stderr, "%d signals; is the mask as it was?\n", (int)alarms);
		failed = 1;
	}
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

/* In a forked child every call is refused at once, and the parent goes on as if nothing had been. */
static void forked(void)
{
	CK_SESSION_HANDLE s;
	int status;
	pid_t child;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	s = open_session();
	sign(s, private_key(s));
	child = fork();
	if (child == 0) {
		alarm(5); /* a call that hangs is a failure */
		all(s, CKR_CRYPTOKI_NOT_INITIALIZED);
		pointerless(s, CKR_CRYPTOKI_NOT_INITIALIZED);
		CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_Finalize(NULL));
		_exit(failed);
	}
	if (waitpid(child, &status, 0) != child || status != 0) {
		fprintf(stderr, "the child ended with status %d\n", status);
		failed = 1;
	}
	sign(s, private_key(s));
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static const struct {
	const char *name;
	void (*run)(void);
} modes[] = { { "null", null }, { "closed", closed }, { "threads", threads }, { "signals", signals }, { "fork", forked } };

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 3)
		return 2;
	load(argv[1]);
	interfaces(argv[1]);
	for (i = 0; i < sizeof modes / sizeof modes[0]; i++)
		if (!strcmp(modes[i].name, argv[2])) {
			modes[i].run();
			return failed;
		}
	return 2;
}
