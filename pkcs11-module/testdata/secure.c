/*
 * A host that has more rights than whoever starts it. It says what it finds, in itself and in a forked child, which then waits for a byte.
 *
 *   secure MODULE stay|root LABEL...
 */
#define _GNU_SOURCE
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static CK_OBJECT_HANDLE key_of(CK_SESSION_HANDLE s, const char *label)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof class }, { CKA_LABEL, (void *)label, strlen(label) } };
	CK_OBJECT_HANDLE key = 0;
	CK_ULONG found = 0;

	CHECK(CKR_OK, f->C_FindObjectsInit(s, template, 2));
	CHECK(CKR_OK, f->C_FindObjects(s, &key, 1, &found));
	CHECK(CKR_OK, f->C_FindObjectsFinal(s));
	return found ? key : 0;
}

static CK_RV signs(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM mechanism = { CKM_SHA256_RSA_PKCS, NULL, 0 };
	CK_BYTE data[] = "data", signature[512];
	CK_ULONG size = sizeof signature;
	CK_RV rv = f->C_SignInit(s, &mechanism, key);

	return rv == CKR_OK ? f->C_Sign(s, data, sizeof data, signature, &size) : rv;
}

/* Objects that have files beside the keys. */
static void report_data(const char *who, CK_SESSION_HANDLE s)
{
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_ATTRIBUTE template = { CKA_CLASS, &class, sizeof class };
	CK_OBJECT_HANDLE object;
	CK_ULONG found = 0;

	CHECK(CKR_OK, f->C_FindObjectsInit(s, &template, 1));
	for (; f->C_FindObjects(s, &object, 1, &found) == CKR_OK && found == 1; found = 0) {
		char label[32];
		CK_ATTRIBUTE value = { CKA_LABEL, label, sizeof label };

		CHECK(CKR_OK, f->C_GetAttributeValue(s, object, &value, 1));
		printf("%s data %.*s\n", who, (int)value.ulValueLen, label);
	}
	CHECK(CKR_OK, f->C_FindObjectsFinal(s));
}

static void report(const char *who, char **labels)
{
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	for (s = open_session(); *labels; labels++) {
		key = key_of(s, *labels);
		if (key)
			printf("%s %s 0x%lx\n", who, *labels, signs(s, key));
		else
			printf("%s %s nowhere\n", who, *labels);
	}
	report_data(who, s);
	fflush(stdout);
}

static void in_child(char **labels)
{
	char byte;

	report("child", labels);
	puts("ready");
	fflush(stdout);
	EXPECT(read(0, &byte, 1) == 1, "nobody says that it is time to go");
	CHECK(CKR_OK, f->C_Finalize(NULL));
	_exit(failed);
}

int main(int argc, char **argv)
{
	int status = -1;

	if (argc < 4)
		return 2;
	printf("raised %lu\n", getauxval(AT_SECURE));
	if (!strcmp(argv[2], "root"))
		EXPECT(setgid(0) == 0 && setuid(0) == 0, "cannot become root");
	load(argv[1]);
	report("host", argv + 3);
	if (fork() == 0)
		in_child(argv + 3);
	EXPECT(wait(&status) > 0 && status == 0, "the child ended with status %x", status);
	CHECK(CKR_OK, f->C_Finalize(NULL));
	return failed;
}
