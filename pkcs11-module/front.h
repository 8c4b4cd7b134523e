/*
 * The C front of the PKCS #11 module. It checks and copies every pointer and length that a host passes, into one flat message for the Go
 * core, and copies what the core answers back. It decides nothing else.
 *
 * A message is a row of 64-bit values in the machine's byte order and of byte strings, each a length and the bytes. A request begins with the
 * function's number, a response with its CK_RV.
 */
#ifndef TPMKEY_FRONT_H
#define TPMKEY_FRONT_H

#include <stddef.h>
#include <stdint.h>

#define CRYPTOKI_COMPAT 1
#include <p11-kit/pkcs11.h>

/* Function numbers of a request: the order of CK_FUNCTION_LIST (PKCS #11 v2.40, 3.7), counted from 1. */
#define TPMKEY_FUNCTIONS(F) \
	F(Initialize) F(Finalize) F(GetInfo) F(GetFunctionList) F(GetSlotList) F(GetSlotInfo) F(GetTokenInfo) \
	F(GetMechanismList) F(GetMechanismInfo) F(InitToken) F(InitPIN) F(SetPIN) F(OpenSession) F(CloseSession) \
	F(CloseAllSessions) F(GetSessionInfo) F(GetOperationState) F(SetOperationState) F(Login) F(Logout) \
	F(CreateObject) F(CopyObject) F(DestroyObject) F(GetObjectSize) F(GetAttributeValue) F(SetAttributeValue) \
	F(FindObjectsInit) F(FindObjects) F(FindObjectsFinal) F(EncryptInit) F(Encrypt) F(EncryptUpdate) \
	F(EncryptFinal) F(DecryptInit) F(Decrypt) F(DecryptUpdate) F(DecryptFinal) F(DigestInit) F(Digest) \
	F(DigestUpdate) F(DigestKey) F(DigestFinal) F(SignInit) F(Sign) F(SignUpdate) F(SignFinal) \
	F(SignRecoverInit) F(SignRecover) F(VerifyInit) F(Verify) F(VerifyUpdate) F(VerifyFinal) \
	F(VerifyRecoverInit) F(VerifyRecover) F(DigestEncryptUpdate) F(DecryptDigestUpdate) F(SignEncryptUpdate) \
	F(DecryptVerifyUpdate) F(GenerateKey) F(GenerateKeyPair) F(WrapKey) F(UnwrapKey) F(DeriveKey) \
	F(SeedRandom) F(GenerateRandom) F(GetFunctionStatus) F(CancelFunction) F(WaitForSlotEvent)

/* What CK_FUNCTION_LIST_3_0 (PKCS #11 v3.0) has after those, in its order; the numbers go on. */
#define TPMKEY_FUNCTIONS_3_0(F) \
	F(GetInterfaceList) F(GetInterface) F(LoginUser) F(SessionCancel) \
	F(MessageEncryptInit) F(EncryptMessage) F(EncryptMessageBegin) F(EncryptMessageNext) F(MessageEncryptFinal) \
	F(MessageDecryptInit) F(DecryptMessage) F(DecryptMessageBegin) F(DecryptMessageNext) F(MessageDecryptFinal) \
	F(MessageSignInit) F(SignMessage) F(SignMessageBegin) F(SignMessageNext) F(MessageSignFinal) \
	F(MessageVerifyInit) F(VerifyMessage) F(VerifyMessageBegin) F(VerifyMessageNext) F(MessageVerifyFinal)

#define TPMKEY_NUMBER(name) fn_##name,
enum tpmkey_function { fn_none, TPMKEY_FUNCTIONS(TPMKEY_NUMBER) TPMKEY_FUNCTIONS_3_0(TPMKEY_NUMBER) fn_count };
#undef TPMKEY_NUMBER

/* Added to the number of a function whose pointers cannot be followed; nothing comes after it. */
#define TPMKEY_MALFORMED ((uint64_t)1 << 32)

/* start.c: the core, started at the first C_Initialize, and calls of it. A response is in memory from malloc. */
CK_RV tpmkey_start(void);
void tpmkey_stop(void);
int tpmkey_started(void);
CK_RV tpmkey_call(const void *request, size_t size, void **response, size_t *response_size);

/* core.go: one request in, one response out, in memory from malloc; NULL where there is none. */
extern void tpmkey_core(void *request, size_t size, void **response, size_t *response_size);

void *tpmkey_memory(size_t size);

#endif
