/*
 * A host of the PKCS #11 module that signs what it reads, eight bytes at a time, as long as there is something to read.
 *
 *   signs MODULE own|child [PIN]
 */
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static int serve(char *pin)
{
	CK_MECHANISM mechanism = { CKM_SHA256_RSA_PKCS, NULL, 0 };
	CK_BYTE data[8], signature[256];
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;
	CK_ULONG size;

	CHECK(CKR_OK, f->C_Initialize(NULL));
	s = open_session();
	if (pin)
		CHECK(CKR_OK, f->C_Login(s, CKU_USER, (CK_BYTE *)pin, strlen(pin)));
	key = private_key(s);
	while (!failed && read(0, data, sizeof data) == sizeof data) {
		size = sizeof signature;
		CHECK(CKR_OK, f->C_SignInit(s, &mechanism, key));
		CHECK(CKR_OK, f->C_Sign(s, data, sizeof data, signature, &size));
		if (!failed && write(1, signature, size) != sizeof signature)
			return 1;
	}
	CHECK(CKR_OK, f->C_Finalize(NULL));
	return failed;
}

int main(int argc, char **argv)
{
	char *pin = argc > 3 ? argv[3] : NULL;
	int status;

	if (argc < 3)
		return 2;
	load(argv[1]);
	if (!strcmp(argv[2], "own"))
		return serve(pin);
	CHECK(CKR_OK, f->C_Initialize(NULL));
	if (fork() == 0)
		_exit(serve(pin));
	return wait(&status) < 0 || status || failed;
}
