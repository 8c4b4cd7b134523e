/* The function lists of front.c, and how hosts get them. */
#ifndef TPMKEY_INTERFACE_H
#define TPMKEY_INTERFACE_H

#include "front.h"

/* CK_INTERFACE (PKCS #11 v3.0, 3.4), which p11-kit's header of Debian 12 does not have. */
struct interface {
	char *name;
	void *functions;
	CK_FLAGS flags;
};

extern CK_FUNCTION_LIST tpmkey_functions;
extern struct function_list_3_0 tpmkey_functions_3_0;

CK_RV tpmkey_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);
CK_RV tpmkey_GetInterfaceList(struct interface *list, CK_ULONG *count);
CK_RV tpmkey_GetInterface(CK_BYTE_PTR name, const CK_VERSION *version, struct interface **interface, CK_FLAGS flags);

#endif
