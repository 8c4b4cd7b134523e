/*
 * The function list of v3.0 is where NSS's header, made from the OASIS one, has each function: called through that, the right one answers.
 *
 *   layout MODULE
 */
#include <dlfcn.h>
#include <stdio.h>

#include <nss/pkcs11.h>

#include "check.h"

#define REFUSED CKR_FUNCTION_NOT_SUPPORTED

int main(int argc, char **argv)
{
	void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	CK_C_GetInterface get = library ? (CK_C_GetInterface)dlsym(library, "C_GetInterface") : NULL;
	CK_VERSION three = { 3, 0 };
	CK_INTERFACE *interface;
	CK_FUNCTION_LIST_3_0 *f;
	CK_SESSION_HANDLE s = 0;
	CK_MECHANISM m = { CKM_RSA_PKCS, NULL, 0 };
	CK_BYTE b[8] = { 0 };
	CK_ULONG n = sizeof b;
	CK_SLOT_ID slot;

	if (!get || get((CK_UTF8CHAR_PTR) "PKCS 11", &three, &interface, 0) != CKR_OK)
		return 2;
	f = interface->pFunctionList;
	CHECK(CKR_OK, f->C_Initialize(NULL));
	CHECK(CKR_OK, f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s));
	CHECK(CKR_OK, f->C_GenerateRandom(s, b, sizeof b));
	CHECK(CKR_NO_EVENT, f->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL));
	CHECK(CKR_OK, f->C_GetInterfaceList(NULL, &n));
	CHECK(CKR_OK, f->C_GetInterface(NULL, NULL, &interface, 0));
	CHECK(CKR_ARGUMENTS_BAD, f->C_LoginUser(s, CKU_USER, b, 4, b, 4));
	CHECK(CKR_OK, f->C_LoginUser(s, CKU_USER, b, 4, NULL, 0));
	CHECK(CKR_OK, f->C_SessionCancel(s, CKF_SIGN));
	CHECK(REFUSED, f->C_MessageEncryptInit(s, &m, 1));
	CHECK(REFUSED, f->C_EncryptMessage(s, NULL, 0, NULL, 0, b, 8, b, &n));
	CHECK(REFUSED, f->C_EncryptMessageBegin(s, NULL, 0, NULL, 0));
	CHECK(REFUSED, f->C_EncryptMessageNext(s, NULL, 0, b, 8, b, &n, 0));
	CHECK(REFUSED, f->C_MessageEncryptFinal(s));
	CHECK(REFUSED, f->C_MessageDecryptInit(s, &m, 1));
	CHECK(REFUSED, f->C_DecryptMessage(s, NULL, 0, NULL, 0, b, 8, b, &n));
	CHECK(REFUSED, f->C_DecryptMessageBegin(s, NULL, 0, NULL, 0));
	CHECK(REFUSED, f->C_DecryptMessageNext(s, NULL, 0, b, 8, b, &n, 0));
	CHECK(REFUSED, f->C_MessageDecryptFinal(s));
	CHECK(REFUSED, f->C_MessageSignInit(s, &m, 1));
	CHECK(REFUSED, f->C_SignMessage(s, NULL, 0, b, 8, b, &n));
	CHECK(REFUSED, f->C_SignMessageBegin(s, NULL, 0));
	CHECK(REFUSED, f->C_SignMessageNext(s, NULL, 0, b, 8, b, &n));
	CHECK(REFUSED, f->C_MessageSignFinal(s));
	CHECK(REFUSED, f->C_MessageVerifyInit(s, &m, 1));
	CHECK(REFUSED, f->C_VerifyMessage(s, NULL, 0, b, 8, b, 8));
	CHECK(REFUSED, f->C_VerifyMessageBegin(s, NULL, 0));
	CHECK(REFUSED, f->C_VerifyMessageNext(s, NULL, 0, b, 8, b, 8));
	CHECK(REFUSED, f->C_MessageVerifyFinal(s));
	CHECK(CKR_OK, f->C_CloseSession(s));
	CHECK(CKR_OK, f->C_Finalize(NULL));
	return failed;
}
