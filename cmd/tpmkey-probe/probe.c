/*
 * Tries a PKCS #11 module as programs in C use one: makes a key pair that ends with its session, signs with it and verifies, and does so again in a
 * forked child, as web servers do. Nothing is left behind.
 *
 *   tpmkey-probe MODULE
 *
 * Ends with 0, or with 1 and one line on standard output: when, which function, and what it gives.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CRYPTOKI_COMPAT 1
#include <p11-kit/pkcs11.h>

static CK_FUNCTION_LIST *module;
static const char *when = "before a fork";

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Leaves the function with 1 where a call of the module's does not give CKR_OK. */
#define TRY(function, ...)                                                                                             \
	do {                                                                                                           \
		CK_RV rv_ = module->function(__VA_ARGS__);                                                             \
		if (rv_ != CKR_OK)                                                                                     \
			return complain(#function, rv_);                                                               \
	} while (0)

static const struct {
	CK_RV rv;
	const char *name;
} codes[] = {
#define CODE(name) { name, #name },
#include "codes.h"
};

static const char *name_of(CK_RV rv)
{
	static char number[sizeof "0x" + 2 * sizeof rv];
	size_t i;

	for (i = 0; i < COUNT(codes); i++)
		if (codes[i].rv == rv)
			return codes[i].name;
	snprintf(number, sizeof number, "0x%08lx", rv);
	return number;
}

static int complain(const char *function, CK_RV rv)
{
	printf("%s: %s gives %s\n", when, function, name_of(rv));
	fflush(stdout);
	return 1;
}

static int load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;

	if (library)
		*(void **)&get = dlsym(library, "C_GetFunctionList");
	if (!get) {
		printf("%s\n", dlerror());
		return 1;
	}
	return get(&module) == CKR_OK ? 0 : complain("C_GetFunctionList", CKR_GENERAL_ERROR);
}

static int sign_and_verify(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE public_key, CK_OBJECT_HANDLE private_key)
{
	CK_MECHANISM mechanism = { CKM_SHA256_RSA_PKCS, NULL, 0 };
	CK_BYTE data[] = "what a trial signature signs", signature[512];
	CK_ULONG size = sizeof signature;

	TRY(C_SignInit, session, &mechanism, private_key);
	TRY(C_Sign, session, data, sizeof data, signature, &size);
	TRY(C_VerifyInit, session, &mechanism, public_key);
	TRY(C_Verify, session, data, sizeof data, signature, size);
	return 0;
}

static int use_key(CK_SESSION_HANDLE session)
{
	CK_MECHANISM mechanism = { CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0 };
	CK_ULONG bits = 2048;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE public_template[] = { { CKA_TOKEN, &no, sizeof no }, { CKA_MODULUS_BITS, &bits, sizeof bits }, { CKA_VERIFY, &yes, sizeof yes } };
	CK_ATTRIBUTE private_template[] = { { CKA_TOKEN, &no, sizeof no }, { CKA_SIGN, &yes, sizeof yes } };
	CK_OBJECT_HANDLE public_key, private_key;

	TRY(C_GenerateKeyPair, session, &mechanism, public_template, COUNT(public_template), private_template, COUNT(private_template), &public_key, &private_key);
	return sign_and_verify(session, public_key, private_key);
}

static int use_token(void)
{
	CK_SLOT_ID slot;
	CK_ULONG count = 1;
	CK_SESSION_HANDLE session;
	CK_RV rv = module->C_GetSlotList(CK_TRUE, &slot, &count);

	if (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL)
		return complain("C_GetSlotList", rv);
	TRY(C_OpenSession, slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
	return use_key(session);
}

/* From C_Initialize to C_Finalize, so that the TPM is free for the child: /dev/tpm0 opens once. */
static int use_module(void)
{
	int failed;

	TRY(C_Initialize, NULL);
	failed = use_token();
	TRY(C_Finalize, NULL);
	return failed;
}

static int use_in_child(void)
{
	int status;
	pid_t child = fork();

	when = "in a forked child";
	if (child == 0)
		_exit(use_module());
	if (child < 0 || waitpid(child, &status, 0) != child || WIFSIGNALED(status)) {
		printf("%s: it did not come to its end\n", when);
		return 1;
	}
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: tpmkey-probe MODULE\n");
		return 2;
	}
	return load(argv[1]) || use_module() || use_in_child();
}
